"""Motion between the frames of a clip, computed by OpenCV, and how steady pictures are along it.

References:
    Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search. ECCV 2016, arXiv 1603.03590.
    Ruder, Dosovitskiy, Brox: Artistic Style Transfer for Videos. arXiv 1604.08610 (hidden pixels).
    Lai et al.: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449 (the warping error).
"""

import types
from typing import NamedTuple

import numpy as np

from magstyle import project

# Figures such as "0.48, + 12 %" are explained in `magstyle.video.steadiness`.

# Ruder et al., equation 5: how far the flows there and back may miss each other, relative to their lengths, and in
# pixels squared.
_RELATIVE_MISS, _MISS = 0.01, 0.5
# OpenCV's flow crashes on frames of 14 pixels and fewer.
_SMALLEST_SIDE = 16
# Shorter side, in pixels, of frames whose flow is computed at a quarter of their size, which takes less than half the
# time and makes pictures hardly less steady; smaller ones have theirs at half.
_LARGE = 480
# A pixel that changes by this or more, of 255, is hidden. Half and double give the same 0.48, + 12 % in bikes; they
# matter to other scenes, of which double takes up to 0.06 for visible, and this 0.02 (42 pairs of photos and frames).
_SAME_PIXEL = 38
# If less of a frame is visible in the previous one, it begins another scene. Within scenes of bikes.mp4 and
# bigbuckbunny.mp4, at least 0.83 is visible, and 0.53 five frames before.
_SAME_SCENE = 0.3
# The motion of a view is estimated from one pixel in 8 in both directions, or from 4096 pixels of large frames. In
# bikes, 4 gives 0.48, + 17 %, and 16 gives 0.48, + 12 %. For a frame of 2541 x 1080 pixels, the estimate takes 0.8 ms,
# and with half the spacing in both directions 3.0 ms.
_SPACING, _POINTS = 8, 4096
# Minimum number of pixels for an estimate: without it, OpenCV finds a view in the random flow of two or three.
# Cameras do not zoom by more than this factor within a frame; the factor has not been measured.
_FEWEST, _LARGEST_ZOOM = 8, 2
# How far a pixel may be from where the view moves it, in pixels, or as a share of the shorter side of large frames. In
# zoom, 0.25 gives 0.49, + 11 %, and 1 gives 0.49, + 12 %; in bikes, which moves by itself, 1 gives 0.48, + 27 %.
_NEAR, _NEAR_OF_SIDE = 0.5, 1 / 512
# Minimum share of pixels within that distance. Zoom has at least 0.77, a slow pan 0.88, bigbuckbunny.mp4 0.82, and
# random flow 0.01; in bikes, 0.2 gives 0.48, + 23 %, and 0.8 gives 0.48, + 9 %.
_LEAST_SHARE = 0.4
# A view that moves by less, in pixels, stands still. That of bigbuckbunny.mp4 drifts by 0.1 to 0.4 a frame, at 240
# rows; in bikes, 0.05 gives 0.48, + 17 %, and 0.2 gives 0.48, + 9 %.
_STILL = 0.1


class Motion(NamedTuple):
    """The motion of a frame from the previous one.

    Attributes:
        flow: float32 [H, W, 2]: how far to the right, and down, each pixel was in the previous frame, in pixels.
        visible: bool [H, W]: whether the pixel was visible there.
        view: how the frame as a whole moved, as `motion_of_view` returns it; None if it did not.
    """

    flow: np.ndarray
    visible: np.ndarray
    view: np.ndarray | None = None

    @property
    def same_scene(self) -> bool:
        """Whether enough of the frame was visible before."""
        return bool(self.visible.mean() >= _SAME_SCENE)


def motion(before: np.ndarray, frame: np.ndarray) -> Motion:
    """The motion of a frame from the previous one.

    Args:
        before: the previous frame, uint8 RGB [H, W, 3].
        frame: the frame, of the same shape.

    Raises:
        InputError: if OpenCV is missing.
    """
    cv2 = opencv()
    height, width, _ = frame.shape
    if min(height, width) < _SMALLEST_SIDE:
        return Motion(np.zeros((height, width, 2), np.float32), np.zeros((height, width), bool))
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(2 if min(height, width) >= _LARGE else 1)  # Powers of two.
    one, other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, frame))
    flow, there = search.calc(other, one, None), search.calc(one, other, None)
    places = _places(flow)
    # Linear interpolation is exact enough to compare, and three times as fast as Lanczos.
    back, moved = (cv2.remap(image, places, None, cv2.INTER_LINEAR) for image in (there, before))
    miss, lengths = squared(flow + back), squared(flow) + squared(back)
    columns, rows = np.moveaxis(places, -1, 0)
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    same = cv2.transform(cv2.absdiff(moved, frame), np.full((1, 3), 1 / 3)) < _SAME_PIXEL
    visible = inside & (miss < _RELATIVE_MISS * lengths + _MISS) & same
    return Motion(flow, visible, motion_of_view(flow, visible))


def motion_of_view(flow: np.ndarray, visible: np.ndarray) -> np.ndarray | None:
    """The motion that a frame as a whole, or most of it, shares, as when the camera moves.

    Args:
        flow, visible: as in `Motion`.

    Returns:
        float64 [3, 3], from the column and row of a pixel to those in the previous frame: a scaling, rotation and
        shift. None if the view stands still, or there is no such motion.
    """
    cv2 = opencv()
    height, width = visible.shape
    spacing = max(_SPACING, round((height * width / _POINTS) ** 0.5))
    rows, columns = (axis[visible[::spacing, ::spacing]] for axis in np.mgrid[:height:spacing, :width:spacing])
    now = np.stack([columns, rows], axis=-1).astype(np.float64)
    before = now + flow[rows, columns]
    near = max(_NEAR, _NEAR_OF_SIDE * min(height, width))
    if len(now) < _FEWEST:
        return None
    matrix, is_near = cv2.estimateAffinePartial2D(now, before, method=cv2.RANSAC, ransacReprojThreshold=near)
    if matrix is None or is_near.mean() < _LEAST_SHARE:
        return None
    if not 1 / _LARGEST_ZOOM <= np.hypot(*matrix[:, 0]) <= _LARGEST_ZOOM:
        return None
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    if np.abs(matrix @ corners - corners[:2]).max() < _STILL:
        return None
    return np.vstack([matrix, [0, 0, 1]])


def flow_of_view(view: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The flow, float32 [H, W, 2], of pixels that all move with a view, as `motion_of_view` returns it."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    matrix = (view[:2] - np.eye(2, 3)).astype(np.float32)
    return np.stack([row[0] * columns + row[1] * rows + row[2] for row in matrix], axis=-1).astype(np.float32)


def warp(before: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """An image of the previous frame, float32 [H, W, C], moved by `flow` [H, W, 2] to where its pixels are now."""
    cv2 = opencv()
    # This is the sharpest interpolation: a picture that is moved again and again loses little each time.
    return cv2.remap(before, _places(flow), None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


def warping_error(before: np.ndarray, picture: np.ndarray, motion: Motion) -> float:
    """How much pictures flicker: the root mean square of their difference along the motion, over visible pixels.

    Args:
        before: the picture of the previous frame, float32 [H, W, 3] in [0, 1].
        picture: the picture of the frame, of the same shape.
        motion: the motion of the frame from the previous one.

    Returns:
        From 0, steady, to 1; NaN if no pixel is visible.
    """
    if not motion.visible.any():
        return float("nan")
    return float(np.sqrt(np.mean(np.square(warp(before, motion.flow) - picture)[motion.visible])))


def squared(vectors: np.ndarray) -> np.ndarray:
    """The squared lengths, float32 [H, W], of vectors, float32 [H, W, C]."""
    cv2 = opencv()
    return cv2.transform(cv2.multiply(vectors, vectors), np.ones((1, vectors.shape[-1])))


def _places(flow: np.ndarray) -> np.ndarray:
    """The column and row, [H, W, 2], that each pixel comes from."""
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return np.stack([columns, rows], axis=-1) + flow


def opencv() -> types.ModuleType:
    """OpenCV; raises an InputError if it is missing."""
    with project.needing("cv2"):
        import cv2
    return cv2
