"""DeepDream from file to file, with any Keras model: one picture, or a journey into it."""

import contextlib
import difflib
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np

from magstyle import files, models, options
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.optimization import deep_dream as dreaming
from magstyle.optimization import job_files, pixels, progress, transforms
from magstyle.optimization.jobs import DeepDreamJob
from magstyle.optimization.pixels import Tensor
from magstyle.video import animations

# Large enough to show what is in it; no larger, as each place of a picture is compared with all places of the guide.
_GUIDE_SIDE = 224
# A function that builds a model of keras.applications, and one that prepares images [B, H, W, 3] in [0, 255] for it.
_Application = tuple[Callable[..., keras.Model], Callable[[Tensor], Tensor]]


@options.takes(DeepDreamJob)
def deep_dream(job: DeepDreamJob) -> list[pathlib.Path]:
    """Makes an image show more of what a network sees in it.

    Shows progress on stderr. If interrupted, writes the picture of that moment, or the frames so far.

    Returns:
        The path of the picture or animation, or the paths of the frames.

    Raises:
        InputError: for files, layers or numbers that cannot be used, or tiles that do not fit into memory.

    Reference:
        Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015.
    """
    output = job_files.output_of(job.output_image, [job.input_image, *([job.guide_image] if job.guide_image else [])])
    animated = _is_animation(output, job.frames)
    image = images.read_image(files.expanded(job.input_image), job.image_size)
    size = image.shape[:2]
    if not animated:
        images.check_writable(output, *size)
    evaluate = _evaluation(job, size)

    rng, steps = np.random.default_rng(job.seed), job.frames * job.octaves * job.steps
    with _writing(output, size, job.frames, animated) as (write, paths), progress.watched(steps, write) as report:
        for _ in range(job.frames):
            image = dreaming.dream(image, evaluate, job, rng, report)
            write(image, None)
            image = dreaming.zoomed(image, job.zoom)
    return paths


def open_network(model: str | os.PathLike, end_points: Sequence[str]) -> tuple[keras.Model, dict[str, int | None]]:
    """Opens a network from pictures [1, H, W, 3] in [0, 1] to features by end point.

    Returns:
        The network, and the channel of each end point, None for all channels.

    Raises:
        InputError: if there is no such model, layer or channel, or the model does not take one image.
    """
    path = os.path.expanduser(os.fspath(model))
    preprocess = None
    if application := _application(path):
        build, preprocess = application
        network = _downloaded(path, build)
        layers = _layers(network)
    elif path.endswith(".keras") and os.path.exists(path):
        network = _read_keras(path)
        layers = _layers(network)
    else:
        _refuse_misspelt(path)
        network = load_vgg(path)
        layers = network.output
    channels = _channels(end_points, layers)
    return _of_any_size(network, {name: layers[name] for name in channels}, preprocess), channels


def check_size(network: keras.Model, size: Sequence[int]) -> None:
    """Raises an InputError if an image of this height and width leaves no feature at some end point."""
    height, width = size
    shapes = {}
    with contextlib.suppress(ValueError):  # A convolution may be larger than its input.
        shapes = network.compute_output_shape((1, height, width, 3))
    if not shapes or not all(all(shape) and min(shape) > 0 for shape in shapes.values()):
        raise InputError(
            f"octaves begin with {width} x {height} pixels, too few for the model; lower octaves or raise image_size",
            "octaves",
            "image_size",
        )


def _is_animation(output: pathlib.Path, frames: int) -> bool:
    """Whether this number of frames becomes an animation at `output`; raises an InputError if it cannot."""
    suffix = output.suffix.lower()
    if suffix not in animations.SUFFIXES or (frames == 1 and suffix == ".webp"):
        return False
    if frames == 1:
        raise InputError(f"{output} would be an animation, but frames=1 makes a single picture", "frames")
    animations.check_writable(output)
    return True


def _evaluation(job: DeepDreamJob, size: tuple[int, int]) -> pixels.Evaluation:
    """The objective of a job for an image of this height and width, compiled."""
    smallest = transforms.octave_sizes(size, job.octaves, job.octave_scale)[0]
    network, channels = open_network(job.model, job.end_points)
    check_size(network, [min(side, job.tile_size) for side in smallest])
    guide = None if job.guide_image is None else images.read_image(files.expanded(job.guide_image), _GUIDE_SIDE)
    return pixels.evaluation_of(dreaming.dream_objective(network, channels, guide))


@contextlib.contextmanager
def _writing(
    output: pathlib.Path, size: tuple[int, int], frames: int, animated: bool
) -> Iterator[tuple[Callable[[np.ndarray, int | None], object], list[pathlib.Path]]]:
    """Gives a function that writes a picture in this size, and the list of the paths that it has written to."""
    if animated:
        with animations.writing(output, size) as add:
            yield lambda picture, _: add(images.to_uint8(transforms.resize(picture, size))), [output]
        return
    paths: list[pathlib.Path] = []

    def write(picture: np.ndarray, _: int | None) -> None:
        path = output if frames == 1 else output.with_name(f"{output.stem}_{len(paths):05d}{output.suffix}")
        images.write_image(path, transforms.resize(picture, size))
        paths.append(path)

    yield write, paths


def _application(name: str) -> _Application | None:
    """The model of keras.applications of that name, if there is one."""
    build = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(build):
        return None
    # Each family of models is a module with its own preprocessing; the public modules lack some models.
    return build, sys.modules[build.__module__].preprocess_input


def _downloaded(name: str, build: Callable[..., keras.Model]) -> keras.Model:
    """The model of keras.applications that `build` builds, with the weights of ImageNet."""
    try:
        return build(include_top=False, weights="imagenet")
    except Exception as error:  # Keras reports a failed download as a bare Exception.
        raise InputError(f"cannot download the weights of {name} ({error}); a file works offline") from error


def _read_keras(path: str) -> keras.Model:
    with files.reading(path, ".keras file"):
        files.check_archive(path)
        return keras.saving.load_model(path, compile=False)


def _refuse_misspelt(path: str) -> None:
    """Raises an InputError if there is no such file, but keras.applications has models of similar names."""
    nearest = difflib.get_close_matches(path, filter(_application, vars(keras.applications)))
    if nearest and not os.path.exists(path):
        raise InputError(f"keras.applications has no network {path!r}; the nearest are {', '.join(nearest)}", "model")


def _channels(end_points: Sequence[str], layers: Mapping[str, Tensor]) -> dict[str, int | None]:
    """The channel of each end point by the full name of its layer, None for all channels."""
    wanted = [_layer_and_channel(end_point) for end_point in end_points]
    names = models.find_end_points([name for name, _ in wanted], layers)
    channels = {name: channel for name, (_, channel) in zip(names, wanted, strict=True)}
    for name, channel in channels.items():
        if channel is not None and channel >= layers[name].shape[-1]:
            raise InputError(f"{name} has the channels 0 to {layers[name].shape[-1] - 1}, not {channel}", "end_points")
    return channels


def _layers(network: keras.Model) -> dict[str, Tensor]:
    """The outputs of all layers that are images of features, by the names of the layers.

    Raises:
        InputError: for a model whose input is not one image.
    """
    inputs = getattr(network, "inputs", None) or []  # A .keras file may hold a model that is not a graph of layers.
    if not (len(inputs) == 1 and inputs[0].shape[1:][2:] == (3,)):
        raise InputError("the model must take one input, images [B, H, W, 3]", "model")
    found = {}
    for layer in network.layers:
        with contextlib.suppress(AttributeError, ValueError):  # A layer that is used twice has no single output.
            if len(layer.output.shape) == 4 and not isinstance(layer, keras.layers.InputLayer):
                found[layer.name] = layer.output
    return found


def _of_any_size(
    network: keras.Model, outputs: Mapping[str, Tensor], preprocess: Callable[[Tensor], Tensor] | None
) -> keras.Model:
    """The part of a network up to some outputs, for images in [0, 1] of any height and width."""
    part = keras.Model(network.inputs[0], dict(outputs))
    if part.input_shape[1:3] != (None, None):
        fixed = part
        try:
            part = keras.models.clone_model(fixed, input_tensors=keras.Input((None, None, 3)))
            part.set_weights(fixed.get_weights())
        except ValueError as error:
            raise InputError(f"the model cannot take images of any size: {error}", "model") from error
    image = keras.Input((None, None, 3))
    return keras.Model(image, part(preprocess(image * 255.0) if preprocess else image))


def _layer_and_channel(end_point: str) -> tuple[str, int | None]:
    """Parses an end point, "mixed3:13" or "mixed3": the name of the layer, and the number of the channel, if any."""
    match = re.fullmatch(r"(.+):(\d+)", end_point)
    return (match[1], int(match[2])) if match else (end_point, None)
