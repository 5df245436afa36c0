"""DeepDream from file to file, with any Keras model; one picture, or a journey into it."""

import contextlib
import difflib
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from magstyle import files, limits, models
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.optimization import deep_dream as dreaming
from magstyle.optimization import pixels, progress, transforms
from magstyle.video import animations

# Enough to see what is in it; each place of a picture is compared with all places of the guide.
_GUIDE_SIDE = 224


def deep_dream(
    input_image: str | os.PathLike,
    output_image: str | os.PathLike,
    *,
    model: str | os.PathLike = "InceptionV3",
    end_points: Sequence[str] = ("mixed3", "mixed5"),
    guide_image: str | os.PathLike | None = None,
    image_size: int | None = None,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    learning_rate: float = 0.02,
    tile_size: int = 512,
    frames: int = 1,
    zoom: float = 1.05,
    seed: int = 0,
) -> list[pathlib.Path]:
    """Makes an image show more of what a network sees in it.

    Progress is shown on stderr. If it is interrupted, the picture of that moment is written, or the frames so far.

    Args:
        input_image: the image.
        output_image: the picture to write, .png, .jpg or .webp; one that is there is replaced. Several frames become an
            animation in a .gif, .webp, .mp4 or .webm (the last two with the extra `video`), or numbered pictures beside
            that path.
        model: the network: one of `keras.applications` by name, such as "InceptionV3" (downloaded on first use), a
            .keras file that takes images in [0, 1], or a VGG as `magstyle.load_vgg` opens it.
        end_points: the layers to climb; "mixed3:13" is channel 13 of one.
        guide_image: an image whose features it is to climb towards.
        image_size: shorter side of the picture; as it is by default.
        octaves: sizes to dream at, from coarse to fine.
        octave_scale: of each size to the one before it.
        steps: per octave.
        learning_rate: how far a step goes, in units of [0, 1].
        tile_size: the largest side of what is computed at once, in pixels; memory grows with it and not with the image.
        frames: of a journey into the picture, each dreamed from the middle of the one before.
        zoom: from one frame to the next.
        seed: of the places where tiles are cut.

    Returns:
        The path of the picture or animation, or those of the frames.

    Raises:
        InputError: for files, layers or numbers that cannot be used, or tiles that do not fit into memory.

    Reference:
        Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks. Google Research Blog, 2015.
    """
    limits.check(
        {
            "image_size": image_size,
            "octaves": octaves,
            "octave_scale": octave_scale,
            "steps": steps,
            "learning_rate": learning_rate,
            "tile_size": tile_size,
            "frames": frames,
            "zoom": zoom,
            "seed": seed,
        }
    )
    output = pathlib.Path(output_image).expanduser()
    images.check_output(output, [input_image, *([guide_image] if guide_image else [])])
    suffix = output.suffix.lower()
    animated = suffix in animations.SUFFIXES and (frames > 1 or suffix != ".webp")
    if animated and frames == 1:
        raise InputError(f"{output} would be an animation, but frames=1 makes a single picture", "frames")
    if animated:
        animations.check_writable(output)

    image = images.read_image(os.path.expanduser(input_image), image_size)
    if not animated:
        images.check_writable(output, *image.shape[:2])
    smallest = transforms.octave_sizes(image.shape[:2], octaves, octave_scale)[0]
    network, channels = open_network(model, end_points)
    check_size(network, [min(side, tile_size) for side in smallest])
    guide = None if guide_image is None else images.read_image(os.path.expanduser(guide_image), _GUIDE_SIDE)
    evaluate = pixels.evaluation_of(dreaming.dream_objective(network, channels, guide))
    paths = [output] if animated else []

    def write(picture: np.ndarray, _: int | None = None) -> None:
        picture = transforms.resize(picture, image.shape[:2])
        if animated:
            add(images.to_uint8(picture))
            return
        path = output if frames == 1 else output.with_name(f"{output.stem}_{len(paths):05d}{output.suffix}")
        images.write_image(path, picture)
        paths.append(path)

    rng = np.random.default_rng(seed)
    animation = animations.writing(output, image.shape[:2]) if animated else contextlib.nullcontext()
    with animation as add, progress.watched(frames * octaves * steps, write) as report:
        for _ in range(frames):
            image = dreaming.dream(
                image,
                evaluate,
                octaves=octaves,
                octave_scale=octave_scale,
                steps=steps,
                learning_rate=learning_rate,
                tile_size=tile_size,
                rng=rng,
                report=report,
            )
            write(image)
            image = dreaming.zoomed(image, zoom)
    return paths


def open_network(model: str | os.PathLike, end_points: Sequence[str]) -> tuple[keras.Model, dict[str, int | None]]:
    """A network from pictures [1, H, W, 3] in [0, 1] to features, and the channel of each end point, or None for all.

    Raises:
        InputError: for no such model, layer or channel, or a model that does not take one image.
    """
    path = os.path.expanduser(os.fspath(model))
    preprocess = None
    if application := _application(path):
        build, preprocess = application
        try:
            network = build(include_top=False, weights="imagenet")
        except Exception as error:  # Keras reports a failed download as a bare Exception.
            raise InputError(f"cannot download the weights of {path} ({error}); a file works offline") from error
        layers = _layers(network)
    elif path.endswith(".keras") and os.path.exists(path):
        with files.reading(path, ".keras file"):
            files.check_archive(path)
            network = keras.saving.load_model(path, compile=False)
            layers = _layers(network)
    else:
        nearest = difflib.get_close_matches(path, filter(_application, vars(keras.applications)))
        if nearest and not os.path.exists(path):
            raise InputError(
                f"keras.applications has no network {path!r}; the nearest are {', '.join(nearest)}", "model"
            )
        network = load_vgg(path)
        layers = network.output
    numbers, names = zip(*(_channel(end_point) for end_point in end_points), strict=True)
    names = models.find_end_points(names, layers)
    for name, number in zip(names, numbers, strict=True):
        if number is not None and number >= layers[name].shape[-1]:
            raise InputError(f"{name} has the channels 0 to {layers[name].shape[-1] - 1}, not {number}", "end_points")
    return _of_any_size(network, {name: layers[name] for name in names}, preprocess), dict(
        zip(names, numbers, strict=True)
    )


def check_size(network: keras.Model, size: Sequence[int]) -> None:
    """Raises an InputError if an image of this height and width leaves no feature at some end point."""
    height, width = size
    shapes = {}
    with contextlib.suppress(ValueError):  # Of a convolution that is larger than what it sees.
        shapes = network.compute_output_shape((1, height, width, 3))
    if not shapes or not all(all(shape) and min(shape) > 0 for shape in shapes.values()):
        raise InputError(
            f"octaves begin with {width} x {height} pixels, too few for the model; lower octaves or raise image_size",
            "octaves",
            "image_size",
        )


def _application(name: str) -> tuple | None:
    """What builds a model of keras.applications, and what prepares images of 0 to 255 for it; None for other names."""
    build = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(build):
        return None
    # Each family is a module with its own; the public modules lack some models.
    return build, sys.modules[build.__module__].preprocess_input


def _layers(network: keras.Model) -> dict:
    """The outputs of all layers that are images of features, by the names of the layers.

    Raises:
        InputError: for a model that does not go from one image to such layers.
    """
    one_image = len(network.inputs or ()) == 1 and network.inputs[0].shape[1:][2:] == (3,)
    if not one_image:
        raise InputError("the model must take one input, images [B, H, W, 3]", "model")
    found = {}
    for layer in network.layers:
        with contextlib.suppress(AttributeError, ValueError):  # A layer that is used twice has no single output.
            if len(layer.output.shape) == 4 and not isinstance(layer, keras.layers.InputLayer):
                found[layer.name] = layer.output
    return found


def _of_any_size(network: keras.Model, outputs: Mapping, preprocess) -> keras.Model:
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


def _channel(end_point: str) -> tuple[int | None, str]:
    """The number of the channel, if there is one, and the name of the layer, of "mixed3:13" or "mixed3"."""
    match = re.fullmatch(r"(.+):(\d+)", end_point)
    return (int(match[2]), match[1]) if match else (None, end_point)
