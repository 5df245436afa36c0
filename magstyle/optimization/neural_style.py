"""Neural style: pixels that keep the content of a photo and take the style of paintings.

References:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576; and Image Style Transfer Using
        Convolutional Neural Networks. CVPR 2016.
    Gatys, Ecker, Bethge, Hertzmann, Shechtman: Controlling Perceptual Factors in Neural Style Transfer.
        arXiv 1611.07865 (coarse to fine, regions).
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from magstyle import losses
from magstyle.optimization import objectives, pixels, transforms

CONTENT_END_POINTS = ("conv4_2",)
STYLE_END_POINTS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
STARTS = ("content", "style", "noise")


def paint(
    content: np.ndarray,
    paintings: Sequence[np.ndarray],
    vgg: keras.Model,
    content_end_points: Sequence[str],
    style_end_points: Sequence[str],
    minimize: pixels.Minimize,
    *,
    steps: int,
    painting_weights: Sequence[float] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    content_weight: float = 1.0,
    style_weight: float = 10.0,
    style_scale: float = 1.0,
    style_loss: str = "gram",
    total_variation_weight: float = 0.0,
    start: str = "content",
    octaves: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Paints a photo in the style of paintings.

    Args:
        content: the photo, [H, W, 3] in [0, 1].
        paintings: [h, w, 3] in [0, 1] each, of any size.
        vgg: from pictures to features by end point; it has those that follow.
        content_end_points, style_end_points: full names.
        minimize: `pixels.minimize`.
        steps: of it in the first octave; half as many in each that follows.
        painting_weights: of the paintings, in relation to each other; all the same by default.
        masks: [H, W] in [0, 1], where the style of each painting is to be; everywhere by default.
        content_weight, style_weight, total_variation_weight: of relative losses; see `objectives`.
        style_scale: the shorter side of the paintings, in shorter sides of the picture: the size of the strokes.
        style_loss: one of `objectives.STYLE_STATISTICS`.
        start: "content", "style" (the first painting, stretched) or "noise".
        octaves: how often to paint, each time twice as large as before. What was painted is carried on: with the start
            "content" over the photo's own detail, which has not to be found again then.
        seed: of the noise.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        InputError: for octaves that begin with too small a picture, or a lack of memory.
    """
    sizes = transforms.octave_sizes(content.shape[:2], octaves)
    if start == "noise":
        picture = np.random.default_rng(seed).random((*sizes[0], 3), np.float32)
    else:
        picture = transforms.resize(content if start == "content" else paintings[0], sizes[0])
    for size, count in zip(sizes, transforms.octave_steps(octaves, steps), strict=True):
        shorter_side = style_scale * min(size)
        photo = transforms.resize(content, size)
        if start == "content":
            change = picture - transforms.resize(content, picture.shape[:2])
            picture = np.clip(photo + transforms.resize_change(change, size), 0, 1)
        objective = _objective(
            vgg,
            photo,
            [transforms.resize(image, _scaled(image.shape, shorter_side)) for image in paintings],
            None if masks is None else [transforms.resize(mask[..., None], size) for mask in masks],
            content_end_points,
            style_end_points,
            np.ones(len(paintings)) if painting_weights is None else np.asarray(painting_weights),
            (content_weight, style_weight, total_variation_weight),
            objectives.STYLE_STATISTICS[style_loss],
        )
        picture = minimize(pixels.evaluation_of(objective), transforms.resize(picture, size), count)
    return picture


def _objective(
    vgg: keras.Model,
    content: np.ndarray,
    paintings: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None,
    content_end_points: Sequence[str],
    style_end_points: Sequence[str],
    painting_weights: np.ndarray,
    weights: tuple[float, float, float],
    statistic: Callable,
) -> pixels.Objective:
    """The losses of a picture of one size, weighted, by name."""
    content_weight, style_weight, total_variation_weight = weights
    features = pixels.features_of(content, vgg)
    contents = {name: features[name] for name in content_end_points}
    styles = [style_targets(pixels.features_of(image, vgg), style_end_points, statistic) for image in paintings]
    regions = [None] * len(styles)
    if masks is not None:
        regions = [
            {name: transforms.resize(mask, features[name].shape[1:3])[None] for name in style_end_points}
            for mask in masks
        ]
    shares = painting_weights / painting_weights.sum()

    def terms(features, pictures):
        found = {}
        if content_weight:
            found["content_loss"] = content_weight * objectives.content_loss(features, contents)
        found["style_loss"] = style_weight * sum(
            float(share) * objectives.style_loss(features, targets, statistic, region)
            for share, targets, region in zip(shares, styles, regions, strict=True)
        )
        if total_variation_weight:
            found["total_variation_loss"] = total_variation_weight * losses.total_variation_loss(pictures)[0]
        return found

    return objectives.of_features(vgg, terms)


def style_targets(features: dict, end_points: Sequence[str], statistic: Callable) -> dict[str, np.ndarray]:
    """A statistic of the features of a painting, by end point."""
    return {name: keras.ops.convert_to_numpy(statistic(features[name])) for name in end_points}


def _scaled(shape: tuple[int, ...], shorter_side: float) -> tuple[int, int]:
    height, width = (max(transforms.SMALLEST_SIDE, round(side * shorter_side / min(shape[:2]))) for side in shape[:2])
    return height, width
