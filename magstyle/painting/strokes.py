"""Strokes of another size: a photo painted smaller or larger, and the picture brought back to the photo's size."""

from collections.abc import Callable
from concurrent import futures

import numpy as np
from PIL import Image

from magstyle.painting.colors import LUMINANCE

# Side of the window in which a painting may follow its photo, in pixels of the painting.
_WINDOW = 5
# Contrasts of the photo below this are noise, not detail to follow.
_EPSILON = 0.01**2
# Strokes at least this large get a second pass. Its strokes are smaller by the second factor, and never larger than the
# third number. Of several that were looked at on portraits and houses of 12 megapixels, these remove most flaws.
_FINISHED_FROM, _FINER_BY, _LARGEST_FINISHING = 2.5, 1.25, 2.4
# How much of the finishing pass shows; with more, it adds strokes of its own.
_FINISH = 0.5


def painting_size(size: tuple[int, int], stroke_size: float) -> tuple[int, int]:
    """Height and width to paint a photo of this size at, so that strokes end up `stroke_size` times as large.

    As in the web page, a half is rounded to the even neighbour.
    """
    height, width = (max(1, round(side / stroke_size)) for side in size)
    return height, width


def finishing_size(size: tuple[int, int], stroke_size: float) -> tuple[int, int] | None:
    """Height and width of the second pass, which finishes large strokes; None for strokes that need none.

    What the first pass painted has ripples, staircases and coloured fringes of a few pixels, which show when they are
    enlarged. Painted once more at a size in between, they become strokes.
    """
    if stroke_size < _FINISHED_FROM:
        return None
    return painting_size(size, min(stroke_size / _FINER_BY, _LARGEST_FINISHING))


def passes(size: tuple[int, int], stroke_size: float, finish: bool = True) -> list[tuple[int, int]]:
    """The heights and widths at which a photo of this size is painted, in turn; arguments as of `Stylizer.stylize`."""
    painted = painting_size(size, stroke_size)
    finishing = finishing_size(size, stroke_size) if finish and painted != size else None
    return [painted, finishing] if finishing else [painted]


def finished(picture: np.ndarray, finer: np.ndarray) -> np.ndarray:
    """A picture with half of the one that a finishing pass made of it; both [H, W, 3] in [0, 1]."""
    return picture + np.float32(_FINISH) * (finer - picture)


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
    light -= _resized_plane(small[..., 0], size)
    result = np.empty(photo.shape, np.float32)

    def enlarge(k: int) -> None:
        color = _resized_plane(slopes[..., k], size)
        color *= light
        color += _resized_plane(picture[..., k], size)
        np.clip(color, 0, 1, out=result[..., k])

    _in_threads(enlarge, 3)
    return result


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
    result = np.empty((*size, values.shape[2]), np.float32)

    def resize(k: int) -> None:
        result[..., k] = _resized_plane(values[..., k], size, resample)

    _in_threads(resize, values.shape[2])
    return result


def _resized_plane(
    values: np.ndarray, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.LANCZOS
) -> np.ndarray:
    height, width = size
    return np.array(Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((width, height), resample))


def _in_threads(work: Callable[[int], None], number: int) -> None:
    """Does some work for each of the numbers from 0; Pillow and NumPy compute without Python's lock."""
    with futures.ThreadPoolExecutor() as threads:
        list(threads.map(work, range(number)))


def needed(height: int, width: int) -> int:
    """The bytes that enlarging a picture to this size takes in addition to the photo."""
    return height * width * 14 * 4
