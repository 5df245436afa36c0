"""Finds the pixels of a picture again from the features of a layer, or from their Gram matrices.

References:
    Mahendran, Vedaldi: Understanding Deep Image Representations by Inverting Them. arXiv 1412.0035.
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576 (figure 1); and Texture Synthesis Using
        Convolutional Neural Networks. arXiv 1505.07376.
"""

from collections.abc import Mapping

import keras
import numpy as np

from magstyle import losses, options
from magstyle.optimization import neural_style, objectives, pixels
from magstyle.optimization.jobs import Kind, VggOptions
from magstyle.optimization.pixels import Tensor


def invert(
    image: np.ndarray, kind: Kind, network: keras.Model, job: VggOptions, minimize: pixels.Minimize
) -> np.ndarray:
    """Finds a picture, starting from noise, that has the same features as an image, or the same Gram matrices.

    Args:
        image: [H, W, 3] in [0, 1].
        kind: "content", for the features themselves, or "style", for their Gram matrices, which gives a texture.
        network: a network from pictures to the features that count, by end point.
        job: the steps, the weight of the total variation and the seed.
        minimize: `pixels.minimize`.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: for another kind, or if memory runs out.
    """
    options.check_value("kind", kind, Kind)
    targets = pixels.features_of(image, network)
    if kind == "style":
        targets = neural_style.style_targets(targets, list(targets), objectives.gram)

    def terms(features: Mapping[str, Tensor], pictures: Tensor) -> dict[str, Tensor]:
        if kind == "style":
            found = {"style_loss": objectives.style_loss(features, targets, objectives.gram)}
        else:
            found = {"content_loss": objectives.content_loss(features, targets)}
        if job.total_variation_weight:
            found["total_variation_loss"] = job.total_variation_weight * losses.total_variation_loss(pictures)[0]
        return found

    noise = np.random.default_rng(job.seed).random(image.shape, np.float32)
    return minimize(pixels.evaluation_of(objectives.of_features(network, terms)), noise, job.steps)
