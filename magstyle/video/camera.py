"""Places the frames of a clip on a canvas where the scene stays put while the camera moves.

The network's coarsest features are four pixels large. If a view moves by four pixels, it is painted with the same
strokes, shifted by four pixels; if it moves by two, with different strokes. This causes nearly all flicker in pans and
zooms. So each frame is placed on a canvas, with the camera's motion undone; it is painted there, and its picture is
moved back. Nothing is blended, and strokes grow with the things they show.
"""

import cmath
import math
from typing import NamedTuple

import numpy as np

from magstyle import sizes
from magstyle.video import optical_flow

# A frame that is scaled or rotated by more than this is placed anew, with different strokes; until then, strokes grow
# and turn with the things they show. As `magstyle.video.steadiness` says: in zoom, which grows by 1.2 % a frame, a
# scale of 1.05 gives 0.47, + 15 %, and 1.2 gives 0.41, - 0 %, with strokes up to 1.2 times as large. The benchmark has
# no clip that turns, so the turn has not been measured.
_LARGEST_SCALE, _LARGEST_TURN = 1.1, math.radians(5)


class Placement(NamedTuple):
    """Where a frame lies on its canvas.

    Attributes:
        size: height and width of the frame.
        canvas: height and width of the canvas.
        matrix: float64 [2, 3], from the column and row of a pixel in the frame to those on the canvas; None if the
            frame is its own canvas.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]
    matrix: np.ndarray | None = None

    def lay(self, image: np.ndarray) -> np.ndarray:
        """The canvas, with an image of the frame's size on it, [H, W, 3] in [0, 1], mirrored beyond."""
        return self._warped(image, self.canvas, inverse=False)

    def take(self, picture: np.ndarray) -> np.ndarray:
        """The frame's part of a painted canvas, [H, W, 3] in [0, 1]."""
        return self._warped(picture, self.size, inverse=True)

    def _warped(self, image: np.ndarray, size: tuple[int, int], inverse: bool) -> np.ndarray:
        if self.matrix is None:
            return image
        cv2 = optical_flow.opencv()
        flags = cv2.INTER_LANCZOS4 | (cv2.WARP_INVERSE_MAP if inverse else 0)
        warped = cv2.warpAffine(image, self.matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return np.clip(warped, 0, 1, out=warped)


class Camera:
    """Follows the camera from frame to frame.

    Args:
        size: height and width of the frames.
        stroke_size: as for `Stylizer.stylize`; features grow by this factor.
    """

    def __init__(self, size: tuple[int, int], stroke_size: float = 1.0):
        self._size, self._step = size, sizes.MULTIPLE * stroke_size
        self._matrix = np.eye(3)

    def follow(self, motion: optical_flow.Motion | None) -> Placement:
        """The placement of the next frame.

        Args:
            motion: its motion from the previous frame; None for the first frame.
        """
        if motion is not None and not motion.same_scene:
            self._matrix = np.eye(3)
        elif motion is not None and motion.view is not None:
            self._matrix = self._within_limits(self._matrix @ motion.view)
        if np.allclose(self._matrix, np.eye(3)):
            return Placement(self._size, self._size)
        height, width = self._size
        corners = self._matrix[:2] @ [[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]]
        first, last = corners.min(axis=1), corners.max(axis=1)
        # A canvas that is moved by whole steps is painted with the same strokes.
        self._matrix[:2, 2] -= np.floor(first / self._step) * self._step
        return Placement(self._size, self._canvas((last - first)[::-1]), self._matrix[:2].copy())

    def largest_canvas(self) -> tuple[int, int]:
        """The height and width of the largest canvas."""
        height, width = self._size
        turn = math.sin(_LARGEST_TURN)
        sides = np.array([height + turn * width, width + turn * height]) * _LARGEST_SCALE
        return self._canvas(sides)

    def _canvas(self, sides: np.ndarray) -> tuple[int, int]:
        """The height and width of a canvas for a frame with these sides that begins anywhere within a step.

        They stay the same while the camera pans, because the first image of a size takes engines long, and because the
        area around the frame contributes to the moments of the normalisations, so that strokes would change with it.
        """
        height, width = np.ceil(np.ceil((sides + 1 + self._step) / self._step) * self._step)
        return int(height), int(width)

    def _within_limits(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix of a frame, which is placed anew if it is scaled or rotated too far.

        The camera is likely to keep moving as before, so the new place is nearly as far off in the other direction.
        """
        turn = complex(matrix[0, 0], matrix[1, 0])
        scale = min(max(abs(turn), 1 / _LARGEST_SCALE), _LARGEST_SCALE)
        angle = min(max(cmath.phase(turn), -_LARGEST_TURN), _LARGEST_TURN)
        within = cmath.rect(scale, angle)
        if cmath.isclose(turn, within):
            return matrix
        turned = within**-0.9 / turn
        linear = np.array([[turned.real, -turned.imag], [turned.imag, turned.real]])
        middle = (np.array(self._size[::-1]) - 1) / 2
        around = np.eye(3)
        around[:2, :2], around[:2, 2] = linear, middle - linear @ middle
        return matrix @ around
