"""The start of a training from a trained network."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from magstyle.checkpoints import networks
from magstyle.checkpoints.networks import Network, StyleParameters
from magstyle.checkpoints.paintings import predict
from magstyle.data.styles import Style
from magstyle.errors import InputError
from magstyle.models.layers import ConditionalInstanceNormalization
from magstyle.models.predictor import ArbitraryStyleTransformer, StylePredictor
from magstyle.models.transformer import StyleTransformer
from magstyle.names import counted, printable

# Directions in the space of styles of a network for any painting, the middle one included.
_DIRECTIONS = 64


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


def for_any_painting(
    network: Network | None, num_styles: int | None, alpha: float | None, paintings: np.ndarray, seed: int
) -> ArbitraryStyleTransformer:
    """Makes a network for any painting, with everything trainable.

    Args:
        network: a trained network to start from; None for a new one. One for any painting goes on as it is. One of
            styles gives its convolutions, the first three of which are those of the predictor, too. The mean of its
            styles becomes the first direction of the space of styles, and half of each style's difference from it one
            of those that follow.
        num_styles: the directions; by default 64, or those of a network for any painting.
        alpha: the width of a new network; 1 by default.
        paintings: crops [N, H, W, 3] in [0, 1], which show how large the predictor's moments are.
        seed: of the directions that are random.

    Raises:
        InputError: for a num_styles that does not fit the network.
    """
    if network is not None and network.predictor:
        if num_styles not in (None, network.num_styles):
            raise InputError(
                f"the model has {network.num_styles} directions, not num_styles={num_styles}", "num_styles"
            )
        model = networks.to_arbitrary_model(network)
        _standardise(model.predictor, paintings, learned=True)
        return model
    if network is None:
        network = networks.from_model(StyleTransformer(1, 1.0 if alpha is None else alpha))
    directions = _directions(network, num_styles or _DIRECTIONS, np.random.default_rng(seed))
    network = network.with_styles(directions)
    contracting = network.convolutions[:3]
    model = ArbitraryStyleTransformer(
        **dataclasses.asdict(network.architecture), predictor_filters=[row.filters for row in contracting]
    )
    networks.assign(model.network, network.parameters)
    for number, row in enumerate(contracting, 1):
        kernel = network.kernels[row.scope]
        middle = {part: getattr(directions[0], part)[row.scope] for part in ("gamma", "beta")}
        networks.assign(model.predictor, {f"conv{number}": {"kernel": kernel, **middle}})
    _standardise(model.predictor, paintings)
    return model


def _directions(network: Network, num_styles: int, rng: np.random.Generator) -> list[StyleParameters]:
    """The directions of a space of styles: the middle of a network's styles, the way to each, and random ones."""
    middle = networks.mean_style("0", network.styles)
    ways = network.styles if network.num_styles > 1 else []
    if num_styles <= len(ways):
        raise InputError(
            f"num_styles={num_styles} must be more than the {counted(len(ways), 'style')} of the model", "num_styles"
        )

    def direction(number: int) -> StyleParameters:
        parts = []
        for part in ("gamma", "beta"):
            tables = {scope: values[part] for scope, values in network.parameters.items()}
            if number <= len(ways):
                parts.append({scope: (table[number - 1] - table.mean(axis=0)) / 2 for scope, table in tables.items()})
            else:
                # A tenth of what the styles differ by; of 1, where there is only one style.
                sizes = {scope: table.std(axis=0).mean() if ways else 1.0 for scope, table in tables.items()}
                parts.append(
                    {scope: rng.normal(0, sizes[scope] / 10, table.shape[1]) for scope, table in tables.items()}
                )
        return StyleParameters(str(number), *parts)

    return [middle, *map(direction, range(1, num_styles))]


def _standardise(predictor: StylePredictor, paintings: np.ndarray, learned: bool = False) -> None:
    """Sets by what a predictor's moments are standardised.

    Args:
        predictor: with moments that are not standardised.
        paintings: as for `for_any_painting`.
        learned: whether what it predicts stays as it is.
    """
    scopes = [row.scope for row in predictor.architecture.convolutions]
    moments = keras.Model(predictor.input, [predictor.get_layer(f"{scope}_moments").output for scope in scopes])
    found = [[keras.ops.convert_to_numpy(values) for values in moments(crop[None])] for crop in paintings]
    seen = [np.concatenate(values) for values in zip(*found, strict=True)]
    first = predictor.parameters(predictor.architecture.dense[0][0])
    kernel, bias = (np.array(keras.ops.convert_to_numpy(first[part])) for part in ("kernel", "bias"))
    row = 0
    for scope, values in zip(scopes, seen, strict=True):
        center = values.mean(axis=0)
        # Never near 0, however few paintings there are.
        scale = values.std(axis=0) + 0.02 * np.abs(values).mean(axis=0) + 1e-6
        networks.assign(predictor, {scope: {"center": center, "scale": scale}})
        rows = slice(row, row + len(center))
        bias += center @ kernel[rows]
        kernel[rows] *= scale[:, None]
        row += len(center)
    if learned:
        networks.assign(predictor, {predictor.architecture.dense[0][0]: {"kernel": kernel, "bias": bias}})


def freeze_convolutions(transformer: StyleTransformer) -> None:
    """Leaves only the scales and offsets of the instance normalisations to train."""
    for layer in transformer.layers:
        layer.trainable = isinstance(layer, ConditionalInstanceNormalization)
