"""Keeps things that move by themselves, which the camera module cannot follow, from flickering.

If frames are painted one by one, strokes do not follow the motion between them. Two remedies make them follow:

- The network sees a faint trace of the strokes in the previous picture, moved along. If it could lay a stroke here or
  there, the trace decides.
- Each picture is mixed with the previous one, moved along, wherever that was visible. Strokes that coincide stay
  the same. Where they do not, their mixture is paler than either, and a moved picture is less sharp; so the mixture is
  given the local contrast of the picture at several sizes of detail.

The moments of the normalisations do not cause the flicker: it stays the same if all frames share them.

References:
    Gupta, Johnson, Alahi, Fei-Fei: Characterizing and Improving Stability in Neural Style Transfer. ICCV 2017, arXiv
    1705.02092 (their network also sees the previous picture; unlike ours, it was trained to).
    Lai et al.: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449.
    Burt, Adelson: The Laplacian Pyramid as a Compact Image Code. IEEE Transactions on Communications, 1983.
    Heitz, Neyret: High-Performance By-Example Noise using a Histogram-Preserving Blending Operator. HPG 2018 (mixtures
    lose contrast, and how they get it back).
"""

from collections.abc import Callable

import numpy as np

from magstyle.video import optical_flow
from magstyle.video.camera import Camera

# The constants of this and of the other modules of motion weigh flicker against style, as `benchmarks/steadiness.py`
# prints them: "0.48, + 12 %" means 0.48 of the flicker of frames painted one by one, and a style loss 12 % higher. With
# --vary, it prints the same for other values. The figures here are the means of three styles of `painters` over 12
# frames of 208 x 160 pixels: "bikes", the middle of bikes.mp4, and "zoom", the benchmark's zoom over stanford.jpg. Both
# have 0.48, + 12 % with the constants as they are. Since then, trace and contrasts are computed at a fraction of the
# size, which changed no figure by more than 0.01.

# Opacity of the trace, and sigma of its blur in painted pixels; with less blur, fine detail accumulates from frame to
# frame. In bikes, an opacity of 0.04 gives 0.47, + 15 %, and 0.16 gives 0.49, + 16 %; a sigma of 2 gives 0.45, + 15 %,
# and 8 gives 0.50, + 7 %.
_TRACE, _BLUR_OF_TRACE = 0.08, 4
# The trace is moved at up to a quarter of the size, in both directions: it is blurred anyway.
_COARSER = 4
# Share of the previous picture in the mixture, where it is visible. A larger one is calmer, with less style: in bikes,
# 0.3 gives 0.74, + 8 %, and 0.8 gives 0.30, + 19 %. The second is the share where the picture is moved with the camera,
# whose canvas keeps the strokes already: in zoom, 0.175 gives 0.56, + 10 %, and 0.7 gives 0.33, + 20 %.
_SHARE, _SHARE_OF_VIEW = 0.6, 0.35
# The least motion of the camera, in pixels, for that second share. In zoom, 1 gives 0.43, + 15 %.
_FOLLOWED = 0.5
# A pixel within this distance, in pixels, of where the camera moves it, or of where it was, is taken to be exactly
# there: the flow is not more exact, and moving costs sharpness. Half and double hardly matter: 0.47 and 0.49 in zoom
# for the first, 0.48 in bikes for the second, at + 12 %.
_OF_VIEW, _STILL = 1.0, 0.3
# Sigma of the Gaussian at borders of hidden areas, in pixels. In bikes, 1 gives 0.46, + 13 %, and 4 gives 0.50, + 12 %.
_SOFT = 2
# The number of sizes of detail, each twice as large as the previous one, and the sigma of the Gaussian over which their
# contrast is averaged, in pixels of that size. Three sizes give 0.47, + 4 % in bikes, and 0.48, + 9 % in zoom; a
# sigma of 2 gives 0.50, + 15 % in bikes, and 8 gives 0.46, + 12 %.
_SIZES, _AROUND = 6, 4
# Contrast grows at most by this factor, which it seldom reaches: in bikes, 1.4 gives 0.47, + 11 %, and 4 gives the same
# as 2.
_LARGEST_GAIN = 2.0
# Keeps ratios of contrasts finite.
_TINY = 1e-6


class Trace:
    """Shows the network a trace of the strokes that it laid in the previous frame.

    Args:
        stroke_size: as for `Stylizer.stylize`; the blur of the trace grows by this factor.
    """

    def __init__(self, stroke_size: float = 1.0):
        self._blur = _BLUR_OF_TRACE * stroke_size
        self._strokes: np.ndarray | None = None

    def under(self, image: np.ndarray, motion: optical_flow.Motion | None) -> np.ndarray:
        """A frame with the trace on it, ready to be painted.

        Args:
            image: the frame, float32 [H, W, 3] in [0, 1].
            motion: its motion from the previous frame; None for the first frame.

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            InputError: if OpenCV is missing.
        """
        if motion is None or self._strokes is None or not motion.same_scene:
            return image
        cv2 = optical_flow.opencv()
        height, width, _ = image.shape
        coarser = max(1, min(_COARSER, int(self._blur)))
        size = max(1, width // coarser), max(1, height // coarser)
        strokes, flow = (
            cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (self._strokes, motion.flow)
        )
        # Scaling there and back blurs, too.
        blur = (self._blur**2 - (coarser**2 - 1) / 4) ** 0.5
        moved = _blurred(optical_flow.warp(strokes, flow / coarser), blur / coarser)
        trace = cv2.resize(moved, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        trace *= _TRACE * _softened(motion.visible)[..., None]
        trace += image
        return np.clip(trace, 0, 1, out=trace)

    def keep(self, image: np.ndarray, picture: np.ndarray) -> None:
        """Keeps the strokes of a frame for the next one.

        Args:
            image: the frame, as it was given to `under`.
            picture: its picture, of the same shape.
        """
        self._strokes = picture - image


class FramePainter:
    """Paints the frames of a clip, first to last, with strokes where the motion says.

    Each frame is painted on the canvas of the camera, with a trace of the strokes before. Without motion, each is
    painted by itself.

    Args:
        size: height and width of the frames.
        stroke_size: as for `Stylizer.stylize`.
    """

    def __init__(self, size: tuple[int, int], stroke_size: float = 1.0):
        self._camera, self._trace = Camera(size, stroke_size), Trace(stroke_size)

    def largest_canvas(self) -> tuple[int, int]:
        """The height and width of the largest image that is painted."""
        return self._camera.largest_canvas()

    def paint(
        self,
        image: np.ndarray,
        motion: optical_flow.Motion | None,
        stylize: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The picture of a frame, float32 [H, W, 3] in [0, 1].

        Args:
            image: the frame, float32 [H, W, 3] in [0, 1].
            motion: its motion from the previous frame; None for the first frame, or to paint each frame by itself.
            stylize: paints a canvas.

        Raises:
            InputError: if there is motion and OpenCV is missing.
        """
        placement = self._camera.follow(motion)
        picture = placement.take(stylize(placement.lay(self._trace.under(image, motion))))
        self._trace.keep(image, picture)
        return picture


class Steadiness:
    """Blends each picture of a clip with the previous one."""

    def __init__(self) -> None:
        self._picture: np.ndarray | None = None

    def steady(self, picture: np.ndarray, motion: optical_flow.Motion | None) -> np.ndarray:
        """A picture, blended with the previous one.

        Args:
            picture: the picture of a frame, float32 [H, W, 3] in [0, 1].
            motion: the frame's motion from the previous one; None for the first frame.

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            InputError: if OpenCV is missing.
        """
        if motion is not None and self._picture is not None and motion.same_scene:
            view = np.eye(3) if motion.view is None else motion.view
            flow = optical_flow.flow_of_view(view, picture.shape[:2])
            rest = motion.flow - flow
            by_itself = optical_flow.squared(rest) >= (_STILL if motion.view is None else _OF_VIEW) ** 2
            follows = ~by_itself & (optical_flow.squared(flow) >= _FOLLOWED**2)
            share = np.where(follows, np.float32(_SHARE_OF_VIEW), np.float32(_SHARE)) * motion.visible
            share = _softened(share)[..., None]
            moved = optical_flow.warp(self._picture, flow + rest * by_itself[..., None])
            mixture = picture + share * (moved - picture)
            picture = np.clip(_with_contrast_of(picture, mixture), 0, 1)
        self._picture = picture
        return picture


def _softened(share: np.ndarray) -> np.ndarray:
    """A share [H, W], reduced near where it is smaller, to soften its edges."""
    share = share.astype(np.float32)
    return np.minimum(_blurred(share, _SOFT), share)


def _with_contrast_of(picture: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """A mixture with at least the contrast that a picture has around each pixel, at every size of detail."""
    cv2 = optical_flow.opencv()
    details = []
    for _ in range(_SIZES):
        coarse = [cv2.pyrDown(image) for image in (picture, mixture)]
        of_picture, of_mixture = (
            image - cv2.pyrUp(smaller, dstsize=image.shape[1::-1])
            for image, smaller in zip((picture, mixture), coarse, strict=True)
        )
        gain = np.sqrt((_contrast(of_picture) + _TINY) / (_contrast(of_mixture) + _TINY)).clip(1, _LARGEST_GAIN)
        details.append(
            of_mixture * cv2.resize(gain, of_mixture.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
        )
        picture, mixture = coarse
    for detail in reversed(details):
        mixture = detail + cv2.pyrUp(mixture, dstsize=detail.shape[1::-1])
    return mixture


def _contrast(detail: np.ndarray) -> np.ndarray:
    """The mean square of details [H, W, 3] around each pixel, at half of their size: it is blurred anyway."""
    cv2 = optical_flow.opencv()
    height, width, _ = detail.shape
    halved = (width + 1) // 2, (height + 1) // 2
    return _blurred(cv2.resize(optical_flow.squared(detail), halved, interpolation=cv2.INTER_AREA), _AROUND / 2)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """An image [H, W] or [H, W, C], blurred by a Gaussian; sigma is in pixels."""
    cv2 = optical_flow.opencv()
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
