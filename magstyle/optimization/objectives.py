"""What pixels are optimised for: functions of VGG features, one number each.

Losses are relative: 0 where picture and target agree, and about 1 where the picture has nothing of the target, whatever
the layer, the network and the pair of images. So one weight suits them all.

References:
    Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
    Gatys, Ecker, Bethge, Hertzmann, Shechtman: Controlling Perceptual Factors in Neural Style Transfer.
        arXiv 1611.07865 (regions).
    Li, Wang, Liu, Hou: Demystifying Neural Style Transfer. arXiv 1701.01036 (means and variances).
    Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015 (DeepDream).
"""

from collections.abc import Mapping

import keras
from keras import ops

from magstyle import losses

_TINY = 1e-12


def relative_loss(values, target):
    """The squared distance of arrays of one shape, relative to the square of the target; one number."""
    return ops.sum(ops.square(values - target)) / (ops.sum(ops.square(target)) + _TINY)


def content_loss(features: Mapping, targets: Mapping):
    """The mean over end points of how far features are from those of the photo.

    Args:
        features: [1, H, W, C] of the picture, by end point.
        targets: those of the photo, for the end points that count.
    """
    return sum(relative_loss(features[name], target) for name, target in targets.items()) / len(targets)


def style_loss(features: Mapping, targets: Mapping, statistic, regions: Mapping | None = None):
    """The mean over end points of how far a statistic of features is from that of the painting.

    Args:
        features: [1, H, W, C] of the picture, by end point.
        targets: the statistic of the painting, for the end points that count.
        statistic: one of STYLE_STATISTICS.
        regions: where the style is to be, [1, H, W, 1] in [0, 1] by end point; everywhere by default.
    """
    found = {name: statistic(features[name], regions[name] if regions else None) for name in targets}
    return sum(relative_loss(found[name], target) for name, target in targets.items()) / len(targets)


def gram(features, region=None):
    """The Gram matrix [1, C, C] of features [1, H, W, C], in a region [1, H, W, 1] of them."""
    if region is not None:
        features = features * ops.sqrt(region / ops.mean(region))
    return losses.gram_matrix(features)


def mean_and_deviation(features, region=None):
    """The mean and standard deviation [2, C] of each channel of features [1, H, W, C], in a region [1, H, W, 1]."""
    weights = 1.0 if region is None else region / ops.mean(region)
    mean = ops.mean(features * weights, axis=(0, 1, 2))
    variance = ops.mean(ops.square(features - mean) * weights, axis=(0, 1, 2))
    return ops.stack([mean, ops.sqrt(variance + _TINY)])


STYLE_STATISTICS = {"gram": gram, "mean_and_deviation": mean_and_deviation}


def activation(features):
    """The mean square of features [1, H, W, C]: what DeepDream climbs."""
    return ops.mean(ops.square(features))


def likeness(features, guide):
    """The mean over all places of the largest product of features [1, H, W, C] with any place of the guide's.

    It is DeepDream's guided objective: each place climbs towards what in the guide it already resembles.

    Args:
        features: of the picture.
        guide: features [1, h, w, C] of the guide.
    """
    channels = guide.shape[-1]
    products = ops.matmul(ops.reshape(features, (-1, channels)), ops.transpose(ops.reshape(guide, (-1, channels))))
    return ops.mean(ops.max(products, axis=1)) / channels


def of_features(vgg: keras.Model, terms):
    """The objective, from pictures [1, H, W, 3], of what `terms` makes of a network's features, and of pictures.

    Args:
        vgg: from pictures to features by end point.
        terms: a function from features and pictures to numbers by name.
    """
    return lambda pictures: terms(vgg(pictures), pictures)
