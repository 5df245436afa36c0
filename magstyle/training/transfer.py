"""What a training takes over from a trained network."""

from collections.abc import Sequence

import keras
import numpy as np

from magstyle.models.layers import ConditionalInstanceNormalization
from magstyle.models.transformer import StyleTransformer


def with_styles(
    transformer: StyleTransformer, style_names: Sequence[str], match_names: bool = False
) -> StyleTransformer:
    """A new network with the same convolutions for other styles, all of it to be trained.

    Args:
        transformer: the trained network; it stays as it is.
        style_names: of the new network.
        match_names: a style that the trained network has under the same name starts from its scale and offset. Every
            other style, and without match_names every style, starts from the mean of all that there were.
    """
    config = {"num_styles": len(style_names), "style_names": tuple(style_names), "trainable": True}
    new = StyleTransformer.from_config({**transformer.get_config(), **config})
    rows = {name: i for i, name in enumerate(transformer.style_names)} if match_names else {}
    for scope in new.scopes:
        old = transformer.parameters(scope)
        for name, variable in new.parameters(scope).items():
            value = keras.ops.convert_to_numpy(old[name])
            if name != "kernel":
                mean = value.mean(axis=0)
                value = np.stack([value[rows[style]] if style in rows else mean for style in new.style_names])
            variable.assign(value)
    return new


def freeze_convolutions(transformer: StyleTransformer) -> None:
    """Leaves the scale and offset of the instance normalisations as all there is to train."""
    for layer in transformer.layers:
        layer.trainable = isinstance(layer, ConditionalInstanceNormalization)
