"""The style transformer: one feed-forward network, many painting styles.

Reference:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from magstyle.models.architecture import EXPAND_FILTERS, FILTERS, Architecture, Convolution, names_of_styles, reductions
from magstyle.models.layers import ConditionalInstanceNormalization, ReflectionPadding2D, SubpixelConv2D


@keras.saving.register_keras_serializable(package="magstyle")
class StyleTransformer(keras.Model):
    """Paints an image in a style, or a mixture of styles, in one pass.

    Every convolution is reflection-padded, has no bias, and is followed by conditional instance normalisation:

        contract/conv1          kernel_size      filters[0]          relu
        contract/conv2, 3       3 x 3, stride 2  filters[1], [2]     relu
        residual/residual1..N   2 of 3 x 3       filters[2]          relu; none, then + input
        expand/conv1, 2         nearest x2, 3x3  expand_filters      relu
        expand/conv3            kernel_size      3                   sigmoid

    The defaults are the published network; the one of the 2017 Android demo is `filters=(32, 32, 32),
    expand_filters=(8, 4), residual_blocks=6`.

    Args:
        num_styles: number of styles that the network knows.
        alpha: multiplies every number of filters (truncated to int) except the 3 of the last convolution.
        filters: filters of the three contracting convolutions, before alpha.
        expand_filters: filters of the two up-sampling convolutions, before alpha.
        residual_blocks: number of residual blocks, of two convolutions each.
        kernel_size: odd side of the kernels of the first and the last convolution.
        style_names: one name per style, unique; the numbers "0", "1", ... by default. `magstyle.names.printable`
            escapes characters that cannot stand in a line of text.

    Call arguments:
        input_image: [B, H, W, 3], RGB in [0, 1]; H and W at least 5.
        style_weights: [B, num_styles]: one-hot for one style, or any weights for a mixture.

    Returns:
        stylized_image: the same shape, in [0, 1], but with height and width rounded up to multiples of 4;
        `magstyle.painting.stylizer` crops them.

    Raises:
        ValueError: for numbers that do not make a network, or names that do not fit num_styles.
    """

    def __init__(
        self,
        num_styles: int,
        alpha: float = 1.0,
        filters: Sequence[int] = FILTERS,
        expand_filters: Sequence[int] = EXPAND_FILTERS,
        residual_blocks: int = Architecture.residual_blocks,
        kernel_size: int = Architecture.kernel_size,
        style_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        architecture = Architecture(
            num_styles, alpha, tuple(filters), tuple(expand_filters), residual_blocks, kernel_size
        )
        names = names_of_styles(num_styles, style_names)
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        table = architecture.convolutions

        # === Functional Model ===
        image = keras.Input((None, None, 3), name="input_image")
        style_weights = keras.Input((num_styles,), name="style_weights")
        layers = {
            layer.name: layer for row in table for layer in _layers(row, num_styles, row is table[-1], initializer)
        }
        weights = dict.fromkeys((1, 2, 4), style_weights)
        stylized_image = _connect(table, layers, image, weights)

        super().__init__([image, style_weights], stylized_image, **kwargs)

        # === Config ===
        self.architecture = architecture
        self.num_styles = num_styles
        self.alpha = alpha
        self.filters = architecture.filters
        self.expand_filters = architecture.expand_filters
        self.residual_blocks = residual_blocks
        self.kernel_size = kernel_size
        self.style_names = names
        self.convolutions = table

    def get_config(self) -> dict[str, object]:
        return {
            **dataclasses.asdict(self.architecture),
            "style_names": self.style_names,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> "StyleTransformer":
        return cls(**config)

    def per_pixel(self) -> keras.Model:
        """The same layers with separate weights for every pixel: `style_weights` [B, H, W, num_styles].

        Layers of lower resolution take the means of these weights. Height and width must be multiples of 4.
        """
        image = keras.Input((None, None, 3), name="input_image")
        style_weights = keras.Input((None, None, self.num_styles), name="style_weights")
        weights = {
            1: style_weights,
            **{k: keras.ops.average_pool(style_weights, k, k, data_format="channels_last") for k in (2, 4)},
        }
        layers = {layer.name: layer for layer in self.layers}
        return keras.Model([image, style_weights], _connect(self.convolutions, layers, image, weights))

    @property
    def scopes(self) -> list[str]:
        """The names of all convolutions, from input to output."""
        return [row.scope for row in self.convolutions]

    def parameters(self, scope: str) -> dict[str, keras.Variable]:
        """The variables of a scope by name, as in `Architecture.shapes`: `kernel`, `gamma` and `beta`."""
        norm = self.get_layer(_norm_name(scope))
        return {"kernel": self.get_layer(_layer_name(scope)).kernel, "gamma": norm.gamma, "beta": norm.beta}


def _layers(
    row: Convolution, num_styles: int, last: bool, initializer: keras.initializers.Initializer
) -> list[keras.layers.Layer]:
    """The layers of a row of the table; the last row has an activation layer, too."""
    name, initializer = _layer_name(row.scope), initializer.clone()
    # SubpixelConv2D is faster after up-sampling and where there are few filters, as the 3 of the last convolution.
    if row.upsampling > 1 or last:
        convolution = [
            SubpixelConv2D(
                row.filters,
                row.kernel_size,
                block_size=2,
                upsampling=row.upsampling,
                kernel_initializer=initializer,
                name=name,
            )
        ]
    else:
        convolution = [
            ReflectionPadding2D(row.kernel_size // 2, name=_padding_name(row.scope)),
            keras.layers.Conv2D(
                row.filters,
                row.kernel_size,
                row.strides,
                data_format="channels_last",
                use_bias=False,
                kernel_initializer=initializer,
                name=name,
            ),
        ]
    activation = [keras.layers.Activation(row.activation, name="stylized_image")] if last else []
    return [*convolution, ConditionalInstanceNormalization(num_styles, name=_norm_name(row.scope)), *activation]


def _connect(
    table: Sequence[Convolution],
    layers: Mapping[str, keras.layers.Layer],
    image: keras.KerasTensor,
    weights: Mapping[int, keras.KerasTensor],
) -> keras.KerasTensor:
    """Connects layers to a network, and returns its picture.

    Args:
        table: the network's convolutions.
        layers: layers by name; a convolution that pads by itself has no layer for that.
        image: [B, H, W, 3].
        weights: weights of the styles, by how many times smaller than the image a layer's input is.
    """
    x, inputs, reduced = image, {}, reductions(table)
    for row in table:
        inputs[row.scope] = x
        padding = layers.get(_padding_name(row.scope))
        x = layers[_layer_name(row.scope)](x if padding is None else padding(x))
        x = layers[_norm_name(row.scope)](x, weights[reduced[row.scope]])
        if row.activation == "relu":
            x = keras.ops.relu(x)
        if row.shortcut:
            x = inputs[row.shortcut] + x
    return layers["stylized_image"](x)


def _padding_name(scope: str) -> str:
    return f"{_layer_name(scope)}_padding"


def _layer_name(scope: str) -> str:
    return scope.replace("/", "_")  # Keras forbids "/" in layer names.


def _norm_name(scope: str) -> str:
    return f"{_layer_name(scope)}_instance_norm"
