"""Transforms of pictures and evaluations: sizes from coarse to fine, shifts, tiles."""

import itertools
import math

import keras
import numpy as np

from magstyle import sizes
from magstyle.errors import InputError
from magstyle.optimization.pixels import Evaluation


def octave_sizes(size: tuple[int, int], octaves: int, scale: float = 2.0) -> list[tuple[int, int]]:
    """Heights and widths from coarse to fine, each `scale` times the one before it; the last is `size`.

    Raises:
        InputError: if the first is too small for VGG.
    """
    height, width = size
    scales = [scale**k for k in reversed(range(octaves))]
    found = [(max(1, round(height / divisor)), max(1, round(width / divisor))) for divisor in scales]
    if min(found[0]) < sizes.SMALLEST_FOR_VGG:
        raise InputError(
            f"octaves={octaves} begin with {found[0][1]} x {found[0][0]} pixels, of {width} x {height}; no side can "
            f"have fewer than {sizes.SMALLEST_FOR_VGG}",
            "octaves",
        )
    return found


def octave_steps(octaves: int, steps: int) -> list[int]:
    """The steps of each octave, out of `steps`: half as many as the one before it, which is smaller; at least one."""
    ends = [round(steps * (1 - 0.5**octave) / (1 - 0.5**octaves)) for octave in range(octaves + 1)]
    return [max(1, end - begin) for begin, end in itertools.pairwise(ends)]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image [H, W, C] in [0, 1] to a height and width, by antialiased bicubic interpolation."""
    if image.shape[:2] == tuple(size):
        return image
    resized = keras.ops.image.resize(image, size, interpolation="bicubic", antialias=True, data_format="channels_last")
    return np.clip(keras.ops.convert_to_numpy(resized), 0, 1)


def resize_change(change: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes the difference [H, W, C] of two images, in [-1, 1], to a height and width."""
    return 2 * resize((change + 1) / 2, size) - 1


def jittered(evaluate: Evaluation, rng: np.random.Generator) -> Evaluation:
    """Makes an evaluation shift the picture around by a random number of pixels, a new one each time."""

    def shifted(picture: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        shift = tuple(int(rng.integers(side)) for side in picture.shape[:2])
        terms, gradient = evaluate(np.roll(picture, shift, (0, 1)))
        return terms, np.roll(gradient, [-pixels for pixels in shift], (0, 1))

    return shifted


def tiled(evaluate: Evaluation, side: int) -> Evaluation:
    """Makes an evaluation go tile by tile, so that it takes the memory of one tile, however large the picture is.

    All tiles have one size, with no side longer than `side`, and overlap by a few pixels if that does not divide the
    picture's size. Terms are means over the tiles.
    """

    def by_tiles(picture: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        height, width, _ = picture.shape
        rows, columns = _cuts(height, side), _cuts(width, side)
        gradient = np.empty_like(picture)
        found = []
        for row in rows:
            for column in columns:
                terms, gradient[row, column] = evaluate(picture[row, column])
                found.append(terms)
        return {name: float(np.mean([terms[name] for terms in found])) for name in found[0]}, gradient

    return by_tiles


def _cuts(length: int, side: int) -> list[slice]:
    """The smallest number of pieces of one size, at most `side`, that cover a length."""
    count = math.ceil(length / side)
    piece = math.ceil(length / count)
    return [slice(start, start + piece) for start in (min(k * piece, length - piece) for k in range(count))]
