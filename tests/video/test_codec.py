"""Clips from file to file; painting them is tested in tests/programs/test_stylize_video.py."""

from fractions import Fraction

import av
import numpy as np
import pytest

from magstyle import files
from magstyle.errors import InputError
from magstyle.video import codec
from tests import clips


def distance(images, others) -> float:
    """On average, of 0 to 255."""
    return np.abs(np.subtract(images, others, dtype=float)).mean()


@pytest.fixture
def copy(tmp_path):
    """Reads a clip and writes it again: copy("a.mp4", ".webm", start=1) gives the new path and what the writer says."""

    def call(path, suffix=".mp4", **arguments):
        with (
            codec.Clip(path, **arguments) as clip,
            codec.Writer(tmp_path / f"copy{suffix}", clip.size, clip.time_base, clip.rate, clip.colors, clip) as writer,
        ):
            for frame in clip.frames():
                writer.write(frame.image, frame.time, frame.duration)
        return tmp_path / f"copy{suffix}", writer.remarks

    return call


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


def test_more_frames_per_second_than_there_are_change_nothing(clip, copy):
    assert len(clips.read(copy(clip, fps=40)[0])[1]) == 6


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


def test_silent_clips_are_copied(tmp_path, copy):
    clips.write_clip(tmp_path / "silent.mp4", 2, sound=None)
    assert len(clips.read(copy(tmp_path / "silent.mp4")[0])[0]) == 2


def test_a_clip_is_closed_if_its_sound_cannot_be_copied(clip, copy, monkeypatch):
    opened = []

    def opening(path):
        opened.append(codec_open(path))
        return opened[-1]

    def fail(*_):
        raise ZeroDivisionError("no sound")

    codec_open = codec._open
    monkeypatch.setattr(codec, "_open", opening)
    monkeypatch.setattr(codec._Sound, "_add_stream", fail)
    with pytest.raises(ZeroDivisionError, match="no sound"):
        copy(clip)
    assert len(opened) == 2  # One for the pictures, one for the sound.
    for container in opened:
        with pytest.raises(AssertionError, match="not open"):
            container.seek(0)


def test_a_bug_of_ours_is_not_taken_for_a_damaged_clip(clip, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(codec, "_orientation", fail)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        codec.Clip(clip)


def test_a_file_is_looked_at_once_however_many_frames_it_has(clip, copy, monkeypatch):
    looked = []
    monkeypatch.setattr(files, "check_regular", looked.append)
    copy(clip)
    assert looked == [clip, clip]  # For the pictures, and for the sound.


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
