"""Neural style from files to a file: a photo in the style of paintings, by optimisation of its pixels."""

import functools
import math
import os
import pathlib
import sys
from collections.abc import Sequence

import keras
import numpy as np

from magstyle import limits, models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos
from magstyle.errors import InputError, check_choice
from magstyle.optimization import neural_style as style_transfer
from magstyle.optimization import objectives, pixels, progress, transforms
from magstyle.painting import memory
from magstyle.painting.colors import preserve_color as keep_color

_WEIGHTS, _PAINTINGS = "style_image_weights", "style_images"


def neural_style(
    content_image: str | os.PathLike,
    style_images: str | os.PathLike | Sequence[str | os.PathLike],
    output_image: str | os.PathLike,
    *,
    style_image_weights: float | Sequence[float] | None = None,
    style_masks: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    vgg_checkpoint: str | os.PathLike = "imagenet",
    pooling: str = "avg",
    content_end_points: Sequence[str] = style_transfer.CONTENT_END_POINTS,
    style_end_points: Sequence[str] = style_transfer.STYLE_END_POINTS,
    style_loss: str = "gram",
    content_weight: float = 1.0,
    style_weight: float = 10.0,
    total_variation_weight: float = 0.0,
    style_scale: float = 1.0,
    start: str = "content",
    image_size: int | None = 512,
    octaves: int = 2,
    steps: int = 200,
    optimizer: str = "lbfgs",
    learning_rate: float = 0.02,
    preserve_color: bool = False,
    snapshot_steps: int | None = None,
    seed: int = 0,
) -> pathlib.Path:
    """Paints a photo in the style of one or several paintings, without a trained network, in minutes.

    Progress is shown on stderr, with the losses. If it is interrupted, the picture of that moment is written.

    Args:
        content_image: the photo.
        style_images: the paintings: image files, globs and folders.
        output_image: the picture to write, .png, .jpg or .webp; one that is there is replaced.
        style_image_weights: one number per painting, in relation to each other; all the same by default.
        style_masks: one image per painting, white where its style is to be; scaled to the picture.
        vgg_checkpoint: the loss network, as `magstyle.load_vgg` opens it; the papers' is VGG-19.
        pooling: "avg" or "max".
        content_end_points, style_end_points: of VGG, such as "conv4_2" or "vgg_19/conv4/conv4_2".
        style_loss: compares a picture and a painting by "gram", their Gram matrices, or by "mean_and_deviation" of each
            channel.
        content_weight, style_weight: of losses that are relative to the photo's and the paintings' own features.
        total_variation_weight: of the differences of neighbouring pixels; smooths.
        style_scale: the size of strokes: 2 paints with the paintings twice as large.
        start: "content", "style" (the first painting) or "noise".
        image_size: shorter side of the picture; None leaves the photo as it is.
        octaves: paint so many times, from coarse to fine, each twice as large; large strokes stay large in large
            pictures.
        steps: evaluations of the losses and their gradient, in the first octave; half as many in each that follows.
        optimizer: "lbfgs" or "adam".
        learning_rate: of Adam.
        preserve_color: keep the photo's colours, take only the strokes.
        snapshot_steps: also write the picture after every so many steps, beside output_image.
        seed: of the noise.

    Returns:
        The path of the picture.

    Raises:
        InputError: for files, end points or numbers that cannot be used, or a picture that does not fit into memory.

    Reference:
        Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
    """
    limits.check(
        {
            "content_weight": content_weight,
            "style_weight": style_weight,
            "total_variation_weight": total_variation_weight,
            "style_scale": style_scale,
            "image_size": image_size,
            "octaves": octaves,
            "steps": steps,
            "learning_rate": learning_rate,
            "snapshot_steps": snapshot_steps,
            "seed": seed,
        }
    )
    output = pathlib.Path(output_image).expanduser()
    paintings = photos.find(style_images)
    masks = [style_masks] if isinstance(style_masks, str | os.PathLike) else list(style_masks or [])
    images.check_output(output, [content_image, *paintings, *masks])
    check_choice("pooling", pooling, ("avg", "max"))
    check_choice("style_loss", style_loss, objectives.STYLE_STATISTICS)
    check_choice("start", start, style_transfer.STARTS)
    check_choice("optimizer", optimizer, ("lbfgs", "adam"))
    weights = _painting_weights(style_image_weights, len(paintings))
    if masks and len(masks) != len(paintings):
        raise InputError(
            f"style_masks has {len(masks)} images, and style_images {len(paintings)}; each painting needs its own",
            "style_masks",
            "style_images",
        )

    content = images.read_image(os.path.expanduser(content_image), image_size)
    images.check_writable(output, *content.shape[:2])
    transforms.octave_sizes(content.shape[:2], octaves)
    regions = _read_masks(masks, content.shape[:2]) if masks else None
    vgg = load_vgg(vgg_checkpoint, pooling=pooling)
    content_names = models.find_end_points(content_end_points, vgg.output)
    style_names = models.find_end_points(style_end_points, vgg.output)
    vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in [*content_names, *style_names]})
    memory.check_optimization(vgg, *content.shape[:2])

    def write(picture: np.ndarray, step: int | None) -> None:
        picture = transforms.resize(picture, content.shape[:2])
        path = output if step is None else output.with_name(f"{output.stem}_{step:05d}{output.suffix}")
        images.write_image(path, keep_color(content, picture) if preserve_color else picture)

    with progress.watched(sum(transforms.octave_steps(octaves, steps)), write, snapshot_steps) as report:
        picture = style_transfer.paint(
            content,
            [images.read_image(path) for path in paintings],
            vgg,
            content_names,
            style_names,
            functools.partial(pixels.minimize, optimizer=optimizer, learning_rate=learning_rate, report=report),
            steps=steps,
            painting_weights=weights,
            masks=regions,
            content_weight=content_weight,
            style_weight=style_weight,
            style_scale=style_scale,
            style_loss=style_loss,
            total_variation_weight=total_variation_weight,
            start=start,
            octaves=octaves,
            seed=seed,
        )
    write(picture, None)
    return output


def _painting_weights(given: float | Sequence[float] | None, count: int) -> list[float]:
    """A weight for each of so many paintings."""
    if given is None:
        return [1.0] * count
    weights = list(given) if isinstance(given, list | tuple) else [given]
    if not all(isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(f"{_WEIGHTS}={given} must be numbers of 0 or more, such as (0.6, 0.4)", _WEIGHTS)
    if len(weights) != count:
        raise InputError(
            f"{_WEIGHTS} has {len(weights)} numbers, and {_PAINTINGS} {count} images", _WEIGHTS, _PAINTINGS
        )
    if not sum(weights):
        raise InputError(f"{_WEIGHTS}={given} must have a number above 0", _WEIGHTS)
    return weights


def _read_masks(paths: Sequence[str | os.PathLike], size: tuple[int, int]) -> list[np.ndarray]:
    """Masks [H, W] in [0, 1] of this size, whatever theirs is."""
    masks = []
    for path in paths:
        mask = transforms.resize(images.read_image(os.path.expanduser(path)), size).mean(axis=2)
        if mask.max() < 0.5:
            raise InputError(f"the mask {path} is black: its painting would have no place", "style_masks")
        masks.append(mask)
    uncovered = np.mean(np.sum(masks, axis=0) < 0.5)
    if uncovered:
        print(f"{uncovered:.1%} of the picture are in no mask, and take no style", file=sys.stderr)
    return masks
