"""Clips from file to file; painting them is tested in tests/programs/test_stylize_video.py."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from magstyle import files
from magstyle.errors import InputError
from magstyle.video import codec, containers, pictures
from magstyle.video.sound import Sound
from tests import clips


def distance(images, others) -> float:
    """On average, of 0 to 255."""
    return np.abs(np.subtract(images, others, dtype=float)).mean()


@pytest.fixture
def clip(tmp_path):
    clips.write_clip(tmp_path / "a.mp4")
    return tmp_path / "a.mp4"


def test_a_copy_has_the_pictures_the_times_and_the_very_sound(clip, copy):
    path, remarks = copy(clip)
    (images, times), (expected, expected_times) = clips.read(path), clips.read(clip)
    assert times == expected_times
    assert distance(images, expected) < 6
    assert clips.sound_of(path) == clips.sound_of(clip)
    assert not remarks


def test_frames_may_come_at_uneven_times(tmp_path, copy):
    times = [0, 3, 20, 21, 50]
    clips.write_clip(tmp_path / "uneven.mp4", 5, times=times)
    for suffix in (".mp4", ".webm", ".gif"):
        _, found = clips.read(copy(tmp_path / "uneven.mp4", suffix)[0])
        np.testing.assert_allclose(found, np.divide(times, 100), atol=0.001, err_msg=suffix)


def test_a_part_begins_with_its_first_frame_and_has_its_sound(clip, copy):
    path, _ = copy(clip, start=0.15, duration=0.2)
    images, times = clips.read(path)
    assert times == [0, pytest.approx(0.1)]
    expected, _ = clips.read(clip)
    assert distance(images, expected[2:4]) < 6
    sound, whole = clips.sound_of(path), clips.sound_of(clip)
    assert 0 < len(sound) < len(whole)
    for time, content in sound:
        assert 0 <= time < 0.2
        (expected,) = [then for then, packet in whole if packet == content]
        assert time + 0.2 == pytest.approx(expected, abs=0.001)


def test_fewer_frames_per_second_are_those_that_are_seen_at_even_times(tmp_path, copy):
    clips.write_clip(tmp_path / "b.mp4", 7)
    images, times = clips.read(copy(tmp_path / "b.mp4", fps=4)[0])
    np.testing.assert_allclose(times, [0, 0.25, 0.5], atol=0.001)
    expected, _ = clips.read(tmp_path / "b.mp4")
    assert distance(images, [expected[k] for k in (0, 2, 5)]) < 6


@pytest.mark.parametrize("fps", [10, 12, 15, 40])
def test_no_fewer_frames_per_second_than_there_are_change_nothing(clip, copy, fps):
    assert clips.read(copy(clip, fps=fps)[0])[1] == clips.read(clip)[1]


def test_times_that_a_file_rounds_are_not_moved(tmp_path, copy):
    times = [0, 33, 67, 100, 133, 167]
    clips.write_frames(tmp_path / "b.mkv", clips.plain_frames(6), times=times)
    np.testing.assert_allclose(clips.read(copy(tmp_path / "b.mkv", fps=30)[0])[1], np.divide(times, 1000), atol=1e-5)


def test_where_frames_are_dense_they_are_thinned_and_elsewhere_they_stay(tmp_path, copy):
    times = [0, 5, 11, 29, 48, 67, 86, 100, 150, 500]
    clips.write_frames(tmp_path / "b.mkv", clips.plain_frames(10), times=times)
    path, _ = copy(tmp_path / "b.mkv", fps=50)
    np.testing.assert_allclose(clips.read(path)[1], [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.5], atol=1e-5)
    assert clips.duration_of(path) == pytest.approx(0.6, abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
def test_the_last_frame_is_shown_as_long_as_in_the_clip(tmp_path, copy, suffix):
    frames = [Image.fromarray(image) for image in clips.frames(4)]
    frames[0].save(tmp_path / "hold.gif", save_all=True, append_images=frames[1:], duration=[100, 100, 100, 2000])
    path, _ = copy(tmp_path / "hold.gif", suffix)
    assert clips.duration_of(path) == pytest.approx(2.3, abs=0.001)
    with codec.Clip(path) as clip:
        assert [float(frame.duration) for frame in clip.frames()] == [0.1, 0.1, 0.1, pytest.approx(2, abs=0.001)]


def test_times_can_be_finer_and_gaps_longer_than_a_file_counts(tmp_path, copy):
    # In nanoseconds, an MP4 file holds no gap of more than two seconds.
    clips.write_frames(tmp_path / "b.mkv", clips.plain_frames(3), times=[0, 100, 3_000_000])
    with (
        codec.Clip(tmp_path / "b.mkv") as clip,
        codec.Writer(tmp_path / "c.mp4", clip.size, Fraction(1, 10**9)) as writer,
    ):
        for frame in clip.frames():
            writer.write(frame.image, frame.time, frame.duration)
    assert clips.read(tmp_path / "c.mp4")[1] == [0, 0.1, 3000]


@pytest.mark.parametrize("wrong", [2**31, 2**41])
def test_where_times_jump_the_frames_follow_without_a_gap(tmp_path, copy, wrong):
    clips.write_frames(tmp_path / "b.mkv", clips.plain_frames(4), times=[0, 100, 200, wrong])
    path, remarks = copy(tmp_path / "b.mkv")
    np.testing.assert_allclose(clips.read(path)[1], [0, 0.1, 0.2, 0.3], atol=0.001)
    assert remarks == ["the times in the clip jump; they go on without a gap"]


def test_pictures_that_seem_to_begin_days_after_the_sound_begin_with_it(tmp_path, copy):
    times = [2**31, 2**31 + 100, 2**31 + 200]
    clips.write_frames(tmp_path / "b.mkv", clips.plain_frames(3), times=times, sound=("ac3", 48000, "mono"))
    path, _ = copy(tmp_path / "b.mkv")
    np.testing.assert_allclose(clips.read(path)[1], [0.1, 0.2, 0.3], atol=0.01)
    assert clips.duration_of(path) == pytest.approx(0.4, abs=0.1)
    assert clips.sound_of(path)


def test_clips_that_were_joined_byte_by_byte_are_read_to_the_end(tmp_path, copy):
    for name, layout in (("a", "stereo"), ("b", "mono")):
        clips.write_frames(
            tmp_path / f"{name}.ts", clips.plain_frames(6), "libx264", options={"bf": "0"}, sound=("mp2", 48000, layout)
        )
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    for suffix in (".mp4", ".webm"):
        path, _ = copy(joined, suffix)
        np.testing.assert_allclose(clips.read(path)[1], np.arange(12) / 10, atol=0.01)
        assert clips.sound_of(path)[-1][0] == pytest.approx(1.2, abs=0.1)


def test_the_best_stream_of_pictures_is_read_not_the_first(tmp_path):
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        streams = [container.add_stream("mjpeg", 10), container.add_stream("libx264", 10)]
        for stream, size, pixels in zip(streams, ((32, 32), (64, 48)), ("yuvj420p", "yuv420p"), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, pixels
        container.mux(streams[0].encode(clips.plain_frames(1, "yuvj420p", (32, 32))[0]))
        for frame in [*clips.plain_frames(6), None]:
            container.mux(streams[1].encode(frame))
    with codec.Clip(tmp_path / "b.mkv") as clip:
        assert (clip.size, len(list(clip.frames()))) == ((48, 64), 6)


@pytest.mark.parametrize("fps", [None, 50])
def test_all_frames_before_damage_are_read(tmp_path, fps):
    clips.write_frames(tmp_path / "b.mov", clips.plain_frames(8, "rgb24"), "png")
    with av.open(str(tmp_path / "b.mov")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray((tmp_path / "b.mov").read_bytes())
    for packet in packets[4:]:
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    (tmp_path / "b.mov").write_bytes(content)
    found = []
    with codec.Clip(tmp_path / "b.mov", fps=fps) as clip, pytest.raises(InputError, match=r"^cannot read .*b\.mov: "):
        found.extend(clip.frames())  # Keeps those before the error.
    assert len(found) == 4


def test_what_the_encoder_refuses_is_told_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"^gif cannot encode pictures of 70000 x 2 pixels$"):
        codec.Writer(tmp_path / "b.gif", (2, 70000), Fraction(1, 10))


def test_sides_that_h264_cannot_have_are_padded_and_others_stay(clip, copy):
    path, remarks = copy(clip, image_size=45, duration=0.1)
    with codec.Clip(path) as copied:
        assert copied.size == (46, 60)
    assert remarks == ["the pictures get 1 more row: their sides must be multiples of 2"]
    with codec.Clip(copy(clip, ".webm", image_size=45, duration=0.1)[0]) as copied:
        assert copied.size == (45, 60)


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_frames_are_upright(tmp_path, copy, rotation, turns):
    clips.write_clip(tmp_path / "turned.mp4", 1, rotation=rotation)
    stored, _ = clips.read(tmp_path / "turned.mp4")
    images, _ = clips.read(copy(tmp_path / "turned.mp4")[0])
    assert distance(images[0], np.rot90(stored[0], turns)) < 6


def test_pixels_become_square(tmp_path):
    clips.write_clip(tmp_path / "wide.mp4", 1, ratio=Fraction(3, 2))
    with codec.Clip(tmp_path / "wide.mp4") as clip:
        assert clip.size == (clips.HEIGHT, 96)
        assert next(clip.frames()).image.shape == (clips.HEIGHT, 96, 3)


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("space", [1, 5])
def test_colours_mean_the_same_in_the_same_space_and_range(tmp_path, copy, color_range, space):
    colors = {"colorspace": space, "color_range": color_range, "color_primaries": 1, "color_trc": 1}
    clips.write_clip(tmp_path / "colors.mp4", 1, **colors)
    with codec.Clip(tmp_path / "colors.mp4") as clip:
        image = next(clip.frames()).image
    # The colours have half the resolution; on average they are right.
    np.testing.assert_allclose(image.mean(axis=(0, 1)), clips.frames(1)[0].mean(axis=(0, 1)), atol=2)
    with av.open(str(copy(tmp_path / "colors.mp4")[0])) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        found = (frame.colorspace, frame.color_range, context.color_primaries, context.color_trc)
        assert found == tuple(colors.values())
        stored = frame.to_ndarray()
    with av.open(str(tmp_path / "colors.mp4")) as container:
        assert distance(stored, next(container.decode(video=0)).to_ndarray()) < 2


def test_silent_clips_are_copied(tmp_path, copy):
    clips.write_clip(tmp_path / "silent.mp4", 2, sound=None)
    assert len(clips.read(copy(tmp_path / "silent.mp4")[0])[0]) == 2


def test_a_clip_is_closed_if_its_sound_cannot_be_copied(clip, copy, monkeypatch):
    opened = []

    def opening(path):
        opened.append(open_clip(path))
        return opened[-1]

    def fail(*_):
        raise ZeroDivisionError("no sound")

    open_clip = containers.open_clip
    monkeypatch.setattr(containers, "open_clip", opening)
    monkeypatch.setattr(Sound, "_add_stream", fail)
    with pytest.raises(ZeroDivisionError, match="no sound"):
        copy(clip)
    assert len(opened) == 2  # One for the pictures, one for the sound.
    for container in opened:
        with pytest.raises(AssertionError, match="not open"):
            container.seek(0)


def test_a_bug_of_ours_is_not_taken_for_a_damaged_clip(clip, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(pictures, "_orientation", fail)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        codec.Clip(clip)


def test_a_file_is_looked_at_once_however_many_frames_it_has(clip, copy, monkeypatch):
    looked = []
    monkeypatch.setattr(files, "check_regular", looked.append)
    copy(clip)
    assert looked == [clip] * 3  # For the pictures, for the sound, and to try whether it can be copied.


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"hello " * 99, "a.txt", "cannot read .*a.txt: "),
        (b"hello " * 99, "a.mp4", "cannot read .*a.mp4: "),
        (b"", "a.webm", "cannot read .*a.webm: "),
        (None, "nowhere.mp4", "cannot read .*nowhere.mp4: No such file"),
    ],
)
def test_what_is_no_clip_is_one_sentence(tmp_path, content, name, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        codec.Clip(tmp_path / name)


def test_a_clip_without_pictures_or_from_after_its_end_is_refused(tmp_path, clip):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        tone = container.add_stream("aac", 8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        container.mux(tone.encode(samples))
        container.mux(tone.encode(None))
    with pytest.raises(InputError, match=r"cannot read .*sound\.mp4: there are no pictures in it"):
        codec.Clip(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match=r"^start=9 is after the end of .*a\.mp4"):
        codec.Clip(clip, start=9)
