"""Small photos and networks to test with."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

# Names of the paintings in the fixture `style_dataset`.
STYLES = ["scream", "wave"]


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """An image of coloured blotches; `size` is width and height."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC)


def grainy(seed: int, size: tuple[int, int]) -> Image.Image:
    """Such an image with a grain of single pixels, which shows how it is scaled down."""
    grain = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.blend(picture(seed, size), Image.fromarray(grain), 0.4)


def blotches(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured squares, float32 [height, width, 3]; both sides multiples of 4."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.random((height // 4, width // 4, 3), np.float32), 4, axis=0), 4, axis=1)


def narrow_vgg(depth: int, convolutions_per_block: Sequence[int]) -> dict[str, np.ndarray]:
    """Random weights of a VGG with 4 to 8 channels, by slim's variable names."""
    rng = np.random.default_rng(0)
    weights, channels = {}, 3
    for block, convolutions in enumerate(convolutions_per_block, start=1):
        for i in range(1, convolutions + 1):
            name = f"vgg_{depth}/conv{block}/conv{block}_{i}"
            filters = 4 if block == 1 else 8
            kernel = rng.standard_normal((3, 3, channels, filters), np.float32) * np.float32((2 / 9 / channels) ** 0.5)
            weights[f"{name}/weights"] = kernel / 64 if channels == 3 else kernel
            weights[f"{name}/biases"] = np.zeros(filters, np.float32)
            channels = filters
    return weights


def golden_painting():
    """The painting of the reference Gram matrices, uint8 [96, 120, 3]: Magenta took them from these pixels."""
    rng = np.random.default_rng(41)
    colours = (rng.random((14, 17, 3)) * 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(colours).resize((120, 96), Image.Resampling.BICUBIC))
    return np.clip(smooth + 12.75 * rng.standard_normal(smooth.shape), 0, 255).astype(np.uint8)
