"""A margin of mirrored photo around every image, which is painted with it and then cut off.

At the borders of its input, each convolution of the network mirrors the features, whatever the strokes there. Within a
few pixels of a border, its pictures are therefore pale, with lines along the border. With a margin, these pixels are
cut off.
"""

import numpy as np

from magstyle import sizes

# In pixels: a multiple of 4, so that strokes keep their places on the grid of the network's coarsest features. As
# `benchmarks/borders.py --margins 12 16 24` shows, 12 leaves lines in some styles, and 24 takes longer for little.
MARGIN = 16


def framed(side: int) -> int:
    """The side, in pixels, of the image that the network gets for one with this side."""
    return sizes.padded(side + 2 * MARGIN)


def laid(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] with its margin, [framed(H), framed(W), C]; one smaller than that is mirrored repeatedly."""
    padding = [(MARGIN, framed(side) - side - MARGIN) for side in image.shape[:2]]
    return np.pad(image, [*padding, (0, 0)], mode="reflect")


def cut(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture [height, width, C] of an image of this size, without the margin that was painted with it."""
    return picture[MARGIN:, MARGIN:][:height, :width]
