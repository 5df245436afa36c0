"""The style transformer: one feed-forward network, many painting styles.

Reference:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
"""

import dataclasses
from collections.abc import Sequence

import keras

from magstyle.models.layers import ConditionalInstanceNormalization, ReflectionPadding2D, SubpixelConv2D
from magstyle.names import printable


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


@keras.saving.register_keras_serializable(package="magstyle")
class StyleTransformer(keras.Model):
    """Paints an image in a style, or a mixture of styles, in one pass.

    Every convolution is reflection-padded, has no bias, and is followed by conditional instance normalisation:

        contract/conv1          9 x 9            filters[0]          relu
        contract/conv2, 3       3 x 3, stride 2  filters[1], [2]     relu
        residual/residual1..N   2 of 3 x 3       filters[2]          relu; none, then + input
        expand/conv1, 2         nearest x2, 3x3  expand_filters      relu
        expand/conv3            9 x 9            3                   sigmoid

    The defaults are the published network; the one of the 2017 Android demo is `filters=(32, 32, 32),
    expand_filters=(8, 4), residual_blocks=6`.

    Args:
        num_styles: how many styles the network knows.
        alpha: multiplies every number of filters (truncated to int) but the 3 of the last convolution.
        filters: of the three contracting convolutions, before alpha.
        expand_filters: of the two up-sampling convolutions, before alpha.
        residual_blocks: how many, of two convolutions each.
        style_names: one name per style, unique; the numbers "0", "1", ... by default. What is no line
            of text in them is escaped, as `magstyle.names.printable` says.

    Call arguments:
        input_image: [B, H, W, 3], RGB in [0, 1]; H and W at least 5.
        style_weights: [B, num_styles]: one-hot for one style, or any weights for a mixture.

    Returns:
        stylized_image: the same shape, in [0, 1]. A height or width that 4 does not divide comes out rounded up to the
        next multiple of 4; `magstyle.stylizer` gives back the size it was given.

    Raises:
        ValueError: for numbers that make no network, or names that do not fit num_styles.
    """

    FILTERS = (32, 64, 128)
    EXPAND_FILTERS = (64, 32)

    def __init__(
        self,
        num_styles: int,
        alpha: float = 1.0,
        filters: Sequence[int] = FILTERS,
        expand_filters: Sequence[int] = EXPAND_FILTERS,
        residual_blocks: int = 5,
        style_names: Sequence[str] | None = None,
        **kwargs,
    ):
        contract, expand = scaled(filters, alpha), scaled(expand_filters, alpha)
        if (len(contract), len(expand)) != (3, 2) or min(contract + expand) < 1:
            raise ValueError(
                f"The network needs three filters and two expand_filters of at least 1, not {filters} and "
                f"{expand_filters} times {alpha}."
            )
        if num_styles < 1 or residual_blocks < 0:
            raise ValueError(f"There is no network of {num_styles} styles and {residual_blocks} residual blocks.")
        style_names = [printable(str(name)) for name in style_names or range(num_styles)]
        if len(style_names) != num_styles or len(set(style_names)) != num_styles:
            raise ValueError(f"{num_styles} styles need as many different names, not {style_names}.")
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        table = convolutions(contract, expand, residual_blocks)

        # === Functional Model ===
        image = keras.Input((None, None, 3), name="input_image")
        style_weights = keras.Input((num_styles,), name="style_weights")
        x, inputs = image, {}
        for row in table:
            inputs[row.scope] = x
            # Where SubpixelConv2D is the faster one: the last convolution has 3 filters.
            subpixel = row.upsampling > 1 or row is table[-1]
            x = (_subpixel_convolution if subpixel else _convolution)(row, x, initializer.clone())
            x = ConditionalInstanceNormalization(num_styles, name=_norm_name(row.scope))(x, style_weights)
            if row.activation == "relu":
                x = keras.ops.relu(x)
            if row.shortcut:
                x = inputs[row.shortcut] + x
        stylized_image = keras.layers.Activation(table[-1].activation, name="stylized_image")(x)

        super().__init__([image, style_weights], stylized_image, **kwargs)

        # === Config ===
        self.num_styles = num_styles
        self.alpha = alpha
        self.filters = tuple(filters)
        self.expand_filters = tuple(expand_filters)
        self.residual_blocks = residual_blocks
        self.style_names = tuple(style_names)
        self.convolutions = table

    def get_config(self):
        return {
            "num_styles": self.num_styles,
            "alpha": self.alpha,
            "filters": self.filters,
            "expand_filters": self.expand_filters,
            "residual_blocks": self.residual_blocks,
            "style_names": self.style_names,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    @property
    def scopes(self) -> list[str]:
        """The names of all convolutions, from input to output."""
        return [row.scope for row in self.convolutions]

    def parameters(self, scope: str) -> dict[str, keras.Variable]:
        """The `kernel` [k, k, C_in, C_out] of the convolution of a scope, and the `gamma`, `beta` [num_styles, C_out]
        of the instance normalisation after it."""
        norm = self.get_layer(_norm_name(scope))
        return {"kernel": self.get_layer(_layer_name(scope)).kernel, "gamma": norm.gamma, "beta": norm.beta}


def _convolution(row: Convolution, x, initializer):
    name = _layer_name(row.scope)
    x = ReflectionPadding2D(row.kernel_size // 2, name=f"{name}_padding")(x)
    return keras.layers.Conv2D(
        row.filters,
        row.kernel_size,
        row.strides,
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=initializer,
        name=name,
    )(x)


def _subpixel_convolution(row: Convolution, x, initializer):
    return SubpixelConv2D(
        row.filters,
        row.kernel_size,
        block_size=2,
        upsampling=row.upsampling,
        kernel_initializer=initializer,
        name=_layer_name(row.scope),
    )(x)


def _layer_name(scope: str) -> str:
    return scope.replace("/", "_")  # Keras forbids "/" in layer names.


def _norm_name(scope: str) -> str:
    return f"{_layer_name(scope)}_instance_norm"
