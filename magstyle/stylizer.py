"""A photo of any size in, the stylised photo of the same size out."""

import os
from collections.abc import Mapping

import numpy as np
import psutil

from magstyle import checkpoints, sizes
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer

# Y of YIQ (ITU-R BT.601).
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class Stylizer:
    """Stylises photos with one model.

    Args:
        checkpoint_or_model: a StyleTransformer, or anything that `checkpoints.load_model` opens.

    Raises:
        InputError: where load_model does.
    """

    def __init__(self, checkpoint_or_model: StyleTransformer | str | os.PathLike):
        if not isinstance(checkpoint_or_model, StyleTransformer):
            checkpoint_or_model = checkpoints.load_model(checkpoint_or_model)
        self.model = checkpoint_or_model

    def stylize(self, image: np.ndarray, style_weights: np.ndarray) -> np.ndarray:
        """Stylises one photo.

        Args:
            image: [H, W, 3], RGB in [0, 1], of any size from 1 x 1. It is reflected at its lower and right borders to
                multiples of 4 (at least 8), and the result is cropped.
            style_weights: [num_styles], as `style_weights()` returns them.

        Returns:
            float32 [H, W, 3] in [0, 1].

        Raises:
            ValueError: for other shapes.
            InputError: as `check_size`, before any work.
        """
        image = np.asarray(image, np.float32)
        style_weights = np.asarray(style_weights, np.float32)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"An image must have the shape [H, W, 3], not {list(image.shape)}.")
        if style_weights.shape != (self.model.num_styles,):
            raise ValueError(f"style_weights must have the shape [{self.model.num_styles}], not {style_weights.shape}.")
        height, width, _ = image.shape
        self.check_size(height, width)
        padding = [(0, sizes.padded(side) - side) for side in (height, width)]
        padded = np.pad(image, [*padding, (0, 0)], mode="reflect")
        stylized = self.model.predict_on_batch([padded[None], style_weights[None]])
        return np.asarray(stylized)[0, :height, :width]

    def style_weights(self, style: int | str | Mapping[int | str, float]) -> np.ndarray:
        """The weights [num_styles] of a style, by number or name, or of a mixture {style: weight, ...}.

        Raises:
            InputError: for a style that the model does not have, or a weight that is no number or beyond float32.
        """
        mixture = style if isinstance(style, Mapping) else {style: 1.0}
        weights = np.zeros(self.model.num_styles, np.float32)
        for key, weight in mixture.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) < 1e38:
                raise InputError(f"the weight of style {key!r} must be a number, not {weight!r}")
            weights[self.style_index(key)] += weight
        return weights

    def style_index(self, style: int | str) -> int:
        """The number of a style, from 0, given its number or name.

        Raises:
            InputError: for a style that the model does not have; it lists those that it has.
        """
        names = self.model.style_names
        if isinstance(style, str) and style in names:
            return names.index(style)
        if isinstance(style, int) and not isinstance(style, bool) and 0 <= style < len(names):
            return style
        numbers = f"0 to {len(names) - 1}"
        named = "" if names[0] == "0" else f", or {', '.join(names)}"
        raise InputError(f"the model has no style {style!r}; its styles are {numbers}{named}")

    def check_size(self, height: int, width: int) -> None:
        """Raises an InputError if a photo of this size does not fit into memory; it names the size that does."""
        memory = psutil.virtual_memory()
        needed = self.memory_needed(height, width)
        # Linux grants no block larger than all of the memory, and a process that asks for one is aborted.
        block, largest = self.largest_block(height, width), memory.total + psutil.swap_memory().total
        excess = max(needed / memory.available, block / largest)
        if excess > 1:
            fits = int(min(height, width) / excess**0.5) // 4 * 4
            raise InputError(
                f"a photo of {width} x {height} pixels takes about {needed / 2**30:.1f} GiB, in blocks of up to "
                f"{block / 2**30:.1f}; with {memory.available / 2**30:.1f} GiB free of {largest / 2**30:.1f}, "
                f"image_size={fits} fits"
            )

    def memory_needed(self, height: int, width: int) -> int:
        """How many bytes `stylize` takes for a photo of this size, as measured by bin/benchmark.py --targets=memory."""
        # Two float32 copies of the widest tensor are alive at a time: at full size, after contract/conv1 and
        # expand/conv2, or at half of it (and so of a quarter of the area). The photo itself and its result come on top.
        model = self.model
        contract = [int(model.alpha * n) for n in model.filters]
        expand = [int(model.alpha * n) for n in model.expand_filters]
        channels = max(contract[0], expand[1], contract[1] / 4, expand[0] / 4, contract[2] / 16)
        return int(sizes.padded(height) * sizes.padded(width) * 4 * (2 * channels + 16))

    def largest_block(self, height: int, width: int) -> int:
        """The bytes of the largest block that TensorFlow reserves on a CPU, of which it touches little.

        It is contract/conv1's input with the 9 x 9 x 3 values under the kernel laid out for every pixel.
        """
        return sizes.padded(height) * sizes.padded(width) * 4 * 9 * 9 * 3


def preserve_color(photo: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """The strokes of a stylised photo in the colours of the photo.

    Takes luminance from `stylized` and chrominance from `photo`, both [H, W, 3] in [0, 1]; clips what falls outside.

    Reference:
        Gatys, Bethge, Hertzmann, Shechtman: Preserving Color in Neural Artistic Style Transfer (luminance-only
        transfer). arXiv 1606.05897.
    """
    return np.clip(photo + ((stylized - photo) @ _LUMINANCE)[..., None], 0, 1)
