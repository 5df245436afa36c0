"""Keeps the measures of a model and its grids of pictures: in TensorBoard, and the grids as files, too."""

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.data import images
from magstyle.training import summaries


class Reports:
    """A folder of reports on models of the same styles.

    Args:
        folder: made if it is missing.
        style_names: the names of the styles.

    Raises:
        InputError: for a folder that cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike, style_names: Sequence[str]):
        self._folder, self._style_names = files.make_folder(folder), style_names

    @functools.cached_property
    def _writer(self) -> tf.summary.SummaryWriter:
        """Made with the first report: it writes a file at once."""
        return tf.summary.create_file_writer(files.for_tensorflow(self._folder))

    def add_losses(self, step: int, losses: Mapping[str, np.ndarray]) -> None:
        """Adds measures [num_styles] by name to TensorBoard's curves, each style by itself and their mean."""
        self.add_means(step, {name: float(values.mean()) for name, values in losses.items()})
        with summaries.writing(self._writer, step):
            for name, values in losses.items():
                for style, value in zip(self._style_names, values, strict=True):
                    tf.summary.scalar(f"{name}/{style}", value)

    def add_means(self, step: int, means: Mapping[str, float]) -> None:
        """Adds numbers by name, each for all styles together, to TensorBoard's curves."""
        with summaries.writing(self._writer, step):
            for name, value in means.items():
                tf.summary.scalar(name, value)

    def add_grid(self, step: int, name: str, grid: np.ndarray) -> pathlib.Path:
        """Writes a grid [H, W, 3] in [0, 1] as a PNG file and to TensorBoard; returns the path of the file."""
        path = self._folder / f"{name}-{step:06d}.png"
        images.write_image(path, grid)
        with summaries.writing(self._writer, step):
            tf.summary.image(name, grid[None])
        return path
