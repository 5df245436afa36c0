"""Neural style from files to a file: paints a photo in the style of paintings by optimising its pixels."""

import functools
import math
import os
import pathlib
import sys
from collections.abc import Sequence

import keras
import numpy as np

from magstyle import models, options
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.optimization import pixels, progress, transforms
from magstyle.optimization.jobs import NeuralStyleJob, StyleOptions
from magstyle.optimization.neural_style import Painting, paint
from magstyle.painting import memory
from magstyle.painting.colors import preserve_color

_WEIGHTS, _PAINTINGS, _MASKS = "style_image_weights", "style_images", "style_masks"


@options.takes(NeuralStyleJob)
def neural_style(job: NeuralStyleJob) -> pathlib.Path:
    """Paints a photo in the style of one or several paintings, without a trained network, in minutes.

    Shows progress and losses on stderr. If interrupted, writes the picture of that moment.

    Returns:
        The path of the picture.

    Raises:
        InputError: for files, end points or numbers that cannot be used, or a picture that does not fit into memory.

    Reference:
        Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576.
    """
    output = pathlib.Path(job.output_image).expanduser()
    paths = photos.find(job.style_images)
    given = job.style_masks
    masks = [given] if isinstance(given, str | os.PathLike) else list(given or [])
    images.check_output(output, [job.content_image, *paths, *masks])
    weights = _painting_weights(job.style_image_weights, len(paths))
    if masks and len(masks) != len(paths):
        raise InputError(
            f"{_MASKS} has {len(masks)} images, and {_PAINTINGS} {len(paths)}; each painting needs its own",
            *(_MASKS, _PAINTINGS),
        )

    content = images.read_image(os.path.expanduser(job.content_image), job.image_size)
    images.check_writable(output, *content.shape[:2])
    transforms.octave_sizes(content.shape[:2], job.octaves)
    regions = _read_masks(masks, content.shape[:2]) if masks else [None] * len(paths)
    vgg = open_network(job)
    memory.check_optimization(vgg, *content.shape[:2])
    paintings = [
        Painting(images.read_image(path), weight, region)
        for path, weight, region in zip(paths, weights, regions, strict=True)
    ]

    def write(picture: np.ndarray, step: int | None) -> None:
        picture = transforms.resize(picture, content.shape[:2])
        path = output if step is None else output.with_name(f"{output.stem}_{step:05d}{output.suffix}")
        images.write_image(path, preserve_color(content, picture) if job.preserve_color else picture)

    steps = sum(transforms.octave_steps(job.octaves, job.steps))
    with progress.watched(steps, write, job.snapshot_steps) as report:
        minimize = functools.partial(
            pixels.minimize, optimizer=job.optimizer, learning_rate=job.learning_rate, report=report
        )
        picture = paint(content, paintings, vgg, job, minimize)
    write(picture, None)
    return output


def open_network(options: StyleOptions) -> keras.Model:
    """Opens VGG, up to the features that count, from pictures [B, H, W, 3] in [0, 1] to these by end point.

    Raises:
        InputError: as `magstyle.load_vgg`, and for an end point that it does not have.
    """
    vgg = load_vgg(options.vgg_checkpoint, pooling=options.pooling)
    names = models.find_end_points([*options.content_end_points, *options.style_end_points], vgg.output)
    return keras.Model(vgg.input, {name: vgg.output[name] for name in names})


def _painting_weights(given: float | Sequence[float] | None, count: int) -> list[float]:
    """The weights of this number of paintings."""
    if given is None:
        return [1.0] * count
    weights = list(given) if isinstance(given, Sequence) else [given]
    if not all(isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(f"{_WEIGHTS}={given} must be numbers of 0 or more, such as (0.6, 0.4)", _WEIGHTS)
    if len(weights) != count:
        message = f"{_WEIGHTS} has {len(weights)} numbers, and {_PAINTINGS} {count} images"
        raise InputError(message, _WEIGHTS, _PAINTINGS)
    if not sum(weights):
        raise InputError(f"{_WEIGHTS}={given} must have a number above 0", _WEIGHTS)
    return weights


def _read_masks(paths: Sequence[str | os.PathLike], size: tuple[int, int]) -> list[np.ndarray]:
    """Reads masks, and scales them to this height and width: [H, W] in [0, 1] each."""
    masks = []
    for path in paths:
        mask = transforms.resize(images.read_image(os.path.expanduser(path)), size).mean(axis=2)
        if mask.max() < 0.5:
            raise InputError(f"the mask {path} is black, which leaves no place for its painting", _MASKS)
        masks.append(mask)
    uncovered = np.mean(np.sum(masks, axis=0) < 0.5)
    if uncovered:
        print(f"{uncovered:.1%} of the picture is in no mask, and takes no style", file=sys.stderr)
    return masks
