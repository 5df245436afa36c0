"""Losses and activations that pixels are optimised for: functions of VGG features, one number each.

Losses are relative: 0 if picture and target agree, and about 1 if the picture has nothing of the target, whatever the
layer, the network and the pair of images. So one weight suits them all.

References:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
    Gatys, Ecker, Bethge, Hertzmann, Shechtman: Controlling Perceptual Factors in Neural Style Transfer.
        arXiv 1611.07865 (regions).
    Li, Wang, Liu, Hou: Demystifying Neural Style Transfer. arXiv 1701.01036 (means and variances).
    Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015 (DeepDream).
"""

from collections.abc import Callable, Mapping

import keras
from keras import ops

from magstyle import losses
from magstyle.optimization.pixels import Objective, Tensor

# From features [1, H, W, C], and a region [1, H, W, 1] of them or None, to what describes their style.
Statistic = Callable[..., Tensor]
# From the features of pictures by end point, and pictures [1, H, W, 3], to numbers by name.
Terms = Callable[[Mapping[str, Tensor], Tensor], Mapping[str, Tensor]]

_TINY = 1e-12
# About the grain of a sharp picture; soft photos and paintings have much less, but a picture of them may be sharp.
_SHARP = 1e-4


def relative_loss(values: Tensor, target: Tensor) -> Tensor:
    """The squared distance between arrays of one shape, relative to the square of the target; one number."""
    return ops.sum(ops.square(values - target)) / (ops.sum(ops.square(target)) + _TINY)


def content_loss(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """The relative loss between the features of picture and photo, a mean over end points.

    Args:
        features: [1, H, W, C] of the picture, by end point.
        targets: features of the photo, for the end points that count.
    """
    return sum(relative_loss(features[name], target) for name, target in targets.items()) / len(targets)


def style_loss(
    features: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    statistic: Statistic,
    regions: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """The relative loss between a statistic of the features of picture and painting, a mean over end points.

    Args:
        features: [1, H, W, C] of the picture, by end point.
        targets: the statistic of the painting, for the end points that count.
        statistic: one of STYLE_STATISTICS.
        regions: where the style goes, [1, H, W, 1] in [0, 1] by end point; everywhere by default.
    """
    found = {name: statistic(features[name], regions[name] if regions else None) for name in targets}
    return sum(relative_loss(found[name], target) for name, target in targets.items()) / len(targets)


def gram(features: Tensor, region: Tensor | None = None) -> Tensor:
    """The Gram matrix [1, C, C] of features [1, H, W, C], in a region [1, H, W, 1] of them."""
    if region is not None:
        features = features * ops.sqrt(region / ops.mean(region))
    return losses.gram_matrix(features)


def mean_and_deviation(features: Tensor, region: Tensor | None = None) -> Tensor:
    """The mean and standard deviation [2, C] of each channel of features [1, H, W, C], in a region [1, H, W, 1]."""
    weights = 1.0 if region is None else region / ops.mean(region)
    mean = ops.mean(features * weights, axis=(0, 1, 2))
    variance = ops.mean(ops.square(features - mean) * weights, axis=(0, 1, 2))
    return ops.stack([mean, ops.sqrt(variance + _TINY)])


STYLE_STATISTICS: dict[str, Statistic] = {"gram": gram, "mean_and_deviation": mean_and_deviation}


def grain(images: Tensor) -> Tensor:
    """How much images [B, H, W, C] alternate from one pixel to the next, [B].

    This is the mean square of the fourth differences along columns plus that along rows, divided so that columns that
    alternate between a and -a have a squared. Where the gradient passes VGG's poolings, it leaves such a weave, like
    that of a canvas, which deeper layers hardly see.
    """
    # Those of a, -a, a, -a, a are 16 a.
    alternations = [ops.diff(images, 4, axis=axis) / 16 for axis in (1, 2)]
    return sum(ops.mean(ops.square(alternation), axis=(1, 2, 3)) for alternation in alternations)


def grain_loss(pictures: Tensor, target: float) -> Tensor:
    """The grain of pictures [1, H, W, 3] in [0, 1], relative to that of photo and paintings; one number."""
    return grain(pictures)[0] / (target + _SHARP)


def activation(features: Tensor) -> Tensor:
    """The mean square of features [1, H, W, C], which DeepDream climbs."""
    return ops.mean(ops.square(features))


def likeness(features: Tensor, guide: Tensor) -> Tensor:
    """The mean, over all places, of the largest product of the features there with those of any place of the guide.

    This is DeepDream's guided objective: each place climbs towards the place of the guide that it resembles most.

    Args:
        features: [1, H, W, C] of the picture.
        guide: [1, h, w, C] of the guide.
    """
    channels = guide.shape[-1]
    products = ops.matmul(ops.reshape(features, (-1, channels)), ops.transpose(ops.reshape(guide, (-1, channels))))
    return ops.mean(ops.max(products, axis=1)) / channels


def of_features(vgg: keras.Model, terms: Terms) -> Objective:
    """Makes an objective of pictures from terms of their features.

    Args:
        vgg: a network from pictures [1, H, W, 3] to features by end point.
        terms: a function from these features and the pictures to numbers by name.
    """
    return lambda pictures: terms(vgg(pictures), pictures)
