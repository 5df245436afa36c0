"""DeepDream: an image climbs towards what a network believes to see in it.

Reference:
    Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015.
"""

from collections.abc import Mapping

import keras
import numpy as np

from magstyle.optimization import objectives, pixels, transforms


def dream_objective(
    network: keras.Model, channels: Mapping[str, int | None], guide: np.ndarray | None = None
) -> pixels.Objective:
    """What `dream` climbs, negated: the mean over end points of their activations or, with a guide, of its likeness.

    Args:
        network: from pictures [1, H, W, 3] in [0, 1] to features by end point.
        channels: the end points that count, each with the number of a channel, or None for all.
        guide: an image [h, w, 3] in [0, 1].
    """
    if guide is not None:
        targets = pixels.features_of(guide, network)

        def climbed(features, name, channel):
            return objectives.likeness(_of_channel(features, channel), _of_channel(targets[name], channel))
    else:

        def climbed(features, _, channel):
            return objectives.activation(_of_channel(features, channel))

    def terms(features, _):
        found = [climbed(features[name], name, channel) for name, channel in channels.items()]
        return {"loss": -sum(found) / len(found)}

    return objectives.of_features(network, terms)


def dream(
    image: np.ndarray,
    evaluate: pixels.Evaluation,
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    learning_rate: float = 0.02,
    tile_size: int = 512,
    rng: np.random.Generator,
    report: pixels.Report | None = None,
) -> np.ndarray:
    """Climbs an objective from coarse to fine; what was dreamed is carried on, over the image's own detail.

    Args:
        image: [H, W, 3] in [0, 1].
        evaluate: a `dream_objective`, compiled by `pixels.evaluation_of`.
        octaves: sizes to dream at.
        octave_scale: of each size to the one before it.
        steps: per octave.
        learning_rate: how far a step goes, in units of [0, 1], one standard deviation over the pixels.
        tile_size: the largest side of what is computed at once. Tiles are cut at other places in every step.
        rng: of those places.
        report: told how it goes, as `activation`.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: for octaves that begin with too small a picture, or a lack of memory.
    """
    evaluate = transforms.jittered(transforms.tiled(evaluate, tile_size), rng)

    def told(picture: np.ndarray, terms: Mapping[str, float]) -> None:
        report(picture, {"activation": -terms["loss"]})

    dreamed = np.zeros((1, 1, 3), np.float32)
    for size in transforms.octave_sizes(image.shape[:2], octaves, octave_scale):
        base = transforms.resize(image, size)
        start = np.clip(base + transforms.resize_change(dreamed, size), 0, 1)
        picture = pixels.minimize(evaluate, start, steps, "normalized_gradient", learning_rate, report and told)
        dreamed = picture - base
    return picture


def zoomed(image: np.ndarray, zoom: float) -> np.ndarray:
    """The middle of an image [H, W, 3], enlarged so many times to the same size."""
    height, width, _ = image.shape
    rows, columns = (max(1, round(side / zoom)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return transforms.resize(image[top : top + rows, left : left + columns], (height, width))


def _of_channel(features, channel: int | None):
    return features if channel is None else features[..., channel : channel + 1]
