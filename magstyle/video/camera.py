"""Frames of a clip on a canvas, on which what the camera passes over keeps its place.

The network's coarsest features are as large as four pixels. A view that moves on by four is painted with the same
strokes, four pixels on; one that moves on by two, with others, and nearly all flicker of pans and zooms is of that. So
each frame is laid on a canvas, turned and scaled back as the camera has moved, painted there, and its picture taken
from there. Nothing is mixed, and strokes grow with what they show.
"""

import cmath
import math
from typing import NamedTuple

import numpy as np

from magstyle import sizes
from magstyle.video import optical_flow

# How far a frame may be scaled, and turned, on its canvas: strokes would get another size. Then it is laid anew.
_LARGEST_SCALE, _LARGEST_TURN = 1.1, math.radians(5)


class Placement(NamedTuple):
    """Where a frame lies on its canvas.

    Attributes:
        size: height and width of the frame.
        canvas: height and width of the canvas.
        matrix: float64 [2, 3], from the column and row of a pixel of the frame to where it is on the canvas; None where
            the frame is its own canvas.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]
    matrix: np.ndarray | None = None

    def lay(self, image: np.ndarray) -> np.ndarray:
        """The canvas, with an image of the frame's size on it, [H, W, 3] or [H, W] in [0, 1], mirrored beyond."""
        return self._warped(image, self.canvas, inverse=False)

    def take(self, picture: np.ndarray) -> np.ndarray:
        """What of a painted canvas, [H, W, 3] in [0, 1], is the frame."""
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
        stroke_size: as of `Stylizer.stylize`; painted smaller, as many more pixels are one feature.
    """

    def __init__(self, size: tuple[int, int], stroke_size: float = 1.0):
        self._size, self._step = size, sizes.MULTIPLE * stroke_size
        self._matrix = np.eye(3)

    def follow(self, motion: optical_flow.Motion | None) -> Placement:
        """Where the next frame lies.

        Args:
            motion: from the frame before; None of the first.
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
        # Moved by whole steps, a canvas is painted as it was.
        self._matrix[:2, 2] -= np.floor(first / self._step) * self._step
        return Placement(self._size, self._canvas((last - first)[::-1]), self._matrix[:2].copy())

    def largest_canvas(self) -> tuple[int, int]:
        """The height and width that canvases have at most."""
        height, width = self._size
        turn = math.sin(_LARGEST_TURN)
        sides = np.array([height + turn * width, width + turn * height]) * _LARGEST_SCALE
        return self._canvas(sides)

    def _canvas(self, sides: np.ndarray) -> tuple[int, int]:
        """The height and width of a canvas for what is as high and wide, and begins anywhere in a step.

        While the camera pans, they stay the same: engines take long for the first image of a size, and what is beyond
        the frame has its part in the moments of the normalisations, so that the strokes would change.
        """
        height, width = np.ceil(np.ceil((sides + 1 + self._step) / self._step) * self._step)
        return int(height), int(width)

    def _within_limits(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix of a frame; laid anew where it is scaled or turned too far.

        As the camera is likely to move on as it did, to nearly as far on the other side.
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
