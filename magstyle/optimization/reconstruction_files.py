"""What layers of VGG keep of an image, from file to file; one layer, or all of them on a sheet."""

import functools
import os
import pathlib

import keras
import numpy as np

from magstyle import limits, models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.errors import InputError, check_choice
from magstyle.optimization import neural_style, pixels, progress, reconstruction, transforms
from magstyle.painting import grids, memory

KINDS = ("content", "style")


def reconstruct(
    input_image: str | os.PathLike,
    output_image: str | os.PathLike,
    *,
    end_point: str | None = None,
    all_layers: bool = False,
    kind: str = "content",
    vgg_checkpoint: str | os.PathLike = "imagenet",
    pooling: str = "avg",
    total_variation_weight: float = 0.0,
    image_size: int | None = 256,
    steps: int = 200,
    optimizer: str = "lbfgs",
    learning_rate: float = 0.02,
    seed: int = 0,
) -> pathlib.Path:
    """Finds a picture, from noise, of which a layer of VGG has the same features as of an image.

    Progress is shown on stderr. If it is interrupted, the picture of that moment is written, or the sheet so far.

    Args:
        input_image: the image.
        output_image: the picture to write, .png, .jpg or .webp; one that is there is replaced.
        end_point: of VGG, such as "conv4_2"; any of them.
        all_layers: instead, the figure of Gatys et al.: conv1_1 to conv5_1, both kinds, on one sheet.
        kind: "content" for the features of that end point; "style" for the Gram matrices of it and of the first
            convolutions of all blocks before it, which makes a texture.
        vgg_checkpoint: the network, as `magstyle.load_vgg` opens it.
        pooling: "avg" or "max".
        total_variation_weight: of the differences of neighbouring pixels, which deep layers say nothing of.
        image_size: shorter side of the picture; None leaves the image as it is.
        steps: evaluations of the loss and its gradient, for each picture.
        optimizer: "lbfgs" or "adam".
        learning_rate: of Adam.
        seed: of the noise.

    Returns:
        The path of the picture.

    Raises:
        InputError: for files, end points or numbers that cannot be used, or a picture that does not fit into memory.

    References:
        Gatys, Ecker, Bethge: A Neural Algorithm of Artistic Style. arXiv 1508.06576 (figure 1).
        Mahendran, Vedaldi: Understanding Deep Image Representations by Inverting Them. arXiv 1412.0035.
    """
    limits.check(
        {
            "total_variation_weight": total_variation_weight,
            "image_size": image_size,
            "steps": steps,
            "learning_rate": learning_rate,
            "seed": seed,
        }
    )
    output = pathlib.Path(output_image).expanduser()
    images.check_output(output, [input_image])
    if all_layers == bool(end_point):
        raise InputError("give one of end_point and all_layers", "end_point", "all_layers")
    check_choice("kind", kind, KINDS)
    check_choice("pooling", pooling, ("avg", "max"))
    check_choice("optimizer", optimizer, ("lbfgs", "adam"))

    image = images.read_image(os.path.expanduser(input_image), image_size)
    transforms.octave_sizes(image.shape[:2], 1)
    images.check_writable(output, *image.shape[:2])
    vgg = load_vgg(vgg_checkpoint, pooling=pooling)
    wanted = models.find_end_points(neural_style.STYLE_END_POINTS if all_layers else [end_point], vgg.output)
    memory.check_optimization(keras.Model(vgg.input, [vgg.output[name] for name in wanted]), *image.shape[:2])
    plan = [(one, name) for one in (reversed(KINDS) if all_layers else [kind]) for name in wanted]
    made = []

    def write(picture: np.ndarray, _) -> None:
        if not all_layers:
            images.write_image(output, picture)
            return
        labels = [f"{kind}, {'up to ' * (kind == 'style')}{name.split('/')[-1]}" for kind, name in plan]
        cells = dict(zip(labels, [*made, picture], strict=False))
        rows = [list(cells.items())[i : i + len(wanted)] for i in range(0, len(cells), len(wanted))]
        images.write_image(output, grids.figure([[("image", image), *row] for row in rows]))

    with progress.watched(len(plan) * steps, write) as report:
        minimize = functools.partial(pixels.minimize, optimizer=optimizer, learning_rate=learning_rate, report=report)
        for one, name in plan:
            before = neural_style.STYLE_END_POINTS[: _blocks_before(name)] if one == "style" else ()
            end_points = models.find_end_points([*before, name], vgg.output)
            network = keras.Model(vgg.input, {name: vgg.output[name] for name in end_points})
            made.append(reconstruction.invert(image, network, minimize, steps, one, total_variation_weight, seed))
    write(made.pop(), None)
    return output


def _blocks_before(end_point: str) -> int:
    """How many blocks of VGG come before that of an end point."""
    return int(end_point.split("/")[1][-1]) - 1
