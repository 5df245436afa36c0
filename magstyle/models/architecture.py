"""The style transformer as a table of its convolutions, which every form of it is built from.

The Keras model, LiteRT's graphs and Magenta's variable names follow it; it needs neither Keras nor TensorFlow.
"""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A row of the network's table: a convolution, and the conditional instance normalisation after it.

    The convolution is reflection-padded and has no bias.

    Attributes:
        scope: its name, as in Magenta's checkpoints.
        filters: output channels.
        kernel_size: odd side of the kernel.
        strides: of the convolution.
        upsampling: the input is first enlarged so many times, to the nearest neighbours.
        activation: of the normalised result: "relu", "sigmoid" or None.
        shortcut: the scope of an earlier convolution, whose input is added to the result at the end; None for nothing.
    """

    scope: str
    filters: int
    kernel_size: int = 3
    strides: int = 1
    upsampling: int = 1
    activation: str | None = "relu"
    shortcut: str | None = None


def convolutions(
    filters: Sequence[int], expand_filters: Sequence[int], residual_blocks: int
) -> tuple[Convolution, ...]:
    """The whole network, from input to output; every form of it is built from this table.

    Args:
        filters, expand_filters, residual_blocks: as StyleTransformer's, but after alpha.
    """
    residuals = []
    for i in range(1, residual_blocks + 1):
        first, second = residual_scopes(i)
        residuals += [Convolution(first, filters[2]), Convolution(second, filters[2], activation=None, shortcut=first)]
    return (
        Convolution("contract/conv1", filters[0], kernel_size=9),
        Convolution("contract/conv2", filters[1], strides=2),
        Convolution("contract/conv3", filters[2], strides=2),
        *residuals,
        Convolution("expand/conv1/conv", expand_filters[0], upsampling=2),
        Convolution("expand/conv2/conv", expand_filters[1], upsampling=2),
        Convolution("expand/conv3/conv", 3, kernel_size=9, activation="sigmoid"),
    )


def residual_scopes(block: int) -> tuple[str, str]:
    """The scopes of the two convolutions of a residual block, of which the first is number 1."""
    return f"residual/residual{block}/conv1", f"residual/residual{block}/conv2"


def scaled(filters: Sequence[int], alpha: float) -> tuple[int, ...]:
    """Numbers of filters times the width multiplier alpha, truncated."""
    return tuple(int(alpha * n) for n in filters)


def count_parameters(
    num_styles: int, filters: Sequence[int], expand_filters: Sequence[int], residual_blocks: int, alpha: float = 1.0
) -> int:
    """How many numbers a StyleTransformer of these arguments holds, told without building it."""

    def count(blocks: int) -> int:
        table = convolutions(scaled(filters, alpha), scaled(expand_filters, alpha), blocks)
        channels = [3, *(row.filters for row in table)]
        return sum(
            row.filters * (row.kernel_size**2 * inputs + 2 * num_styles)
            for row, inputs in zip(table, channels, strict=False)
        )

    return count(0) + residual_blocks * (count(1) - count(0))
