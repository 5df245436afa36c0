"""The style transformer as a table of its convolutions, from which every form of it is built.

The Keras model, LiteRT's graphs and Magenta's variable names follow the table. It needs neither Keras nor TensorFlow.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from magstyle.names import printable

FILTERS = (32, 64, 128)
EXPAND_FILTERS = (64, 32)
# Side of the first and of the last kernel.
KERNEL_SIZE = 9
# Added to the variance under the root of a style predictor's moments. Its own root is near enough to 0, and makes the
# gradient at a deviation of 0 finite.
MOMENTS_EPSILON = 1e-4


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A row of the network's table: a convolution, and the conditional instance normalisation after it.

    The convolution is reflection-padded and has no bias.

    Attributes:
        scope: its name, as in Magenta's checkpoints.
        filters: output channels.
        kernel_size: odd side of the kernel.
        strides: its strides, in both directions.
        upsampling: factor by which the input is first enlarged, by repeating its pixels.
        activation: "relu", "sigmoid" or None, applied to the normalised result.
        shortcut: the scope of an earlier convolution, whose input is added to the result at the end; None for nothing.
    """

    scope: str
    filters: int
    kernel_size: int = 3
    strides: int = 1
    upsampling: int = 1
    activation: str | None = "relu"
    shortcut: str | None = None


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The shape of a style transformer.

    Attributes:
        num_styles, alpha, filters, expand_filters, residual_blocks, kernel_size: as the arguments of
            `magstyle.models.transformer.StyleTransformer`.

    Raises:
        ValueError: for numbers that do not make a network.
    """

    num_styles: int
    alpha: float = 1.0
    filters: tuple[int, ...] = FILTERS
    expand_filters: tuple[int, ...] = EXPAND_FILTERS
    residual_blocks: int = 5
    kernel_size: int = KERNEL_SIZE

    def __post_init__(self) -> None:
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
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise ValueError(f"The first and the last kernel have an odd side of at least 3, not {self.kernel_size}.")

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The whole network, from input to output."""
        return convolutions(
            scaled(self.filters, self.alpha),
            scaled(self.expand_filters, self.alpha),
            self.residual_blocks,
            self.kernel_size,
        )

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The shapes of the parameters, by scope.

        Each scope has the `kernel` [k, k, C_in, C_out] of its convolution, and the `gamma` and `beta`
        [num_styles, C_out] of the normalisation after it.
        """
        shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        channels = 3
        for row in self.convolutions:
            kernel, norm = (row.kernel_size, row.kernel_size, channels, row.filters), (self.num_styles, row.filters)
            shapes[row.scope] = {"kernel": kernel, "gamma": norm, "beta": norm}
            channels = row.filters
        return shapes

    @property
    def size(self) -> int:
        """The number of weights, counted without a table of all blocks: a hostile file may ask for millions."""

        def size(residual_blocks: int) -> int:
            shapes = dataclasses.replace(self, residual_blocks=residual_blocks).shapes
            return sum(math.prod(shape) for of_scope in shapes.values() for shape in of_scope.values())

        return size(0) + self.residual_blocks * (size(1) - size(0))


@dataclasses.dataclass(frozen=True)
class PredictorArchitecture:
    """The shape of a style predictor: convolutions, the moments of their results, dense layers on these.

    Attributes:
        num_weights: numbers that it predicts, one less than the styles of the network that takes them.
        filters: output channels of the convolutions. The first is 9 x 9, each of the others is 3 x 3 and halves the
            image; none is padded. Between two of them are an instance normalisation and relu, as in the network.
        units: outputs of the dense layers before the last one.

    Raises:
        ValueError: for numbers that do not make a predictor.
    """

    num_weights: int
    filters: tuple[int, ...] = (16, 32, 64)
    units: tuple[int, ...] = (512, 256)

    def __post_init__(self) -> None:
        if not self.filters or min(self.num_weights, *self.filters, *self.units) < 1:
            raise ValueError(f"There is no predictor of {self.num_weights} weights, {self.filters} and {self.units}.")

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The convolutions, from the painting on."""
        first, *others = self.filters
        return (
            Convolution("conv1", first, kernel_size=9),
            *(Convolution(f"conv{number}", filters, strides=2) for number, filters in enumerate(others, 2)),
        )

    @property
    def dense(self) -> tuple[tuple[str, int], ...]:
        """The name and the outputs of every dense layer."""
        outputs = (*self.units, self.num_weights)
        return tuple((f"dense{number}", units) for number, units in enumerate(outputs, 1))

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The shapes of the parameters, by layer.

        A convolution has its `kernel`, the `center` and `scale` that standardise the moments of its results and, but
        for the last one, the `gamma` and `beta` of the normalisation after it; a dense layer has a `kernel` and a
        `bias`.
        """
        shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        channels = 3
        for row in self.convolutions:
            kernel, norm = (row.kernel_size, row.kernel_size, channels, row.filters), (row.filters,)
            moments = (2 * row.filters,)
            shapes[row.scope] = {"kernel": kernel, "center": moments, "scale": moments}
            if row != self.convolutions[-1]:
                shapes[row.scope] |= {"gamma": norm, "beta": norm}
            channels = row.filters
        inputs = 2 * sum(self.filters)
        for name, units in self.dense:
            shapes[name] = {"kernel": (inputs, units), "bias": (units,)}
            inputs = units
        return shapes

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(math.prod(shape) for of_layer in self.shapes.values() for shape in of_layer.values())


def convolutions(
    filters: Sequence[int], expand_filters: Sequence[int], residual_blocks: int, kernel_size: int = KERNEL_SIZE
) -> tuple[Convolution, ...]:
    """The whole network, from input to output.

    Args:
        filters, expand_filters, residual_blocks, kernel_size: as for `Architecture`, but after alpha.
    """
    residuals = []
    for i in range(1, residual_blocks + 1):
        first, second = residual_scopes(i)
        residuals += [Convolution(first, filters[2]), Convolution(second, filters[2], activation=None, shortcut=first)]
    return (
        Convolution("contract/conv1", filters[0], kernel_size),
        Convolution("contract/conv2", filters[1], strides=2),
        Convolution("contract/conv3", filters[2], strides=2),
        *residuals,
        Convolution("expand/conv1/conv", expand_filters[0], upsampling=2),
        Convolution("expand/conv2/conv", expand_filters[1], upsampling=2),
        Convolution("expand/conv3/conv", 3, kernel_size, activation="sigmoid"),
    )


def reductions(table: Iterable[Convolution]) -> dict[str, int]:
    """How many times smaller than the image the result of each convolution is, by scope."""
    found, reduction = {}, 1
    for row in table:
        reduction = reduction * row.strides // row.upsampling
        found[row.scope] = reduction
    return found


def kernel_before_up_sampling(kernel: np.ndarray) -> np.ndarray:
    """The kernel that convolves an image before it is up-sampled by 2, instead of afterwards.

    Args:
        kernel: [3, 3, C_in, C_out], of the convolution after up-sampling.

    Returns:
        [2, 2, C_in, 4 C_out], for an image [H + 2, W + 2, C_in] with its border repeated. Of the result, depth to space
        makes [2 H + 2, 2 W + 2, C_out]: the picture and a border of one pixel.
    """
    # Two rows i, i + 1 of the small image give the rows 2 i + 1 and 2 i + 2 of the large one. The former sees
    # up-sampled copies of i, i, i + 1, the latter of i, i + 1, i + 1: [output row, input row, kernel row].
    taps = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)
    kernel = np.einsum("pik,qjl,klco->ijcpqo", taps, taps, kernel)
    return kernel.reshape(*kernel.shape[:3], -1)


def residual_scopes(block: int) -> tuple[str, str]:
    """The scopes of the two convolutions of a residual block; blocks count from 1."""
    return f"residual/residual{block}/conv1", f"residual/residual{block}/conv2"


def scaled(filters: Sequence[int], alpha: float) -> tuple[int, ...]:
    """Numbers of filters times the width multiplier alpha, truncated."""
    return tuple(int(alpha * n) for n in filters)


def names_of_styles(num_styles: int, given: Iterable[str] | None = None) -> tuple[str, ...]:
    """The names of a network's styles.

    Args:
        num_styles: the number of styles.
        given: one name per style, all different; by default the numbers "0", "1", ...

    Returns:
        The names, in which `magstyle.names.printable` has escaped characters that cannot stand in a line of text.

    Raises:
        ValueError: for names that are too few, too many or not unique.
    """
    names = tuple(printable(str(name)) for name in given or range(num_styles))
    if not len(names) == len(set(names)) == num_styles:
        raise ValueError(f"{num_styles} styles need as many different names, not {list(names)}.")
    return names
