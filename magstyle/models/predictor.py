"""The style predictor: from a painting to the style weights of a network for any painting.

References:
    Ghiasi, Lee, Kudlur, Dumoulin, Shlens: Exploring the structure of a real-time, arbitrary neural artistic stylization
    network. BMVC 2017, arXiv 1705.06830 (a network that predicts a painting's style).
    Huang, Belongie: Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization. ICCV 2017, arXiv
    1703.06868 (means and deviations of features tell a style).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from magstyle.models.architecture import EXPAND_FILTERS, FILTERS, Architecture, PredictorArchitecture
from magstyle.models.layers import Moments
from magstyle.models.transformer import StyleTransformer


@keras.saving.register_keras_serializable(package="magstyle")
class StylePredictor(keras.Model):
    """Tells in which style a painting is painted, as the style weights of a StyleTransformer.

    A few convolutions look at the painting. The mean and the standard deviation of every channel of their results, over
    the whole painting, go standardised into dense layers, which give the weights. The first weight is always 1.

    Args:
        num_styles: number of weights, that is, of the styles of the network that takes them; at least 2.
        filters: channels of the convolutions, as in `magstyle.models.architecture.PredictorArchitecture`.
        units: outputs of the dense layers before the last one.

    Call arguments:
        painting: [B, H, W, 3], RGB in [0, 1]; the shorter side is `magstyle.checkpoints.paintings.SIDE` in training.

    Returns:
        style_weights: [B, num_styles].

    Raises:
        ValueError: for numbers that do not make a predictor.
    """

    def __init__(
        self,
        num_styles: int,
        filters: Sequence[int] = PredictorArchitecture.filters,
        units: Sequence[int] = PredictorArchitecture.units,
        **kwargs: Any,
    ):
        architecture = PredictorArchitecture(num_styles - 1, tuple(filters), tuple(units))

        # === Functional Model ===
        painting = keras.Input((None, None, 3), name="painting")
        x, moments = painting, []
        for row in architecture.convolutions:
            x = keras.layers.Conv2D(
                row.filters,
                row.kernel_size,
                row.strides,
                use_bias=False,
                data_format="channels_last",
                name=row.scope,
            )(x)
            moments.append(Moments(name=f"{row.scope}_moments")(x))
            if row != architecture.convolutions[-1]:
                # Of one channel each: instance normalisation.
                x = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, name=f"{row.scope}_instance_norm")(x)
                x = keras.ops.relu(x)
        x = keras.ops.concatenate(moments, axis=-1)
        for name, units_of_layer in architecture.dense:
            last = name == architecture.dense[-1][0]
            x = keras.layers.Dense(
                units_of_layer,
                activation=None if last else "gelu",
                # So that every painting begins near the mean style.
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01) if last else "glorot_uniform",
                name=name,
            )(x)
        style_weights = keras.ops.concatenate([keras.ops.ones_like(x[:, :1]), x], axis=-1)

        super().__init__(painting, style_weights, **kwargs)

        # === Config ===
        self.architecture = architecture
        self.num_styles = num_styles

    def parameters(self, name: str) -> dict[str, keras.Variable]:
        """The variables of a convolution or a dense layer by name, as in `PredictorArchitecture.shapes`."""
        layer = self.get_layer(name)
        if isinstance(layer, keras.layers.Dense):
            return {"kernel": layer.kernel, "bias": layer.bias}
        moments = self.get_layer(f"{name}_moments")
        found = {"kernel": layer.kernel, "center": moments.center, "scale": moments.scale}
        if name == self.architecture.convolutions[-1].scope:
            return found
        norm = self.get_layer(f"{name}_instance_norm")
        return {**found, "gamma": norm.gamma, "beta": norm.beta}

    def get_config(self) -> dict[str, object]:
        return {
            "num_styles": self.num_styles,
            "filters": self.architecture.filters,
            "units": self.architecture.units,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> "StylePredictor":
        return cls(**config)


@keras.saving.register_keras_serializable(package="magstyle")
class ArbitraryStyleTransformer(keras.Model):
    """Paints an image in the style of any painting: a style predictor and the network that takes its weights.

    The styles of the network are directions of a space of styles, the first of them the middle.

    Args:
        num_styles, alpha, filters, expand_filters, residual_blocks, kernel_size: of the network, as for
            `magstyle.models.transformer.StyleTransformer`.
        predictor_filters, predictor_units: of the predictor, as for `StylePredictor`.

    Call arguments:
        input_image: [B, H, W, 3], RGB in [0, 1]; H and W at least 5.
        painting: [B, h, w, 3], RGB in [0, 1].

    Returns:
        stylized_image: as of `StyleTransformer`.

    Attributes:
        network: the StyleTransformer.
        predictor: the StylePredictor.
        architecture, style_names: of the network.

    Raises:
        ValueError: for numbers that do not make a model.
    """

    def __init__(
        self,
        num_styles: int = 64,
        alpha: float = 1.0,
        filters: Sequence[int] = FILTERS,
        expand_filters: Sequence[int] = EXPAND_FILTERS,
        residual_blocks: int = Architecture.residual_blocks,
        kernel_size: int = Architecture.kernel_size,
        predictor_filters: Sequence[int] = PredictorArchitecture.filters,
        predictor_units: Sequence[int] = PredictorArchitecture.units,
        **kwargs: Any,
    ):
        shape = (alpha, filters, expand_filters, residual_blocks, kernel_size)
        network = StyleTransformer(num_styles, *shape, name="network")
        predictor = StylePredictor(num_styles, predictor_filters, predictor_units, name="predictor")
        image = keras.Input((None, None, 3), name="input_image")
        painting = keras.Input((None, None, 3), name="painting")
        super().__init__([image, painting], network([image, predictor(painting)]), **kwargs)
        self.network, self.predictor = network, predictor
        self.architecture, self.style_names = network.architecture, network.style_names

    def get_config(self) -> dict[str, object]:
        return {
            **dataclasses.asdict(self.network.architecture),
            "predictor_filters": self.predictor.architecture.filters,
            "predictor_units": self.predictor.architecture.units,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: object = None) -> "ArbitraryStyleTransformer":
        return cls(**config)
