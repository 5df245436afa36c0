"""Measures of the colours and small shapes of a picture, without any network.

Losses judge pictures by features of the very network that they were trained with. These measures need no network. They
compare the pixels of two images, wherever in the image they lie, by their sliced Wasserstein distance: colours, or
small patches of them, are projected on random directions, and the quantiles of the projections are compared.

References:
    Rabin, Peyré, Delon, Bernot: Wasserstein Barycenter and Its Application to Texture Mixing. SSVM 2011 (sliced
    Wasserstein distance).
    CIE 1976 L*a*b*, of sRGB (IEC 61966-2-1, white point D65).
"""

import numpy as np

from magstyle.losses import LAB, XYZ

_DIRECTIONS, _POINTS, _QUANTILES = 64, 4096, 512
_PATCH, _REDUCTION = 3, 4


def palette(image: np.ndarray) -> np.ndarray:
    """The colours of an image, for `distance` to compare.

    Args:
        image: [H, W, 3], RGB in [0, 1], of any size.

    Returns:
        The quantiles of its pixels along fixed directions of CIE L*a*b*, [directions, quantiles].
    """
    return _quantiles(np.reshape(image, (-1, 1, 3)))


def pattern(image: np.ndarray) -> np.ndarray:
    """The small shapes of an image, seen at a quarter of its size, for `distance` to compare.

    Args:
        image: [H, W, 3], RGB in [0, 1], of any size.

    Returns:
        The quantiles of its patches of 3 x 3 reduced pixels, along fixed directions in the 27 dimensions of their CIE
        L*a*b* values, [directions, quantiles].
    """
    windows = np.lib.stride_tricks.sliding_window_view(_reduced(image), (_PATCH, _PATCH), axis=(0, 1))
    return _quantiles(np.moveaxis(windows, 2, -1).reshape(-1, _PATCH * _PATCH, 3))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The sliced Wasserstein distance of two images' `palette`, or `pattern`, in units of L*a*b*.

    It is 0 for the same colours, or patches, in the same amounts.
    """
    return float(np.abs(one - other).mean())


def _quantiles(points: np.ndarray) -> np.ndarray:
    """The quantiles of points [N, pixels, 3] along directions of their pixels' L*a*b* values."""
    if len(points) > _POINTS:
        points = points[np.random.default_rng(0).integers(len(points), size=_POINTS)]
    points = _lab(points).reshape(len(points), -1)
    # A new generator, so that directions are the same whether points were drawn above or not.
    rng, dimensions = np.random.default_rng(0), points.shape[1]
    # Whole orthogonal bases cover all directions evenly, so a few of them are enough.
    bases = [np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0] for _ in range(0, _DIRECTIONS, dimensions)]
    ranks = (np.arange(_QUANTILES) + 0.5) / _QUANTILES * len(points)
    return np.sort(np.concatenate(bases) @ points.T)[:, ranks.astype(int)]


def _lab(colours: np.ndarray) -> np.ndarray:
    colours = np.asarray(colours, np.float64)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear @ XYZ.T
    roots = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return roots @ LAB.T - np.array([16, 0, 0])


def _reduced(image: np.ndarray) -> np.ndarray:
    """An image at a quarter of its size; its border is repeated if it would otherwise be smaller than a patch."""
    missing = [(0, max(0, _PATCH * _REDUCTION - side)) for side in np.shape(image)[:2]]
    image = np.pad(image, [*missing, (0, 0)], mode="edge")
    height, width = (side // _REDUCTION for side in image.shape[:2])
    blocks = image[: height * _REDUCTION, : width * _REDUCTION]
    return blocks.reshape(height, _REDUCTION, width, _REDUCTION, 3).mean(axis=(1, 3))
