"""Regions of a photo in styles of their own. Masks are white inside and black outside, and may have soft edges."""

import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from magstyle.data import images
from magstyle.errors import InputError
from magstyle.painting import strokes
from magstyle.painting.stylizer import Style, Stylizer

# A mask: a file, an image of Pillow's, or an array [h, w] or [h, w, 3], floats in [0, 1], uint8 or truth values.
Mask = str | os.PathLike | images.Pixels
# Masks, each with the style of its white area, by number or name.
Masks = Sequence[tuple[Mask, int | str | Mapping[int | str, float]]]
# A style by this name leaves what no mask covers as it is, unless the model has one of that name.
PHOTO = "photo"
# How far the aspect ratios of a mask and a photo may differ by rounding, as that of a small mask may.
_LARGEST_DISTORTION = 0.05


class Regions:
    """The regions of a picture: masks with their styles. Without masks, there are none, and it is false.

    Args:
        masks: the masks, each with its style.
        stylizer: of the model whose styles these are.

    Raises:
        InputError: for a mask without a style, an image that cannot be read, or a style that the model does not have.
    """

    def __init__(self, masks: Masks, stylizer: Stylizer):
        for pair in masks:
            is_pair = isinstance(pair, list | tuple) and len(pair) == 2
            if not (is_pair and isinstance(pair[0], Mask)):
                raise InputError('mask must be images with their styles, such as [("sky.png", "wave")]', "mask")
        # Read now, so that an image that cannot be read is refused at once.
        self._masks = [images.as_mask(image)[..., None] for image, _ in masks]
        self._images = [image for image, _ in masks]
        self._weights = [stylizer.style_weights(style) for _, style in masks]
        self._labels = [stylizer.label(style) for _, style in masks]
        self._num_styles = stylizer.network.num_styles

    def of_rest(self, style: Style, stylizer: Stylizer) -> np.ndarray | None:
        """The weights [num_styles] where there is no mask; None for "photo", which leaves the photo as it is there.

        Raises:
            InputError: for "photo" without masks, or a style that the model does not have.
        """
        if style != PHOTO or PHOTO in stylizer.network.style_names:
            return stylizer.style_weights(style)
        if not self:
            raise InputError(f"which_styles={PHOTO} needs a mask", "which_styles", "mask")
        return None

    def __bool__(self) -> bool:
        return bool(self._images)

    def variation(self) -> list[str]:
        """The masks and their styles, as parts of a file name, such as `mask-sky-wave`."""
        masks = zip(self._images, self._masks, self._labels, strict=True)
        return [f"mask-{in_name(image, pixels)}-{label}" for image, pixels, label in masks]

    def check_shape(self, size: tuple[int, int], photo: str) -> None:
        """Raises an InputError unless the masks can be scaled to a photo without being distorted.

        Args:
            size: height and width of the photo, in pixels.
            photo: its name, for the message.
        """
        for image, mask in zip(self._images, self._masks, strict=True):
            height, width, _ = mask.shape
            # Sides are whole numbers, so either one may be off by less than one.
            off = abs(height * size[1] - width * size[0])
            if off >= max(*size, height, width) or off > _LARGEST_DISTORTION * width * size[0]:
                called = f"the mask {image}" if isinstance(image, str | os.PathLike) else "a mask"
                raise InputError(
                    f"{called} of {width} x {height} pixels has another shape than {photo}, of {size[1]} x {size[0]}",
                    "mask",
                )

    def num_styles(self, others: Iterable[np.ndarray | None]) -> int:
        """The number of styles used by the masks or by `others`, weights [num_styles]; 0 without masks."""
        in_use = [weights for weights in (*self._weights, *others) if weights is not None]
        return int(np.count_nonzero(np.any(in_use, axis=0))) if self else 0

    def memory(self, height: int, width: int) -> int:
        """The bytes that masks of this size take, with the weights of every pixel."""
        return height * width * (3 * len(self._images) + 2 + self._num_styles) * 4 if self else 0

    def read(self, size: tuple[int, int]) -> list[np.ndarray]:
        """The masks, float32 [H, W] in [0, 1] each, scaled to this height and width."""
        return [np.clip(strokes.averaged(mask, size)[..., 0], 0, 1) for mask in self._masks]

    def style_weights(self, areas: Sequence[np.ndarray], rest: np.ndarray | None) -> np.ndarray | None:
        """The weights of the styles for every pixel, float32 [H, W, num_styles]; without masks, those of the rest.

        Args:
            areas: the masks, as `read` returns them.
            rest: [num_styles] where there is no mask; None if the photo stays as it is there.
        """
        return style_weights(areas, self._weights, rest) if self else rest

    def leave_rest(self, areas: Sequence[np.ndarray], image: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """A picture [H, W, 3] where there are masks, and elsewhere its photo."""
        return image + covered(areas)[..., None] * (picture - image)


def in_name(image: object, pixels: np.ndarray) -> str:
    """How an image is told in the name of a picture made with it: by the name of its file, or by its pixels."""
    if isinstance(image, str | os.PathLike):
        return pathlib.Path(image).stem
    return f"{zlib.crc32(np.ascontiguousarray(pixels).data):08x}"


def style_weights(masks: Sequence[np.ndarray], weights: Sequence[np.ndarray], rest: np.ndarray | None) -> np.ndarray:
    """The weights of the styles for every pixel, float32 [H, W, num_styles].

    Args:
        masks: [H, W] in [0, 1] each. Where they add up to more than 1, they share.
        weights: [num_styles] of each mask.
        rest: [num_styles] where there is no mask; None if nobody sees it, so that the styles of the masks continue.
    """
    if rest is None:
        # Where there is a mask, it is as good as alone; elsewhere all masks have the same share.
        shares, weights = [mask + np.float32(1e-3) for mask in masks], list(weights)
    else:
        shares, weights = [*masks, 1 - covered(masks)], [*weights, rest]
    mixed = np.stack(shares, axis=-1)
    mixed /= mixed.sum(axis=-1, keepdims=True)
    return mixed @ np.stack(weights).astype(np.float32)


def covered(masks: Sequence[np.ndarray]) -> np.ndarray:
    """How much of each pixel is in a mask, float32 [H, W] in [0, 1]."""
    return np.minimum(sum(masks), 1, dtype=np.float32)
