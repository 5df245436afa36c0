"""The sizes of images that the network takes.

It halves an image twice, so sides must be multiples of 4. It reflects 4 pixels at the borders of the image, and 1 pixel
at those of the image at a quarter of its size, so sides must be at least 8.
"""

MULTIPLE = 4
SMALLEST_SIDE = 8
# VGG halves an image four times before its last block.
SMALLEST_FOR_VGG = 16
# The mesh loss averages over whole tiles of this side.
SMALLEST_FOR_MESH = 32


def padded(side: int) -> int:
    """The smallest side, in pixels, that the network takes and that is at least this long."""
    return max(SMALLEST_SIDE, -(-side // MULTIPLE) * MULTIPLE)
