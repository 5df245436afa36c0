"""The sound of clips, which is copied, encoded anew or left out."""

import av
import pytest

from tests import clips


@pytest.fixture
def clip(tmp_path):
    clips.write_clip(tmp_path / "a.mp4")
    return tmp_path / "a.mp4"


def sound_in(path):
    """The codec and the layout of each stream of sound."""
    with av.open(str(path)) as container:
        return [(stream.codec_context.name, stream.layout.name) for stream in container.streams.audio]


def seconds_in(path):
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def test_sound_that_webm_cannot_hold_becomes_opus_and_gif_has_none(clip, copy):
    path, remarks = copy(clip, ".webm")
    assert remarks == ["a .webm file cannot hold the sound as it is, aac; it becomes libopus"]
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    with av.open(str(clip)) as container:
        expected = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert heard == pytest.approx(expected, abs=0.03)
    path, remarks = copy(clip, ".gif")
    assert remarks == ["a .gif file has no sound"]
    assert not clips.sound_of(path)


@pytest.mark.parametrize(
    ("name", "sound", "suffix", "expected"),
    [
        ("a.avi", ("pcm_s16le", 8000, "stereo"), ".mp4", ("aac", "stereo")),
        ("a.mkv", ("pcm_s16le", 44100, "stereo"), ".mp4", ("aac", "stereo")),
        ("a.mkv", ("pcm_s16le", 44100, "stereo"), ".mov", ("pcm_s16le", "2 channels")),
        ("a.mkv", ("pcm_s16le", 44100, "stereo"), ".mkv", ("pcm_s16le", "2 channels")),
        ("a.avi", ("adpcm_ms", 11025, "mono"), ".mp4", ("aac", "mono")),
        ("a.avi", ("adpcm_ms", 11025, "mono"), ".mkv", ("aac", "mono")),
        ("a.mkv", ("libmp3lame", 8000, "mono"), ".mp4", ("aac", "mono")),
        ("a.mkv", ("libmp3lame", 8000, "mono"), ".mov", ("mp3float", "mono")),
        ("a.mkv", ("wavpack", 192000, "mono"), ".webm", ("opus", "mono")),
        ("a.mov", ("pcm_f32le", 192000, "mono"), ".mkv", ("pcm_f32le", "1 channels")),
        ("a.mkv", ("ac3", 48000, "5.1(side)"), ".webm", ("opus", "5.1")),
        ("a.mkv", ("ac3", 48000, "5.1(side)"), ".mp4", ("ac3", "5.1(side)")),
        ("a.mkv", ("ac3", 48000, "2.1"), ".webm", ("opus", "5.1")),
        ("a.mkv", ("wavpack", 48000, "4.0"), ".webm", ("opus", "5.1")),
        ("a.mkv", ("wavpack", 48000, "6.1"), ".webm", ("opus", "6.1")),
        ("a.mkv", ("wavpack", 48000, "7.1(wide)"), ".webm", ("opus", "7.1")),
        ("a.mkv", ("wavpack", 48000, "hexadecagonal"), ".webm", ("opus", "stereo")),
    ],
)
def test_sound_of_any_kind_gets_into_every_file(tmp_path, copy, name, sound, suffix, expected):
    clips.write_frames(tmp_path / name, clips.plain_frames(4), "mpeg4", sound=sound)
    path, remarks = copy(tmp_path / name, suffix)
    assert len(clips.read(path)[0]) == 4
    assert sound_in(path) == [expected]
    assert seconds_in(path) == pytest.approx(0.4, abs=0.25)
    copied = expected[0].removesuffix("float") in sound[0]
    assert len(remarks) == (0 if copied else 1)


def test_sound_of_an_unknown_codec_is_left_out(clip, copy):
    content = clip.read_bytes()
    assert content.count(b"mp4a") == content.count(b"esds") == 1
    clip.write_bytes(content.replace(b"mp4a", b"what").replace(b"esds", b"what"))
    for suffix in (".mp4", ".webm"):
        path, remarks = copy(clip, suffix)
        assert len(clips.read(path)[0]) == 6
        assert not clips.sound_of(path)
        assert [remark.partition(":")[0] for remark in remarks] == ["the sound, of an unknown codec, is left out"]


@pytest.mark.parametrize("seed", [0, 2, 4])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_damaged_sound_costs_no_picture(tmp_path, copy, suffix, seed):
    clips.write_frames(tmp_path / "a.ts", clips.plain_frames(10), "libx264", sound=("aac", 48000, "mono"))
    content = bytearray((tmp_path / "a.ts").read_bytes())
    headers = [place for place in range(len(content)) if content[place : place + 4] == b"\xff\xf1\x4c\x40"]
    place = headers[3 + seed * 7]
    content[place + 5 + seed % 2] ^= 1 << (7 - seed)  # One bit, of the length of a packet or after it.
    (tmp_path / "a.ts").write_bytes(content)
    path, _ = copy(tmp_path / "a.ts", suffix)
    assert len(clips.read(path)[0]) == 10
    assert len(clips.sound_of(path)) >= 2 + seed * 7


def test_sound_may_change_its_layout(tmp_path, copy):
    for name, layout in (("a", "5.1(side)"), ("b", "stereo")):
        clips.write_frames(tmp_path / f"{name}.ts", clips.plain_frames(20), "libx264", sound=("ac3", 48000, layout))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    path, _ = copy(joined, ".webm")
    assert seconds_in(path) == pytest.approx(4, abs=0.2)
