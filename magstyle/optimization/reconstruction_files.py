"""Shows what layers of VGG keep of an image, from file to file; one layer, or several on a sheet."""

import functools
import os
import pathlib

import keras
import numpy as np

from magstyle import models, options
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.optimization import pixels, progress, reconstruction, transforms
from magstyle.optimization.jobs import STYLE_END_POINTS, ReconstructionJob
from magstyle.painting import grids, memory


@options.takes(ReconstructionJob)
def reconstruct(job: ReconstructionJob) -> pathlib.Path:
    """Finds a picture, starting from noise, for which a layer of VGG has the same features as for an image.

    Shows progress on stderr. If interrupted, writes the picture of that moment, or the sheet so far.

    Returns:
        The path of the picture.

    Raises:
        InputError: for files, end points or numbers that cannot be used, or a picture that does not fit into memory.

    References:
        Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576 (figure 1).
        Mahendran, Vedaldi: Understanding Deep Image Representations by Inverting Them. arXiv 1412.0035.
    """
    output = pathlib.Path(job.output_image).expanduser()
    images.check_output(output, [job.input_image])
    if job.all_layers == bool(job.end_point):
        raise InputError("give one of end_point and all_layers", "end_point", "all_layers")
    end_points, kinds = ([job.end_point], [job.kind]) if job.end_point else (STYLE_END_POINTS, ["style", "content"])

    image = images.read_image(os.path.expanduser(job.input_image), job.image_size)
    transforms.octave_sizes(image.shape[:2], 1)
    images.check_writable(output, *image.shape[:2])
    vgg = load_vgg(job.vgg_checkpoint, pooling=job.pooling)
    wanted = models.find_end_points(end_points, vgg.output)
    memory.check_optimization(_part(vgg, wanted), *image.shape[:2])
    plan = [(kind, name) for kind in kinds for name in wanted]
    made: list[np.ndarray] = []

    def write(picture: np.ndarray, _: int | None) -> None:
        if not job.all_layers:
            images.write_image(output, picture)
            return
        labels = [f"{kind}, {'up to ' * (kind == 'style')}{name.split('/')[-1]}" for kind, name in plan]
        cells = list(zip(labels, [*made, picture], strict=False))
        rows = [cells[i : i + len(wanted)] for i in range(0, len(cells), len(wanted))]
        images.write_image(output, grids.figure([[("image", image), *row] for row in rows]))

    with progress.watched(len(plan) * job.steps, write) as report:
        minimize = functools.partial(
            pixels.minimize, optimizer=job.optimizer, learning_rate=job.learning_rate, report=report
        )
        for kind, name in plan:
            before = STYLE_END_POINTS[: _blocks_before(name)] if kind == "style" else ()
            network = _part(vgg, models.find_end_points([*before, name], vgg.output))
            found = reconstruction.invert(
                image, network, minimize, job.steps, kind, job.total_variation_weight, job.seed
            )
            made.append(found)
    write(made.pop(), None)
    return output


def _part(vgg: keras.Model, end_points: list[str]) -> keras.Model:
    """The network up to some end points."""
    return keras.Model(vgg.input, {name: vgg.output[name] for name in end_points})


def _blocks_before(end_point: str) -> int:
    """The number of VGG's blocks before the one of an end point."""
    return int(end_point.split("/")[1][-1]) - 1
