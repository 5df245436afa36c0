"""DeepDream: an image climbs towards what a network sees in it.

Reference:
    Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015.
"""

from collections.abc import Mapping

import keras
import numpy as np

from magstyle.optimization import objectives, pixels, transforms
from magstyle.optimization.jobs import DreamOptions
from magstyle.optimization.pixels import Tensor


def dream_objective(
    network: keras.Model, channels: Mapping[str, int | None], guide: np.ndarray | None = None
) -> pixels.Objective:
    """The negative of what `dream` climbs: the mean over end points of activations or, with a guide, of likenesses.

    Args:
        network: a network from pictures [1, H, W, 3] in [0, 1] to features by end point.
        channels: the end points that count, each with the number of a channel, or None for all channels.
        guide: an image [h, w, 3] in [0, 1].
    """
    targets = None if guide is None else pixels.features_of(guide, network)

    def climbed(features: Tensor, name: str, channel: int | None) -> Tensor:
        features = _of_channel(features, channel)
        if targets is None:
            return objectives.activation(features)
        return objectives.likeness(features, _of_channel(targets[name], channel))

    def terms(features: Mapping[str, Tensor], _: Tensor) -> dict[str, Tensor]:
        found = [climbed(features[name], name, channel) for name, channel in channels.items()]
        return {"loss": -sum(found) / len(found)}

    return objectives.of_features(network, terms)


def dream(
    image: np.ndarray,
    evaluate: pixels.Evaluation,
    job: DreamOptions,
    rng: np.random.Generator,
    report: pixels.Report | None = None,
) -> np.ndarray:
    """Climbs an objective from coarse to fine; carries what it dreamed to the next size, over the image's own detail.

    A step's length is its standard deviation over the pixels. Every step cuts tiles at other places.

    Args:
        image: [H, W, 3] in [0, 1].
        evaluate: a `dream_objective`, compiled by `pixels.evaluation_of`.
        job: the octaves, the steps and their length, and the size of the tiles.
        rng: chooses the places where tiles are cut.
        report: called after each step, with the `activation`.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: if the first octave would be too small, or memory runs out.
    """
    evaluate = transforms.jittered(transforms.tiled(evaluate, job.tile_size), rng)

    def tell(picture: np.ndarray, terms: Mapping[str, float]) -> None:
        if report:
            report(picture, {"activation": -terms["loss"]})

    dreamed = np.zeros((1, 1, 3), np.float32)
    for size in transforms.octave_sizes(image.shape[:2], job.octaves, job.octave_scale):
        base = transforms.resize(image, size)
        start = np.clip(base + transforms.resize_change(dreamed, size), 0, 1)
        picture = pixels.minimize(evaluate, start, job.steps, "normalized_gradient", job.learning_rate, tell)
        dreamed = picture - base
    return picture


def zoomed(image: np.ndarray, zoom: float) -> np.ndarray:
    """Enlarges the middle of an image [H, W, 3] `zoom` times, to the same size."""
    height, width, _ = image.shape
    rows, columns = (max(1, round(side / zoom)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return transforms.resize(image[top : top + rows, left : left + columns], (height, width))


def _of_channel(features: Tensor, channel: int | None) -> Tensor:
    return features if channel is None else features[..., channel : channel + 1]
