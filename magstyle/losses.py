"""The losses of neural style, as functions of images and of VGG features.

References:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576 (content, style).
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (normalisation, total
    variation).
    Welch: The Use of Fast Fourier Transform for the Estimation of Power Spectra. IEEE Trans. Audio Electroacoust., 1967
    (the mesh).
"""

from collections.abc import Mapping

import keras
import numpy as np

from magstyle import sizes

# Of the pixel loss: its resolutions, and the difference below which it is rounded off.
_PIXEL_SCALES = 4
_ROUNDING = 0.01
# Side in pixels of the tiles whose power spectra `mesh_loss` averages, and the numbers of waves per tile that count.
MESH_TILE = sizes.SMALLEST_FOR_MESH
_MESH_WAVES = (4, 14)
# The mesh of a typical painting, where 1 means that no direction stands out.
_MESH_OF_PAINTINGS = 1.1
# By how much `palette` reduces images, the pixels that it looks at, and the bases of colour on whose directions it
# projects them.
_PALETTE_REDUCTION, _PALETTE_POINTS, _PALETTE_BASES = 4, 4096, 4
# Linear sRGB to XYZ, in units of the white point D65; and functions of XYZ to L*a*b*, up to a constant.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
XYZ /= XYZ.sum(axis=1, keepdims=True)
LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])


def gram_matrix(features):
    """Features [B, H, W, C] to their Gram matrices F^T F / (H W), [B, C, C]."""
    batch, height, width, channels = keras.ops.shape(features)
    features = keras.ops.reshape(features, (batch, height * width, channels))
    # One of the two equal factors takes the gradient of both, which saves one of three large products.
    product = keras.ops.einsum("bnc,bnd->bcd", features, keras.ops.stop_gradient(features))
    product += keras.ops.transpose(product, (0, 2, 1)) - keras.ops.stop_gradient(product)
    return product / keras.ops.cast(height * width, features.dtype)


def content_loss(end_points: Mapping, target_end_points: Mapping, weights: Mapping[str, float]) -> dict:
    """How much the features differ from those of the photo.

    Args:
        end_points: features [B, H, W, C] of the stylised images, by end point.
        target_end_points: features of the photos.
        weights: one weight per end point that counts.

    Returns:
        One number per image, [B] each: for every end point `content_loss/<end point>`, the mean squared difference,
        and `weighted_content_loss/<end point>`; and `total_content_loss`, the sum of the weighted losses.
    """
    losses = {
        name: keras.ops.mean(keras.ops.square(end_points[name] - target_end_points[name]), axis=(1, 2, 3))
        for name in weights
    }
    return _named_terms("content_loss", losses, weights)


def style_loss(
    end_points: Mapping,
    target_gram_matrices: Mapping,
    weights: Mapping[str, float],
    style_coefficients: keras.KerasTensor | float | Mapping = 1.0,
) -> dict:
    """How much the Gram matrices of the features differ from those of the painting.

    Args:
        end_points: features [B, H, W, C] of the stylised images, by end point.
        target_gram_matrices: [B, C, C], or [1, C, C] for the whole batch, by end point.
        weights: one weight per end point that counts.
        style_coefficients: [B], multiplies the weights per image; or one number; or either by end point.

    Returns:
        `style_loss/<end point>`, `weighted_style_loss/<end point>`, `total_style_loss`, [B] each, as in `content_loss`.
    """
    losses = {
        name: keras.ops.mean(keras.ops.square(gram_matrix(end_points[name]) - target_gram_matrices[name]), axis=(1, 2))
        for name in weights
    }
    return _named_terms("style_loss", losses, weights, style_coefficients)


def pixel_loss(images, target_images):
    """How much images differ from others, pixel by pixel, at four resolutions; both [B, H, W, 3] in [0, 1], to [B].

    The sum of the mean absolute differences of the images and of their means over blocks of 2 x 2, 4 x 4 and 8 x 8
    pixels, which tell colours and larger shapes apart where details do not meet. Below 0.01, where absolute values have
    their corner, the difference is rounded off.

    Reference:
        Charbonnier, Blanc-Feraud, Aubert, Barlaud: Two deterministic half-quadratic regularization algorithms for
        computed imaging. ICIP 1994 (the rounding).
    """
    difference, loss = images - target_images, 0.0
    for scale in range(_PIXEL_SCALES):
        if scale:
            difference = keras.ops.average_pool(difference, 2, 2, data_format="channels_last")
        rounded = keras.ops.sqrt(keras.ops.square(difference) + _ROUNDING**2) - _ROUNDING
        loss += keras.ops.mean(rounded, axis=(1, 2, 3))
    return loss


def total_variation_loss(images):
    """Half the mean squared difference of neighbouring pixels, vertical plus horizontal; images [B, H, W, C] to [B].

    "Mean" as in Magenta: the vertical sum is divided by (H - 1) W C, the horizontal one by H (W - 1) C.
    """
    vertical = images[:, 1:] - images[:, :-1]
    horizontal = images[:, :, 1:] - images[:, :, :-1]
    return sum(keras.ops.mean(keras.ops.square(steps), axis=(1, 2, 3)) for steps in (vertical, horizontal)) / 2


def checkerboard_loss(images):
    """The mean square of the pattern that repeats every 4 pixels all over an image; [B, H, W, C] to [B].

    The pattern is the mean of all blocks of 4 x 4 pixels, minus the mean of the image; H and W are multiples of 4. The
    two up-samplings of a style transformer give the 16 pixels of a block different neighbourhoods, so that it can paint
    a grid over flat areas, which VGG takes for strokes.

    Reference:
        Odena, Dumoulin, Olah: Deconvolution and Checkerboard Artifacts. Distill, 2016.
    """
    batch, height, width, channels = keras.ops.shape(images)
    blocks = keras.ops.reshape(images, (batch, height // 4, 4, width // 4, 4, channels))
    pattern = keras.ops.mean(blocks, axis=(1, 3))
    return keras.ops.mean(keras.ops.var(pattern, axis=(1, 2)), axis=-1)


def mesh_loss(images):
    """How much of a mesh there is in the fine structure of an image; [B, H, W, C] in [0, 1] to [B].

    A network cannot paint flat areas of a photo at random. Trained long enough, it weaves one regular pattern over
    them, which Gram matrices hardly distinguish from strokes. In the power spectrum, such a pattern is a few peaks,
    whereas strokes spread around the origin. So at periods of 2.3 to 8 pixels, the power at each frequency is divided
    by the mean of all directions, tile by tile: calm tiles count as much as tiles with strong strokes. The mean of this
    ratio over the tiles is 1 where no direction stands out. The loss is the excess of the mean of its squares over 1.1,
    which is typical of paintings; the sum of that in red, green and blue, and of that in their differences, since a
    weave of two colours as bright as each other does not stand out from strokes otherwise.

    Args:
        images: with sides of at least MESH_TILE pixels; pixels beyond the last whole tile do not count.
    """
    red, green, blue = keras.ops.unstack(images, 3, axis=-1)
    differences = keras.ops.stack([red - green, blue - (red + green) / 2], axis=-1)
    return _mesh_in(images) + _mesh_in(differences)


def _mesh_in(images):
    """The mesh in some channels of images; as `mesh_loss`."""
    batch, height, width, channels = keras.ops.shape(images)
    rows, columns = height // MESH_TILE, width // MESH_TILE
    tiles = images[:, : rows * MESH_TILE, : columns * MESH_TILE]
    tiles = keras.ops.reshape(tiles, (batch, rows, MESH_TILE, columns, MESH_TILE, channels))
    tiles = keras.ops.transpose(tiles, (0, 1, 3, 5, 2, 4))
    tiles = keras.ops.reshape(tiles, (batch, rows * columns * channels, MESH_TILE, MESH_TILE))

    window, rings, counted = (keras.ops.convert_to_tensor(table, images.dtype) for table in _mesh_tables())
    mean = keras.ops.sum(tiles * window, axis=(2, 3), keepdims=True) / keras.ops.sum(window)
    tiles = (tiles - mean) * window
    real, imaginary = keras.ops.fft2((tiles, keras.ops.zeros_like(tiles)))
    power = keras.ops.reshape(keras.ops.square(real) + keras.ops.square(imaginary), (batch, -1, MESH_TILE**2))
    # Plus the noise of rounding to 8 bits, so that invisible patterns do not count.
    power += 1 / 255**2
    of_rings = keras.ops.matmul(power, rings / keras.ops.sum(rings, axis=0))
    stands_out = keras.ops.mean(power / keras.ops.matmul(of_rings, keras.ops.transpose(rings)), axis=1)
    return keras.ops.relu(keras.ops.matmul(keras.ops.square(stands_out), counted) - _MESH_OF_PAINTINGS)


def palette(images):
    """The colours of images, for `palette_loss` to compare; [B, H, W, 3] in [0, 1] to [B, directions, points].

    A few thousand pixels of the images at a quarter of their size, where a weave of two colours is as good as their
    mean, are projected on fixed directions of CIE L*a*b*, and sorted along each. H and W are at least 4.
    """
    images = keras.ops.average_pool(images, _PALETTE_REDUCTION, _PALETTE_REDUCTION, data_format="channels_last")
    batch, height, width, channels = keras.ops.shape(images)
    points = np.random.default_rng(0).integers(height * width, size=_PALETTE_POINTS)
    colours = keras.ops.take(keras.ops.reshape(images, (batch, height * width, channels)), points, axis=1)
    directions = keras.ops.convert_to_tensor(_palette_directions(), images.dtype)
    return keras.ops.sort(keras.ops.transpose(keras.ops.matmul(_lab(colours), directions), (0, 2, 1)), axis=-1)


def palette_loss(palettes, target_palettes):
    """How far colours are from others, wherever in the images they lie: their sliced Wasserstein distance.

    Args:
        palettes, target_palettes: two of `palette`, [B, directions, points] each.

    Returns:
        [B], in units of L*a*b*.

    Reference:
        Rabin, Peyré, Delon, Bernot: Wasserstein Barycenter and Its Application to Texture Mixing. SSVM 2011.
    """
    return keras.ops.mean(keras.ops.abs(palettes - target_palettes), axis=(1, 2))


def _palette_directions() -> np.ndarray:
    """Directions of L*a*b*, [3, directions]: orthogonal bases, which cover all directions evenly."""
    rng = np.random.default_rng(0)
    return np.concatenate([np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(_PALETTE_BASES)], axis=1)


def _lab(colours):
    """RGB in [0, 1] to CIE L*a*b* 1976, of sRGB."""
    # Never exactly 0, where the roots have no gradient.
    curved = ((keras.ops.maximum(colours, 0.04) + 0.055) / 1.055) ** 2.4
    linear = keras.ops.where(colours <= 0.04045, colours / 12.92, curved)
    xyz = keras.ops.matmul(linear, keras.ops.convert_to_tensor(XYZ.T, colours.dtype))
    roots = keras.ops.maximum(xyz, 0.008) ** (1 / 3)
    f = keras.ops.where(xyz > (6 / 29) ** 3, roots, xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return keras.ops.matmul(f, keras.ops.convert_to_tensor(LAB.T, colours.dtype))


def _mesh_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The constants of `mesh_loss`, for tiles of T x T pixels and R rings of frequencies of about the same length.

    Returns:
        A window [T, T] under which the power of white noise is its variance; the rings [T^2, R], 1 for the frequencies
        that are in a ring and 0 elsewhere; and the share of each frequency in the loss [T^2].
    """
    window = np.hanning(MESH_TILE + 2)[1:-1]
    window = window[:, None] * window
    frequencies = np.fft.fftfreq(MESH_TILE, 1 / MESH_TILE)
    length = np.rint(np.hypot(frequencies[:, None], frequencies)).ravel()
    least, most = _MESH_WAVES
    counted = (least <= length) & (length <= most)
    return window / np.linalg.norm(window), length[:, None] == np.unique(length), counted / counted.sum()


def _named_terms(
    kind: str, losses: Mapping, weights: Mapping[str, float], coefficients: keras.KerasTensor | float | Mapping = 1.0
) -> dict:
    """Losses [B] by end point under the names that training reports, with their weighted sum."""
    if not isinstance(coefficients, Mapping):
        coefficients = dict.fromkeys(losses, coefficients)
    terms = {f"{kind}/{name}": loss for name, loss in losses.items()}
    weighted = {f"weighted_{kind}/{name}": loss * coefficients[name] * weights[name] for name, loss in losses.items()}
    return {**terms, **weighted, f"total_{kind}": sum(weighted.values())}
