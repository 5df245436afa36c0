"""Regions of a photo that are painted in styles of their own, as masks say it: black to white, with soft edges."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from magstyle import files
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.painting import strokes

if TYPE_CHECKING:
    from magstyle.painting.stylizer import Stylizer

# A mask in a file, or [h, w] or [h, w, 3] in [0, 1].
Image = str | os.PathLike | np.ndarray
# With the style of what is white in each, by number or name.
Masks = Sequence[tuple[Image, int | str | Mapping[int | str, float]]]
# A style by this name is what no mask covers and nothing paints, unless the model has one.
PHOTO = "photo"


def opened(masks: Masks, stylizer: "Stylizer") -> tuple[list[Image], list[np.ndarray]]:
    """The images of masks and the weights [num_styles] of their styles.

    Raises:
        InputError: for what is no pair of an image and a style, for an image that cannot be read, and for a style that
            the model does not have.
    """
    for pair in masks:
        if not (
            isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str | os.PathLike | np.ndarray)
        ):
            raise InputError('mask must be images with their styles, such as [("sky.png", "wave")]', "mask")
        as_image(pair[0])
    return [image for image, _ in masks], [stylizer.style_weights(style) for _, style in masks]


def check_shape(mask: Image, size: tuple[int, int], photo: str) -> None:
    """Raises an InputError unless a mask can be scaled to the height and width of a photo without being distorted.

    Args:
        mask: any image; of a file, the header is read.
        size: height and width of the photo.
        photo: what to call it.
    """
    is_array = isinstance(mask, np.ndarray)
    height, width = mask.shape[:2] if is_array else images.read_size(files.expanded(mask))
    # Sides are whole numbers, so either one may be off by less than one.
    if abs(height * size[1] - width * size[0]) >= max(*size, height, width):
        called = "a mask" if is_array else f"the mask {mask}"
        raise InputError(
            f"{called} of {width} x {height} pixels has another shape than {photo}, of {size[1]} x {size[0]}", "mask"
        )


def as_image(image: Image) -> np.ndarray:
    """An image as float32 RGB [H, W, 3] in [0, 1], read from its file if it is in one; [H, W] is grey.

    Raises:
        InputError: for what is no image.
    """
    if not isinstance(image, np.ndarray):
        return images.read_image(files.expanded(image))
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"an image must have the shape [H, W] or [H, W, 3], not {list(image.shape)}")
    return np.clip(image, 0, 1, dtype=np.float32)


def read(mask: Image, size: tuple[int, int]) -> np.ndarray:
    """A mask, float32 [H, W] in [0, 1], scaled to this height and width; colours count by their mean.

    Raises:
        InputError: as `as_image`.
    """
    values = as_image(mask).mean(axis=2, keepdims=True)
    return np.clip(strokes.averaged(values, size)[..., 0], 0, 1)


def style_weights(masks: Sequence[np.ndarray], weights: Sequence[np.ndarray], rest: np.ndarray | None) -> np.ndarray:
    """The weights of the styles for every pixel, float32 [H, W, num_styles].

    Args:
        masks: [H, W] in [0, 1] each. Where they add up to more than 1, they share.
        weights: [num_styles] of each mask.
        rest: [num_styles] of what is in no mask; None if nobody sees it, so that the styles of the masks continue.
    """
    shares, weights = [*masks], [*weights]
    if rest is None:
        # Where there is a mask, it is as good as alone; elsewhere all are alike.
        shares = [mask + np.float32(1e-3) for mask in masks]
    else:
        shares.append(1 - covered(masks))
        weights.append(rest)
    shares = np.stack(shares, axis=-1)
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares @ np.stack(weights).astype(np.float32)


def covered(masks: Sequence[np.ndarray]) -> np.ndarray:
    """How much of each pixel is in a mask, float32 [H, W] in [0, 1]."""
    return np.minimum(sum(masks), 1, dtype=np.float32)


def needed(masks: int, num_styles: int, height: int, width: int) -> int:
    """The bytes that masks of this size take, with the weights of every pixel."""
    return height * width * (2 * (masks + 1) + num_styles) * 4
