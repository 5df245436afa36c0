"""Frames on a canvas, on which what the camera passes over keeps its place."""

import itertools
import pathlib

import cv2
import numpy as np
import pytest

import magstyle
from magstyle.painting.strokes import painting_size
from magstyle.video import optical_flow
from magstyle.video.camera import Camera
from tests.samples import picture

SIZE = (72, 96)
ROOT = pathlib.Path(__file__).parents[2]
# Wider than the views of it.
WIDE, OTHER = (cv2.GaussianBlur(np.asarray(picture(number, (240, 200))), (0, 0), 1) for number in (0, 7))


def view(wide: np.ndarray, turn: complex = 1, right: float = 0, down: float = 0, size=SIZE) -> np.ndarray:
    """A frame of a camera that looks at a picture; scaled and turned by a complex number, and moved, in pixels."""
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    middle = (np.array(wide.shape[1::-1]) - 1) / 2
    offset = middle + np.array((right, down)) - linear @ _middle(size)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(wide, np.column_stack([linear, offset]), size[::-1], flags=flags)


def _middle(size):
    return (np.array(size[::-1]) - 1) / 2


def motions(frames):
    return [None, *(optical_flow.motion(*pair) for pair in itertools.pairwise(frames))]


def placements(frames, **arguments):
    camera = Camera(frames[0].shape[:2], **arguments)
    return [camera.follow(motion) for motion in motions(frames)]


def painted(frames, found):
    stylizer = magstyle.Stylizer("painters")
    floats = [frame / np.float32(255) for frame in frames]
    return [
        placement.take(stylizer.stylize(placement.lay(frame), 0))
        for frame, placement in zip(floats, found, strict=True)
    ]


def flicker(shown, frames):
    """Without the first step, from a frame that is its own canvas to one that is not."""
    pairs = zip(shown[1:-1], shown[2:], motions(frames)[2:], strict=True)
    return np.mean([optical_flow.warping_error(*each) for each in pairs])


@pytest.mark.parametrize("turn", [1, 1.02, 1.01 * np.exp(0.01j)])
def test_the_motion_of_a_view_is_that_of_the_camera(turn):
    frames = [view(WIDE), view(WIDE, turn, right=1.5, down=-0.7)]
    matrix = optical_flow.motion(*frames).view
    assert complex(matrix[0, 0], matrix[1, 0]) == pytest.approx(turn, abs=8e-3)
    middle = _middle(SIZE)
    np.testing.assert_allclose((matrix @ [*middle, 1])[:2] - middle, (1.5, -0.7), atol=0.1)


def test_views_that_stand_still_or_move_every_way_have_no_motion():
    still = optical_flow.motion(view(WIDE), view(WIDE))
    assert still.view is None
    flow = np.random.default_rng(0).normal(0, 5, still.flow.shape).astype(np.float32)
    assert optical_flow.motion_of_view(flow, still.visible) is None
    # All from one pixel.
    rows, columns = np.indices(SIZE, np.float32)
    assert optical_flow.motion_of_view(np.stack([7 - columns, 5 - rows], axis=-1), still.visible) is None


@pytest.mark.parametrize(("turn", "right", "down"), [(1, 2.3, 0.4), (1.012, 0.3, 0), (0.988, 0, 0)])
def test_pans_and_zooms_flicker_less_than_half_as_much_and_nothing_is_mixed(turn, right, down):
    photo = magstyle.read_image(ROOT / "examples" / "coffee.jpg", 320)
    frames = [view(photo, turn**k, right * k, down * k, (224, 304)) for k in range(6)]
    frames = [np.rint(255 * np.clip(frame, 0, 1)).astype(np.uint8) for frame in frames]
    followed = painted(frames, placements(frames))
    one_by_one = painted(frames, placements([frames[0]] * len(frames)))
    assert flicker(followed, frames) < 0.5 * flicker(one_by_one, frames)
    np.testing.assert_allclose([image.std() for image in followed], [image.std() for image in one_by_one], rtol=0.1)


def test_a_camera_that_stands_still_changes_nothing():
    frame = view(WIDE)
    for placement in placements([frame] * 3):
        assert placement.matrix is None and placement.canvas == SIZE
        assert placement.take(placement.lay(frame)) is frame


def test_a_new_scene_is_its_own_canvas():
    frames = [view(WIDE), view(WIDE, right=2.3), view(OTHER, right=2.3)]
    _, moved, new = placements(frames)
    assert moved.matrix is not None
    assert new.matrix is None


@pytest.mark.parametrize("turn", [1.03, 0.97, np.exp(0.02j), 1.02 * np.exp(-0.02j)])
def test_strokes_never_get_much_larger_and_canvases_neither(turn):
    frames = [view(WIDE, turn**k, right=0.7 * k) for k in range(16)]
    camera = Camera(SIZE)
    scales = []
    for motion in motions(frames):
        placement = camera.follow(motion)
        matrix = np.eye(2, 3) if placement.matrix is None else placement.matrix
        scales.append(complex(matrix[0, 0], matrix[1, 0]))
        assert all(np.less_equal(placement.canvas, camera.largest_canvas()))
        image = frames[0] / np.float32(255)
        seen = placement.take(placement.lay(image))
        assert np.abs(seen - image)[4:-4, 4:-4].mean() < 0.01
    assert all(1 / 1.1 <= abs(scale) <= 1.1 and abs(np.angle(scale)) <= np.radians(5) for scale in scales)
    laid_anew = sum(abs(after / before - turn) > 0.05 for before, after in itertools.pairwise(scales))
    assert 1 <= laid_anew <= 4


def test_canvases_are_painted_in_whole_steps():
    for stroke_size in (1, 2, 1.5):
        frames = [view(WIDE, right=2.3 * k) for k in range(4)]
        for placement in placements(frames, stroke_size=stroke_size)[1:]:
            assert all(side % 4 == 0 for side in painting_size(placement.canvas, stroke_size))
