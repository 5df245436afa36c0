"""Reconstructs an image from its VGG features, from file to file: those of one layer, or of several on a sheet."""

import pathlib
from collections.abc import Sequence

import numpy as np

from magstyle import models, options
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.optimization import job_files, reconstruction, transforms
from magstyle.optimization.jobs import STYLE_END_POINTS, Kind, ReconstructionJob
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
    if job.all_layers == bool(job.end_point):
        raise InputError("give one of end_point and all_layers", "end_point", "all_layers")
    output = job_files.output_of(job.output_image, [job.input_image])
    image = job_files.read_image(job.input_image, job.image_size, output)
    size = image.shape[:2]
    transforms.octave_sizes(size, 1)
    vgg = load_vgg(job.vgg_checkpoint, pooling=job.pooling)
    end_points = models.find_end_points([job.end_point] if job.end_point else STYLE_END_POINTS, vgg.output)
    memory.check_optimization(job_files.part(vgg, end_points), *size)
    kinds: tuple[Kind, ...] = ("style", "content") if job.all_layers else (job.kind,)
    plan = [(kind, name) for kind in kinds for name in end_points]
    made: list[np.ndarray] = []

    def write(picture: np.ndarray, _: int | None) -> None:
        images.write_image(output, _sheet(image, plan, [*made, picture]) if job.all_layers else picture)

    with job_files.minimizing(job, len(plan) * job.steps, write) as minimize:
        for kind, name in plan:
            before = STYLE_END_POINTS[: _blocks_before(name)] if kind == "style" else ()
            network = job_files.part(vgg, [*before, name])
            made.append(reconstruction.invert(image, kind, network, job, minimize))
    write(made.pop(), None)
    return output


def _sheet(image: np.ndarray, plan: Sequence[tuple[Kind, str]], pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The pictures so far, in a row for each kind, each row beginning with the image."""
    rows: dict[Kind, list[tuple[str, np.ndarray]]] = {}
    for (kind, name), picture in zip(plan, pictures, strict=False):
        label = f"{kind}, {'up to ' * (kind == 'style')}{name.split('/')[-1]}"
        rows.setdefault(kind, [("image", image)]).append((label, picture))
    return grids.figure(list(rows.values()))


def _blocks_before(end_point: str) -> int:
    """The number of VGG's blocks before the one of an end point."""
    return int(end_point.split("/")[1][-1]) - 1
