"""The style transformer as a table of its convolutions, which every form of it is built from.

The Keras model, LiteRT's graphs and Magenta's variable names follow it; it needs neither Keras nor TensorFlow.
"""

import dataclasses
from collections.abc import Sequence

from magstyle.names import printable

FILTERS = (32, 64, 128)
EXPAND_FILTERS = (64, 32)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What tells one style transformer from another, but for its weights: the arguments of StyleTransformer.

    Attributes:
        num_styles: how many styles the network knows.
        alpha: multiplies every number of filters (truncated to int) but the 3 of the last convolution.
        filters: of the three contracting convolutions, before alpha.
        expand_filters: of the two up-sampling convolutions, before alpha.
        residual_blocks: how many, of two convolutions each.
        style_names: one name per style, unique; the numbers "0", "1", ... where none are given.

    Raises:
        ValueError: for numbers that make no network, or names that do not fit num_styles.
    """

    num_styles: int
    alpha: float = 1.0
    filters: tuple[int, ...] = FILTERS
    expand_filters: tuple[int, ...] = EXPAND_FILTERS
    residual_blocks: int = 5
    style_names: tuple[str, ...] | None = None

    def __post_init__(self):
        contract, expand = scaled(self.filters, self.alpha), scaled(self.expand_filters, self.alpha)
        if (len(contract), len(expand)) != (3, 2) or min(contract + expand) < 1:
            raise ValueError(
                f"The network needs three filters and two expand_filters of at least 1, not {self.filters} and "
                f"{self.expand_filters} times {self.alpha}."
            )
        if self.num_styles < 1 or self.residual_blocks < 0:
            raise ValueError(
                f"There is no network of {self.num_styles} styles and {self.residual_blocks} residual blocks."
            )
        names = tuple(printable(str(name)) for name in self.style_names or range(self.num_styles))
        if len(names) != self.num_styles or len(set(names)) != self.num_styles:
            raise ValueError(f"{self.num_styles} styles need as many different names, not {list(names)}.")
        for name, value in {
            "filters": tuple(self.filters),
            "expand_filters": tuple(self.expand_filters),
            "style_names": names,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def convolutions(self) -> "tuple[Convolution, ...]":
        """The whole network, from input to output."""
        return convolutions(
            scaled(self.filters, self.alpha), scaled(self.expand_filters, self.alpha), self.residual_blocks
        )


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
