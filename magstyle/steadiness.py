"""Pictures of a clip that do not flicker, where `magstyle.camera` is not enough: on what moves by itself.

Painted one by one, the strokes of neighbouring frames are not where the frames' motion says. So each picture is mixed
with the one before, moved along, wherever that was visible. Where strokes do meet, this changes nothing. Of strokes
that do not, a mixture is paler than either, and a moved picture is less sharp; so the mixture gets the local contrast
of the picture back, at several sizes of detail. The moments of the normalisations are not to blame: shared among all
frames, they leave the flicker as it is.

References:
    Lai et al.: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449.
    Burt, Adelson: The Laplacian Pyramid as a Compact Image Code. IEEE Transactions on Communications, 1983.
    Heitz, Neyret: High-Performance By-Example Noise using a Histogram-Preserving Blending Operator. HPG 2018 (mixtures
    lose contrast, and get it back).
"""

import numpy as np

from magstyle import optical_flow

# Of the picture before, where it is visible.
_SHARE = 0.58
# What moves by fewer pixels stands still: the flow is not that exact, and moving would cost sharpness.
_STILL = 0.3
# Deviation of the Gaussian at borders of what is hidden, in pixels.
_SOFT = 2
# How many sizes of detail there are, each twice as large; and the deviation of the Gaussian around a pixel that its
# contrast is told from, in pixels of that size.
_SIZES, _AROUND = 6, 4
# Contrast grows by no more than that.
_LARGEST_GAIN = 2.0
_TINY = 1e-6


class Steadiness:
    """Mixes the pictures of a clip, one after the other, with those before."""

    def __init__(self):
        self._picture = None

    def steady(self, picture: np.ndarray, motion: optical_flow.Motion | None) -> np.ndarray:
        """A picture that follows from those before.

        Args:
            picture: of a frame, float32 [H, W, 3] in [0, 1].
            motion: of the frame, from the one before; None of the first.

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            InputError: if OpenCV is missing.
        """
        if motion is not None and motion.same_scene:
            moves = np.einsum("hwc,hwc->hw", motion.flow, motion.flow) >= _STILL**2
            share = np.minimum(_blurred(motion.visible.astype(np.float32), _SOFT), motion.visible)[..., None] * _SHARE
            mixture = picture + share * (optical_flow.warp(self._picture, motion.flow * moves[..., None]) - picture)
            picture = np.clip(_with_contrast_of(picture, mixture), 0, 1)
        self._picture = picture
        return picture


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
        gain = np.sqrt((_contrast(of_picture) + _TINY) / (_contrast(of_mixture) + _TINY))
        details.append(of_mixture * np.clip(gain, 1, _LARGEST_GAIN)[..., None])
        picture, mixture = coarse
    for detail in reversed(details):
        mixture = detail + cv2.pyrUp(mixture, dstsize=detail.shape[1::-1])
    return mixture


def _contrast(detail: np.ndarray) -> np.ndarray:
    """The mean square, [H, W], of details [H, W, 3] around each pixel."""
    return _blurred(np.einsum("hwc,hwc->hw", detail, detail), _AROUND)


def _blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """Of an image [H, W]."""
    cv2 = optical_flow.opencv()
    return cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
