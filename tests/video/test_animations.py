import sys

import av
import numpy as np
import pytest
from PIL import Image

from magstyle.errors import InputError
from magstyle.video import animations
from tests import clips

FRAMES = clips.frames(3, (50, 40))


def write(path, frames=FRAMES, ending=None):
    with animations.writing(path, frames[0].shape[:2]) as add:
        for frame in frames:
            add(frame)
        if ending:
            raise ending


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_images_that_move_start_again_when_they_end(tmp_path, suffix):
    write(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (3, (50, 40), 0)
        animation.seek(2)
        animation.load()
        assert animation.info["duration"] == 100
        assert np.abs(np.subtract(animation.convert("RGB"), FRAMES[2], dtype=float)).mean() < 8


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_clips_have_the_frames_at_their_times_and_no_sound(tmp_path, suffix):
    write(tmp_path / f"a{suffix}")
    images, times = clips.read(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(times, [0, 0.1, 0.2], atol=0.001)
    assert np.abs(np.subtract(images, FRAMES, dtype=float)).mean() < 8
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert not container.streams.audio
        assert container.duration == pytest.approx(300_000, abs=1000)  # Microseconds.


def test_a_row_that_h264_needs_is_told(tmp_path, capsys):
    write(tmp_path / "a.mp4", [np.zeros((41, 50, 3), np.uint8)])
    assert clips.read(tmp_path / "a.mp4")[0][0].shape == (42, 50, 3)
    assert capsys.readouterr().err == "the pictures get 1 more row: their sides must be multiples of 2\n"


@pytest.mark.parametrize("suffix", [".webp", ".mp4"])
def test_what_is_interrupted_has_the_frames_so_far_and_what_fails_leaves_nothing(tmp_path, suffix):
    for ending in (KeyboardInterrupt(), InputError("no memory")):
        with pytest.raises(type(ending)):
            write(tmp_path / f"a{suffix}", ending=ending)
        assert (tmp_path / f"a{suffix}").stat().st_size > 100
        (tmp_path / f"a{suffix}").unlink()
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / f"a{suffix}", ending=ZeroDivisionError())
    with pytest.raises(KeyboardInterrupt), animations.writing(tmp_path / f"a{suffix}", (40, 50)):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"a\.png: the name of an animation must end in one of \.gif, \.webp, \.mp4"):
        animations.check_writable("a.png")
    monkeypatch.setitem(sys.modules, "av", None)
    animations.check_writable("a.gif")
    with pytest.raises(InputError, match=r"^PyAV is missing; pip install av opencv-python-headless brings it$"):
        animations.check_writable("a.mp4")
