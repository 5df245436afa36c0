"""Jobs of this room as typed values, without Keras; programs make their flags from them."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal

from magstyle import limits, options
from magstyle.data import photos

CONTENT_END_POINTS = ("conv4_2",)
STYLE_END_POINTS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
# What a reconstruction matches: features, or their Gram matrices.
Kind = Literal["content", "style"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VggOptions:
    """How the pixels of a picture are optimised for features of VGG.

    Args:
        vgg_checkpoint: the loss network: imagenet, a Keras .h5 file, a slim checkpoint, a .npz file or random:SEED.
        pooling: how VGG pools, by average or by maximum.
        total_variation_weight: weight of the differences between neighbouring pixels; smooths the picture.
        image_size: shorter side of the picture, in pixels; None leaves the image as it is.
        steps: number of evaluations of the losses and their gradient.
        optimizer: L-BFGS or Adam.
        learning_rate: learning rate of Adam.
        seed: seed of the noise.

    Raises:
        InputError: for a number beyond its limits, or a word that is not a choice.
    """

    vgg_checkpoint: str | os.PathLike = "imagenet"
    pooling: Literal["avg", "max"] = "avg"
    total_variation_weight: limits.Weight = 0.0
    image_size: limits.ImageSize | None = 512
    steps: limits.Count = 200
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: limits.LearningRate = 0.02
    seed: limits.Seed = 0

    def __post_init__(self) -> None:
        options.check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleOptions(VggOptions):
    """Options of neural style, independent of photo and paintings.

    Args:
        vgg_checkpoint: the loss network, VGG-19 in the papers: imagenet, which is VGG-16, a Keras .h5 file, a slim
            checkpoint, a .npz file or random:SEED.
        steps: number of evaluations of the losses and their gradient, in all; each octave takes half as many as the
            one before.
        content_end_points: end points of VGG that compare the content, such as conv4_2 or vgg_19/conv4/conv4_2.
        style_end_points: end points of VGG that compare the style.
        style_loss: statistic that compares the style of picture and painting: their Gram matrices, or the mean and
            standard deviation of each channel.
        content_weight: weight of the content loss, which is relative to the photo's own features.
        style_weight: weight of the style loss, which is relative to the paintings' own features.
        style_scale: size of the strokes: 2 paints with the paintings twice as large.
        start: picture to start from: the photo, the first painting or noise.
        octaves: number of sizes to paint at, from coarse to fine, each twice as large as the one before; large strokes
            stay large in large pictures.
    """

    steps: limits.Count = 300
    content_end_points: Sequence[str] = CONTENT_END_POINTS
    style_end_points: Sequence[str] = STYLE_END_POINTS
    style_loss: Literal["gram", "mean_and_deviation"] = "gram"
    content_weight: limits.Weight = 1.0
    style_weight: limits.PositiveWeight = 20.0
    style_scale: limits.StyleScale = 1.0
    start: Literal["content", "style", "noise"] = "content"
    octaves: limits.Octaves = 3


@dataclasses.dataclass(frozen=True)
class NeuralStyleJob(StyleOptions):
    """A photo in a file to paint in the style of paintings in files.

    Args:
        content_image: the photo.
        style_images: the paintings: image files, globs and folders.
        output_image: the picture to write, .png, .jpg or .webp; a file of that name is replaced.
        style_image_weights: one number per painting, such as 0.7, 0.3, in proportion to each other; all equal by
            default.
        style_masks: one image per painting, in the same order, white where its style goes; scaled to the picture.
        preserve_color: keep the photo's colours and take only the strokes.
        snapshot_steps: also write the picture each time this number of steps is done, beside output_image.
    """

    content_image: str | os.PathLike
    style_images: photos.Patterns
    output_image: options.OutputPath
    _: dataclasses.KW_ONLY
    style_image_weights: float | Sequence[float] | None = None
    style_masks: str | os.PathLike | Sequence[str | os.PathLike] | None = None
    preserve_color: bool = False
    snapshot_steps: limits.Count | None = None


@dataclasses.dataclass(frozen=True)
class ReconstructionJob(VggOptions):
    """An image file to reconstruct from its VGG features, starting from noise.

    Args:
        input_image: the image.
        output_image: the picture to write, .png, .jpg or .webp; a file of that name is replaced.
        end_point: end point of VGG, such as conv4_2.
        all_layers: instead of one end point, show conv1_1 to conv5_1, both kinds, on one sheet, as Gatys et al. do.
        kind: features to match: content, those of the end point; or style, the Gram matrices of the end point and of
            the first convolution of each block before it, which makes a texture.
        total_variation_weight: weight of the differences between neighbouring pixels, which deep layers ignore.
        steps: number of evaluations of the loss and its gradient, for each picture.
    """

    input_image: str | os.PathLike
    output_image: options.OutputPath
    _: dataclasses.KW_ONLY
    end_point: str | None = None
    all_layers: bool = False
    kind: Kind = "content"
    image_size: limits.ImageSize | None = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class DreamOptions:
    """Options of DeepDream, independent of network and image.

    Args:
        octaves: number of sizes to dream at, from coarse to fine.
        octave_scale: ratio of each size to the one before it.
        steps: number of steps per octave.
        learning_rate: length of a step, in units of [0, 1].
        tile_size: longest side of what is computed at once, in pixels; memory grows with it, not with the image.

    Raises:
        InputError: for a number beyond its limits.
    """

    octaves: limits.Octaves = 4
    octave_scale: limits.OctaveScale = 1.4
    steps: limits.Count = 10
    learning_rate: limits.LearningRate = 0.02
    tile_size: limits.TileSize = 512

    def __post_init__(self) -> None:
        options.check(self)


@dataclasses.dataclass(frozen=True)
class DeepDreamJob(DreamOptions):
    """An image in a file to show more of what a network sees in it.

    Args:
        input_image: the image.
        output_image: the picture to write, .png, .jpg or .webp; a file of that name is replaced. Several frames become
            an animation in a .gif, .webp, .mp4 or .webm file (the last two with the extra `video`), or numbered
            pictures beside that path.
        model: the network: the name of one in keras.applications, such as InceptionV3 (downloaded on first use), a
            .keras file that takes images in [0, 1], or a VGG: a Keras .h5 file, a slim checkpoint, a .npz file or
            random:SEED.
        end_points: layers to climb; mixed3:13 is channel 13 of one.
        guide_image: an image whose features the picture climbs towards.
        image_size: shorter side of the picture, in pixels; that of the image by default.
        frames: number of frames of a journey into the picture, each dreamed from the middle of the one before.
        zoom: zoom from one frame to the next.
        seed: seed of the places where tiles are cut.
    """

    input_image: str | os.PathLike
    output_image: options.OutputPath
    _: dataclasses.KW_ONLY
    model: str | os.PathLike = "InceptionV3"
    end_points: Sequence[str] = ("mixed3", "mixed5")
    guide_image: str | os.PathLike | None = None
    image_size: limits.ImageSize | None = None
    frames: limits.Count = 1
    zoom: limits.Zoom = 1.05
    seed: limits.Seed = 0
