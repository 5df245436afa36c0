"""The colours of pictures: kept from the photo, or taken from any image."""

import numpy as np

from magstyle.data import images
from magstyle.errors import InputError

# Y of YIQ (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Variances of colours below this are rounding: it is the square of a fifth of an eight-bit step.
_LEAST_VARIANCE = 6e-7


def preserve_color(photo: images.Pixels, stylized: images.Pixels) -> np.ndarray:
    """The strokes of a stylised photo in the colours of the photo.

    Takes luminance from `stylized` and chrominance from `photo`, and clips the result to [0, 1].

    Args:
        photo: [H, W, 3], floats in [0, 1] or uint8; or an image of Pillow's.
        stylized: an image of the same size.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: for anything that is not an image, or images of two sizes.

    Reference:
        Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer (luminance-only
        transfer). arXiv 1606.05897.
    """
    photo, stylized = images.as_image(photo), images.as_image(stylized)
    if photo.shape != stylized.shape:
        raise InputError(
            f"photo has {photo.shape[1]} x {photo.shape[0]} pixels, but stylized {stylized.shape[1]} x "
            f"{stylized.shape[0]}",
            *("photo", "stylized"),
        )
    return np.clip(photo + ((stylized - photo) @ LUMINANCE)[..., None], 0, 1)


def match_color(image: images.Pixels, reference: images.Pixels) -> np.ndarray:
    """An image in the colours of another one.

    A linear map of colours, x -> A x + b, gives the image the mean and the covariance of the reference; A is made of
    the symmetric square roots of both covariances. Values outside [0, 1] are clipped.

    Args:
        image: [H, W, 3], floats in [0, 1] or uint8; or an image of Pillow's.
        reference: an image of any size.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: for anything that is not an image.

    Reference:
        Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer (color histogram
        matching). arXiv 1606.05897.
    """
    image, reference = images.as_image(image), images.as_image(reference)
    mean, covariance = _moments(image)
    wanted_mean, wanted_covariance = _moments(reference)
    matrix = _power(wanted_covariance, 0.5) @ _power(covariance, -0.5)
    offset = wanted_mean - matrix @ mean
    return np.clip(image @ matrix.T.astype(np.float32) + offset.astype(np.float32), 0, 1)


def _moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [3] and the covariance [3, 3] of an image's colours."""
    colors = image.reshape(-1, 3)
    mean = colors.mean(axis=0, dtype=np.float64)
    centred = colors - mean.astype(np.float32)
    return mean, (centred.T @ centred).astype(np.float64) / len(colors)


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    """A symmetric power of a covariance, which may be singular, as that of an image of one colour or of greys."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.maximum(values, _LEAST_VARIANCE) ** exponent @ vectors.T
