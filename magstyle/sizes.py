"""The sizes of images that the network takes.

It shrinks an image twice by 2, so its sides are multiples of 4; it reflects 4 pixels at the borders of the image and 1
at those of the image shrunken by 4, so nothing below 8 x 8 has enough of them.
"""

MULTIPLE = 4
SMALLEST_SIDE = 8
# VGG shrinks an image four times by 2 before its last block.
SMALLEST_FOR_VGG = 16


def padded(side: int) -> int:
    """The smallest side, in pixels, that the network takes and an image with this side fits into."""
    return max(SMALLEST_SIDE, -(-side // MULTIPLE) * MULTIPLE)
