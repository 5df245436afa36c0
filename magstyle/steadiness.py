"""Pictures of a clip that do not flicker.

Painted one by one, the strokes of neighbouring frames are not where the frames' motion says. So each picture is mixed
with the one before, moved along, wherever that was visible. Of strokes that do not meet, a mixture is paler than
either, and a moved picture is less sharp; so the mixture gets the local contrast of the picture back, at several sizes
of detail. The moments of the normalisations are not to blame: shared among all frames, they leave the flicker as it is.

References:
    Lai et al.: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449.
    Heitz, Neyret: High-Performance By-Example Noise using a Histogram-Preserving Blending Operator. HPG 2018 (mixtures
    lose contrast, and get it back).
"""

import numpy as np

from magstyle import optical_flow

# Of the picture before, where it is visible.
_SHARE = 0.65
# Deviations of Gaussians, in pixels: between sizes of detail, around a pixel to tell the contrast, at hidden borders.
_DETAILS, _AROUND, _SOFT = (1, 2, 4), 8, 2
# Contrast grows by no more than that.
_LARGEST_GAIN = 2.0
_TINY = 1e-6
# With less in common, a frame begins another scene.
_SAME_SCENE = 0.3
# A pixel that changes by more is another one.
_SAME_PIXEL = 0.15


class Steadiness:
    """Mixes the pictures of a clip, one after the other, with those before."""

    def __init__(self):
        self._frame, self._picture = None, None

    def steady(self, frame: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """A picture that follows from those before.

        Args:
            frame: of the clip, uint8 RGB [H, W, 3].
            picture: of that frame, float32 [H, W, 3] in [0, 1].

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            InputError: if OpenCV is missing.
        """
        if self._frame is not None:
            flow, visible = optical_flow.motion(self._frame, frame)
            change = np.abs(optical_flow.warp(self._frame.astype(np.float32), flow) - frame).mean(axis=-1) / 255
            visible &= change < _SAME_PIXEL
            if visible.mean() >= _SAME_SCENE:
                share = np.minimum(_blurred(visible.astype(np.float32), _SOFT), visible)[..., None] * _SHARE
                mixture = picture + share * (optical_flow.warp(self._picture, flow) - picture)
                picture = np.clip(_with_contrast_of(picture, mixture), 0, 1)
        self._frame, self._picture = frame, picture
        return picture


def _with_contrast_of(picture: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """A mixture with at least the contrast that a picture has around each pixel, at every size of detail."""
    found = 0
    for deviation in _DETAILS:
        coarse_mixture, coarse_picture = _blurred(mixture, deviation), _blurred(picture, deviation)
        detail = mixture - coarse_mixture
        have, want = (
            _blurred(np.einsum("hwc,hwc->hw", values, values), _AROUND) + _TINY
            for values in (detail, picture - coarse_picture)
        )
        found = found + detail * np.clip(np.sqrt(want / have), 1, _LARGEST_GAIN)[..., None]
        mixture, picture = coarse_mixture, coarse_picture
    return found + mixture


def _blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """Of an image [H, W] or [H, W, C]."""
    cv2 = optical_flow.opencv()
    return cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
