"""The steps that jobs have in common: checking the output, reading the image, opening VGG, minimising."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np

from magstyle import files, models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.optimization import pixels, progress
from magstyle.optimization.jobs import VggOptions


def output_of(output_image: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> pathlib.Path:
    """The path to write to, with "~" expanded; raises an InputError if it is one of the images to read."""
    output = files.expanded(output_image)
    images.check_output(output, inputs)
    return output


def read_image(path: str | os.PathLike, image_size: int | None, output: pathlib.Path) -> np.ndarray:
    """Reads an image as `images.read_image`; raises an InputError if `output` cannot hold a picture of its size."""
    image = images.read_image(files.expanded(path), image_size)
    images.check_writable(output, *image.shape[:2])
    return image


def open_vgg(job: VggOptions, end_points: Sequence[str]) -> keras.Model:
    """Opens VGG, from pictures [B, H, W, 3] in [0, 1] to its features at some end points.

    Raises:
        InputError: as `magstyle.load_vgg`, and for an end point that it does not have.
    """
    return part(load_vgg(job.vgg_checkpoint, pooling=job.pooling), end_points)


def part(vgg: keras.Model, end_points: Sequence[str]) -> keras.Model:
    """The part of VGG up to some end points; raises an InputError for one that it does not have."""
    return keras.Model(vgg.input, {name: vgg.output[name] for name in models.find_end_points(end_points, vgg.output)})


@contextlib.contextmanager
def minimizing(
    job: VggOptions, steps: int, write: Callable[[np.ndarray, int | None], object], snapshot_steps: int | None = None
) -> Iterator[pixels.Minimize]:
    """Gives `pixels.minimize` with the optimizer of a job, watched as `progress.watched` does."""
    with progress.watched(steps, write, snapshot_steps) as report:
        yield functools.partial(
            pixels.minimize, optimizer=job.optimizer, learning_rate=job.learning_rate, report=report
        )
