"""Motion between frames, and pictures that follow it."""

import itertools

import cv2
import numpy as np
import pytest

import magstyle
from magstyle.video import optical_flow
from magstyle.video.steadiness import Steadiness, Trace
from tests.samples import picture

# To the right and down, in pixels a frame.
STEP = (2, 1)
HEIGHT, WIDTH = 64, 80


@pytest.fixture(scope="module")
def frames():
    """A view that moves over a picture, uint8 [H, W, 3] each."""
    wide = np.asarray(picture(0, (WIDTH + 20, HEIGHT + 20)))
    return [wide[k * STEP[1] :, k * STEP[0] :][:HEIGHT, :WIDTH] for k in range(6)]


@pytest.fixture(scope="module")
def pictures(frames):
    """These frames, painted with strokes that are elsewhere in each."""
    rng = np.random.default_rng(0)
    noisy = [frame / np.float32(510) + 0.25 + rng.normal(0, 0.1, frame.shape) for frame in frames]
    return [np.clip(image, 0, 1, dtype=np.float32) for image in noisy]


def errors(shown, frames):
    return [
        optical_flow.warping_error(*each) for each in zip(shown[:-1], shown[1:], motions_of(frames)[1:], strict=True)
    ]


def motions_of(frames):
    """Those of all frames; None of the first."""
    return [None, *(optical_flow.motion(*pair) for pair in itertools.pairwise(frames))]


def steadied(frames, pictures, with_camera=False):
    """As of things that move by themselves, or as of a view that moves with the camera."""
    steadiness, steady = Steadiness(), []
    for image, motion in zip(pictures, motions_of(frames), strict=True):
        by_itself = motion if motion is None or with_camera else motion._replace(view=None)
        steady.append(steadiness.steady(image, by_itself))
    return steady


def test_flow_leads_to_where_a_pixel_was(frames):
    flow, visible, _ = optical_flow.motion(frames[0], frames[1])
    assert visible[4:-4, 4:-4].mean() > 0.95
    assert not visible[:, -1].any()  # It was beyond the border.
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), STEP, atol=0.1)
    before, frame = (frames[k].astype(np.float32) for k in (0, 1))
    assert np.abs(optical_flow.warp(before, flow) - frame)[visible].mean() < 2


@pytest.mark.parametrize(("side", "scale"), [(240, 1), (480, 2)])
def test_the_flow_of_large_frames_is_coarser_and_nearly_as_exact(monkeypatch, side, scale):
    searches, create = [], cv2.DISOpticalFlow_create
    monkeypatch.setattr(cv2, "DISOpticalFlow_create", lambda preset: searches.append(create(preset)) or searches[-1])
    wide = np.asarray(picture(0, (side + 20, side + 20)))
    flow, visible, _ = optical_flow.motion(wide[:side, :side], wide[5 : side + 5, 3 : side + 3])
    assert [search.getFinestScale() for search in searches] == [scale]
    assert visible.mean() > 0.9
    np.testing.assert_allclose(np.median(flow[visible], axis=0), (3, 5), atol=0.1)


def test_the_warping_error_is_that_of_what_is_not_moved_along(frames):
    plain = [frame / np.float32(255) for frame in frames]
    assert max(errors(plain, frames)) < 0.01
    rng = np.random.default_rng(0)
    noisy = [image + rng.normal(0, 0.1, image.shape).astype(np.float32) for image in plain]
    # Of two frames; moving them keeps nearly all of it.
    np.testing.assert_allclose(errors(noisy, frames), 0.1 * 2**0.5, rtol=0.15)


def test_steady_pictures_flicker_less_than_half_as_much_and_keep_their_contrast(frames, pictures):
    steady = steadied(frames, pictures)
    assert np.mean(errors(steady, frames)[1:]) < 0.5 * np.mean(errors(pictures, frames)[1:])
    np.testing.assert_allclose([image.std() for image in steady], [image.std() for image in pictures], rtol=0.1)
    assert all(image.min() >= 0 and image.max() <= 1 for image in steady)


def test_what_is_moved_with_the_camera_is_mixed_less(frames, pictures):
    freely, with_camera = (np.mean(errors(steadied(frames, pictures, camera), frames)[1:]) for camera in (False, True))
    assert freely < 0.8 * with_camera < 0.8 * np.mean(errors(pictures, frames)[1:])


def test_pictures_of_a_clip_that_stands_still_come_to_rest(frames, pictures):
    steady = steadied([frames[0]] * 6, [pictures[0]] * 6)
    for image in steady:
        np.testing.assert_allclose(image, pictures[0], atol=2e-3)


def test_a_trace_of_the_strokes_before_keeps_them_where_noise_would_move_them():
    rng, still = np.random.default_rng(0), cv2.GaussianBlur(np.asarray(picture(0, (128, 96))), (0, 0), 6)
    noisy = [np.clip(still + rng.normal(0, 4, still.shape), 0, 255).round().astype(np.uint8) for _ in range(6)]
    stylizer, painted = magstyle.Stylizer("painters"), {True: [], False: []}
    for shown, pictures in painted.items():
        trace = Trace()
        for frame, motion in zip(noisy, motions_of(noisy), strict=True):
            image = frame / np.float32(255)
            pictures.append(stylizer.stylize(trace.under(image, motion if shown else None), 0))
            trace.keep(image, pictures[-1])
    assert np.mean(errors(painted[True], noisy)) < 0.9 * np.mean(errors(painted[False], noisy))


def test_a_trace_is_faint_and_moved_along(frames):
    trace, motion = Trace(), motions_of(frames)[1]
    image = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    strokes = np.zeros_like(image)
    strokes[24:40, 24:40] = 0.5
    trace.keep(image, image + strokes)
    left = trace.under(image, motion) - image
    assert 0.02 < left.max() < 0.05
    heaviest = [
        np.average(np.arange(side), weights=left.sum((1 - axis, 2))) for axis, side in enumerate(left.shape[:2])
    ]
    np.testing.assert_allclose(heaviest, np.subtract(31.5, STEP[::-1]), atol=0.5)
    assert not left[~motion.visible].any()


def test_there_is_no_trace_in_a_first_frame_nor_in_another_scene(pictures):
    image, trace = pictures[1], Trace()
    assert trace.under(image, None) is image
    trace.keep(pictures[0], 1 - pictures[0])
    assert trace.under(image, motions_of([np.asarray(picture(k, (WIDTH, HEIGHT))) for k in (3, 7)])[1]) is image


def test_nothing_of_a_scene_is_left_in_the_next(pictures):
    scenes = [np.asarray(picture(number, (WIDTH, HEIGHT))) for number in (3, 7)]
    assert not motions_of(scenes)[1].same_scene
    np.testing.assert_array_equal(steadied(scenes, pictures[:2])[1], pictures[1])


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (16, 16)])
def test_frames_of_any_size_are_taken(size):
    frame = np.zeros((*size, 3), np.uint8)
    for image in steadied([frame, frame], [np.full((*size, 3), 0.5, np.float32)] * 2):
        np.testing.assert_allclose(image, 0.5, atol=1e-5)
