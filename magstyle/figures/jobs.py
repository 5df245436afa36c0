"""A figure to make, as one value: the program makes its flags from it."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal

from magstyle import limits, options
from magstyle.checkpoints.networks import Checkpoint
from magstyle.data import photos
from magstyle.painting.brush import Brush


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class FigureJob(Brush):
    """A figure of photos in several styles.

    Args:
        content_images: photos: image files, globs and folders. All photos of a figure are shown in the shape of the
            first.
        output_image: the figure to write, .png, .jpg or .webp; for a walk .gif, .webp, .mp4 or .webm (the last two
            with the extra `video`). A file of that name is replaced.
        kind: "sheet": the paintings along the top and, below each, the photo in its style; "triptych": photo, painting
            and picture, a row for each painting; "grid": photos down the side, paintings along the top; "strip": a
            photo on its way from style to style; "walk": the same as an animation that ends where it begins.
        style_images: the paintings: image files, globs and folders. If the network paints, each must have the name of
            its style, except with a model for any painting, such as "anything".
        which_styles: styles of the network by number or name, where no painting is shown; all by default. A model for
            any painting takes paintings' files instead.
        checkpoint: the model, anything that `magstyle.load_model` opens: a bundled one, a .keras file, a training
            folder, a Magenta checkpoint or .pb.
        optimize: paint with neural style instead of the network, in the style of any paintings.
        vgg_checkpoint: the loss network of neural style, as `magstyle.load_vgg` opens it.
        image_size: shorter side of each picture, in pixels.
        octaves: sizes at which neural style paints, from coarse to fine.
        steps: evaluations of neural style for each picture, in all.
    """

    content_images: photos.Patterns
    output_image: options.OutputPath
    _: dataclasses.KW_ONLY
    kind: Literal["sheet", "triptych", "grid", "strip", "walk"] = "sheet"
    style_images: photos.Patterns | None = None
    which_styles: Sequence[int | str] | str | None = None
    checkpoint: Checkpoint = "painters"
    optimize: bool = False
    vgg_checkpoint: str | os.PathLike = "imagenet"
    image_size: limits.ImageSize = 256
    octaves: limits.Octaves = 2
    steps: limits.Count = 300
