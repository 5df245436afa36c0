"""Strokes of another size: a photo painted smaller or larger, and the picture brought back to the photo's size."""

import numpy as np
from PIL import Image

from magstyle.painting.colors import LUMINANCE

# Side of the window in which a painting may follow its photo, in pixels of the painting.
_WINDOW = 5
# Contrasts of the photo below this are noise, not detail to follow.
_EPSILON = 0.01**2


def painting_size(size: tuple[int, int], stroke_size: float) -> tuple[int, int]:
    """Height and width to paint a photo of this size at, so that strokes end up `stroke_size` times as large.

    As in the web page, a half is rounded to the even neighbour.
    """
    height, width = (max(1, round(side / stroke_size)) for side in size)
    return height, width


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [H, W, C], scaled to this height and width (Lanczos, antialiased); float32, clipped to [0, 1]."""
    return np.clip(_resized(image, size), 0, 1)


def averaged(weights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Weights [H, W, C], scaled to this height and width, none beyond those given; float32."""
    return _resized(weights, size, Image.Resampling.BILINEAR)


def with_strength(picture: np.ndarray, photo: np.ndarray, strength: float) -> np.ndarray:
    """A picture faded towards its photo: strength 0 gives the photo, 1 the picture; all [H, W, 3] in [0, 1]."""
    return picture if strength == 1 else np.clip(photo + np.float32(strength) * (picture - photo), 0, 1)


def enlarged(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Enlarges a picture that was painted small to the size of its photo, and restores the photo's fine detail.

    In a window around each pixel, the small picture is fitted as a * light + b to the light of the small photo. The
    detail that the small photo has lost is added, times a. Where strokes do not follow the photo, a is 0, and they stay
    as they are. `magstyle/export/page/strokes.js` does the same.

    Args:
        picture: [h, w, 3] in [0, 1].
        photo: [H, W, 3] in [0, 1].

    Returns:
        float32 [H, W, 3] in [0, 1].

    Reference:
        He, Sun: Fast Guided Filter. arXiv 1505.00996.
    """
    size = photo.shape[:2]
    light = photo @ LUMINANCE
    small = _resized(light[..., None], picture.shape[:2])
    mean = _box(small)
    variance = _box(small * small) - mean * mean
    covariance = _box(small * picture) - mean * _box(picture)
    slopes = _box(covariance / (variance + _EPSILON))
    detail = light[..., None] - _resized(small, size)
    result = _resized(picture, size)
    result += _resized(slopes, size) * detail
    return np.clip(result, 0, 1, out=result)


def _box(values: np.ndarray) -> np.ndarray:
    """The means of windows of [h, w, C]; beyond its borders, an image goes on as it ends there."""
    for axis in (0, 1):
        around = [(0, 0)] * 3
        around[axis] = (_WINDOW // 2, _WINDOW // 2)
        padded = np.moveaxis(np.pad(values, around, mode="edge"), axis, 0)
        shifted = (padded[k : k + values.shape[axis]] for k in range(_WINDOW))
        values = np.moveaxis(sum(shifted) / np.float32(_WINDOW), 0, axis)
    return values


def _resized(
    values: np.ndarray, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.LANCZOS
) -> np.ndarray:
    height, width = size
    result = np.empty((height, width, values.shape[2]), np.float32)
    for k in range(values.shape[2]):
        channel = Image.fromarray(np.ascontiguousarray(values[..., k], np.float32))
        result[..., k] = np.asarray(channel.resize((width, height), resample))
    return result


def needed(height: int, width: int) -> int:
    """The bytes that enlarging a picture to this size takes in addition to the photo."""
    return height * width * 14 * 4
