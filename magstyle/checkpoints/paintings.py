"""Styles from paintings at once: a style predictor tells the parameters of a painting's style, without any training."""

import functools
import os
import pathlib
import threading
from typing import TYPE_CHECKING

import numpy as np

from magstyle import files, options
from magstyle.checkpoints import model_files, networks
from magstyle.checkpoints.jobs import AddStylesJob
from magstyle.checkpoints.networks import Checkpoint, Network, Predictor
from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.names import counted, printable

if TYPE_CHECKING:
    from magstyle.litert.runtime import Runner

# The bundled model that paints in the style of any painting.
ANYTHING = "anything"
# The shorter side of a painting as the predictor sees it, in pixels, and the longest other side.
SIDE, LONGEST = 256, 1024
# The shorter side of the smallest painting that shows its style, in pixels.
SMALLEST = 32
_lock = threading.Lock()


def predict(network: Network, painting: images.Pixels) -> np.ndarray:
    """The weights of a network's styles with which it paints like a painting.

    Args:
        network: with a predictor.
        painting: RGB [H, W, 3], as `magstyle.data.images.as_image` takes it. It is seen with a shorter side of 256
            pixels.

    Returns:
        float32 [num_styles].

    Raises:
        InputError: for a network without a predictor, or a painting that shows no style: of one colour, or with a side
            of less than 32 pixels.
    """
    predictor = _predictor(network)
    pixels = images.as_image(painting)
    side = min(pixels.shape[:2])
    if side < SMALLEST:
        raise InputError(f"its shorter side has {counted(side, 'pixel')}, where at least {SMALLEST} are needed")
    if np.ptp(pixels.reshape(-1, 3), axis=0).max() == 0:
        raise InputError("it has only one colour")
    with _lock:  # A graph computes one image at a time.
        return _runner(predictor).run({"painting": seen(pixels)[None]})["style_weights"]


def _predictor(network: Network) -> Predictor:
    """The predictor of a network; an InputError if it has none."""
    if network.predictor is None:
        raise InputError(
            f"the model knows only its own styles; {ANYTHING} paints in the style of any painting", "checkpoint"
        )
    return network.predictor


@functools.lru_cache(1)  # A program has one.
def _runner(predictor: Predictor) -> "Runner":
    from magstyle.litert import predictor as graph
    from magstyle.litert import runtime  # Here, as most programs do without paintings.

    content = graph.build(predictor.architecture, predictor.parameters, height=0, width=0)
    return runtime.Runner(content, runtime.cores(), keep_addresses=False)


def seen(painting: np.ndarray) -> np.ndarray:
    """A painting as the predictor sees it."""
    from PIL import Image

    height, width = images.scaled_size(painting.shape[:2], SIDE)
    resized = Image.fromarray(images.to_uint8(painting)).resize((width, height), Image.Resampling.LANCZOS)
    pixels = images.to_float(resized)
    top, left = (max(0, side - LONGEST) // 2 for side in (height, width))
    return np.ascontiguousarray(pixels[top : top + LONGEST, left : left + LONGEST])


def network_of(
    style_image: photos.Patterns, checkpoint: Checkpoint = ANYTHING, argument: str = "style_image"
) -> Network:
    """A network that knows the styles of paintings, each under the name of its file.

    Args:
        style_image: the paintings: image files, globs, and folders with everything below them.
        checkpoint: a model with a predictor.
        argument: the name of the caller's argument with the paintings, for errors.

    Raises:
        InputError: for a model without a predictor, no painting, one that cannot be read or shows no style, or two of
            one name.
    """
    network = model_files.read_network(checkpoint, any_painting=True)
    _predictor(network)
    paths = photos.find(style_image)
    names: dict[str, str] = {}
    for path in paths:
        other = names.setdefault(name_of(path), path)
        if other != path:
            raise InputError(f"{other} and {path} would both be the style {name_of(path)}; rename one", argument)
    return network.with_styles([network.mixture(name_of(path), style_weights(network, path)) for path in paths])


@options.takes(AddStylesJob)
def add_styles(job: AddStylesJob) -> pathlib.Path:
    """Makes a model of paintings, each of which is a style by the name of its file; nothing is trained.

    The model is an ordinary one: every function and program takes it, and `magstyle.finetune` makes it better.

    Returns:
        The path of the model.

    Raises:
        InputError: for a model without a predictor, no painting, one that cannot be read or shows no style, two of one
            name, or an output_model that exists already, cannot be written or is no .keras file.
    """
    path = files.expanded(job.output_model)
    if path.suffix != ".keras":
        raise InputError(f"output_model={path} must end in .keras", "output_model")
    files.check_new(path, "output_model")
    model_files.save_model(networks.to_model(network_of(job.style_files, job.checkpoint, "style_files")), path)
    return path


def name_of(path: str | os.PathLike) -> str:
    """The name of the style of a painting's file."""
    return printable(pathlib.Path(path).stem)


def style_weights(network: Network, path: str | os.PathLike) -> np.ndarray:
    """The weights [num_styles] for a painting's file; as for `predict`."""
    painting = _read(path)
    try:
        return predict(network, painting)
    except InputError as error:
        raise InputError(f"{path} shows no style: {error}", "style_image") from error


def _read(path: str | os.PathLike) -> np.ndarray:
    """A painting; if it is too large to be read whole, in the size in which it is seen."""
    try:
        return images.read_image(path)
    except InputError as error:
        if "image_size" not in error.arguments:
            raise
        return images.read_image(path, SIDE)
