"""The start of a training from a trained network."""

import dataclasses
from collections.abc import Sequence

from magstyle.checkpoints import networks
from magstyle.checkpoints.networks import Network
from magstyle.checkpoints.paintings import predict
from magstyle.data.styles import Style
from magstyle.models.layers import ConditionalInstanceNormalization
from magstyle.models.transformer import StyleTransformer
from magstyle.names import printable


def with_styles(
    transformer: StyleTransformer, style_names: Sequence[str], match_names: bool = False
) -> StyleTransformer:
    """Makes a network with the same convolutions for other styles, with everything trainable.

    Args:
        transformer: the trained network, which stays as it is.
        style_names: names of the new network's styles.
        match_names: whether a style that the trained network knows by name starts from its scales and offsets there.
            All others start from the mean of the trained network's styles.
    """
    network = networks.from_model(transformer)
    known = {style.name: style for style in network.styles} if match_names else {}
    mean = networks.mean_style("mean", network.styles)
    names = map(printable, style_names)
    return networks.to_model(
        network.with_styles([known.get(name) or dataclasses.replace(mean, name=name) for name in names])
    )


def with_predicted_styles(network: Network, paintings: Sequence[Style]) -> StyleTransformer:
    """Makes a network whose styles are those that a network for any painting predicts.

    Args:
        network: with a predictor.
        paintings: the paintings, whose names become those of the styles.

    Raises:
        InputError: for a painting that shows no style.
    """
    return networks.to_model(
        network.with_styles(
            [network.mixture(painting.name, predict(network, painting.image)) for painting in paintings]
        )
    )


def freeze_convolutions(transformer: StyleTransformer) -> None:
    """Leaves only the scales and offsets of the instance normalisations to train."""
    for layer in transformer.layers:
        layer.trainable = isinstance(layer, ConditionalInstanceNormalization)
