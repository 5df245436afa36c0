"""Neural style from files to a file: paints a photo in the style of paintings by optimising its pixels."""

import math
import os
import pathlib
import sys
from collections.abc import Sequence

import keras
import numpy as np

from magstyle import options
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.names import counted
from magstyle.optimization import job_files, transforms
from magstyle.optimization.jobs import NeuralStyleJob, StyleOptions
from magstyle.optimization.neural_style import MARGIN, Painting, cut, paint
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
    paths = photos.find(job.style_images)
    masks = _mask_paths(job.style_masks, len(paths))
    weights = _painting_weights(job.style_image_weights, len(paths))
    output = job_files.output_of(job.output_image, [job.content_image, *paths, *masks])
    content = job_files.read_image(job.content_image, job.image_size, output)
    size = content.shape[:2]
    transforms.octave_sizes(size, job.octaves)
    regions = _read_masks(masks, size) if masks else [None] * len(paths)
    vgg = open_network(job)
    memory.check_optimization(vgg, size[0], size[1], MARGIN)
    paintings = list(map(Painting, map(images.read_image, paths), weights, regions))

    def write(picture: np.ndarray, path: pathlib.Path) -> None:
        picture = transforms.resize(picture, size)
        images.write_image(path, preserve_color(content, picture) if job.preserve_color else picture)

    def write_so_far(picture: np.ndarray, step: int | None) -> None:
        suffix = "" if step is None else f"_{step:05d}"
        write(cut(picture), output.with_name(f"{output.stem}{suffix}{output.suffix}"))

    steps = sum(transforms.octave_steps(job.octaves, job.steps))
    with job_files.minimizing(job, steps, write_so_far, job.snapshot_steps) as minimize:
        picture = paint(content, paintings, vgg, job, minimize)
    write(picture, output)
    return output


def open_network(style: StyleOptions) -> keras.Model:
    """Opens VGG, from pictures [B, H, W, 3] in [0, 1] to the features that neural style compares, by end point.

    Raises:
        InputError: as `job_files.open_vgg`.
    """
    return job_files.open_vgg(style, [*style.content_end_points, *style.style_end_points])


def _mask_paths(given: str | os.PathLike | Sequence[str | os.PathLike] | None, count: int) -> list[str | os.PathLike]:
    """The paths of the masks of this number of paintings; none, or one for each."""
    masks = [given] if isinstance(given, str | os.PathLike) else list(given or [])
    if masks and len(masks) != count:
        raise InputError(
            f"{_MASKS} has {counted(len(masks), 'image')}, and {_PAINTINGS} {count}; each painting needs its own",
            *(_MASKS, _PAINTINGS),
        )
    return masks


def _painting_weights(given: float | Sequence[float] | None, count: int) -> list[float]:
    """The weights of this number of paintings."""
    if given is None:
        return [1.0] * count
    weights = list(given) if isinstance(given, Sequence) else [given]
    if not all(isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(f"{_WEIGHTS}={given} must be numbers of 0 or more, such as (0.6, 0.4)", _WEIGHTS)
    if len(weights) != count:
        message = f"{_WEIGHTS} has {counted(len(weights), 'number')}, and {_PAINTINGS} {counted(count, 'image')}"
        raise InputError(message, _WEIGHTS, _PAINTINGS)
    if not sum(weights):
        raise InputError(f"{_WEIGHTS}={given} must have a number above 0", _WEIGHTS)
    return weights


def _read_masks(paths: Sequence[str | os.PathLike], size: tuple[int, int]) -> list[np.ndarray]:
    """Reads masks, and scales them to this height and width: [H, W] in [0, 1] each."""
    masks = []
    for path in paths:
        mask = transforms.resize(images.as_mask(path)[..., None], size)[..., 0]
        if mask.max() < 0.5:
            raise InputError(f"the mask {path} is black, which leaves no place for its painting", _MASKS)
        masks.append(mask)
    uncovered = np.mean(np.sum(masks, axis=0) < 0.5)
    if uncovered:
        print(f"{uncovered:.1%} of the picture is in no mask, and takes no style", file=sys.stderr)
    return masks
