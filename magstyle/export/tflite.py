"""LiteRT files (formerly TensorFlow Lite), for phones, browsers and small devices."""

import contextlib
import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from magstyle import files, limits, options, sizes
from magstyle.checkpoints import model_files, networks, paintings
from magstyle.checkpoints.networks import Network
from magstyle.data import images, photos
from magstyle.errors import InputError, check_choice
from magstyle.export import example_photo, predictor_file, tflite_metadata
from magstyle.export.jobs import PRECISIONS, LiteRTJob
from magstyle.export.tflite_precision import Editor
from magstyle.litert import graph, network, predictor
from magstyle.painting.stylizer import Stylizer

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

# The number of photos that compare a file with its model, and their side if the file takes any size.
_MOST_PHOTOS, _COMPARED_SIDE = 8, 256
# The least PSNR, in decibels, of a file's pictures to those of its model; below, they are different pictures.
_LEAST_PSNR = 20

Photo = str | os.PathLike | images.Pixels
# The least and the greatest input of a convolution, and its greatest absolute result.
Range = tuple[float, float, float]


class LiteRTFile(NamedTuple):
    """A file that `convert_tflite` wrote, and how much its pictures differ from those of the model.

    Attributes:
        path: the file.
        image_size: side of its images in pixels, or (height, width), multiples of 4; 0 for any.
        num_photos: the number of photos that compared it with the model.
        largest_difference: the largest difference of any number in any picture; they are in [0, 1].
        psnr: peak signal-to-noise ratio, in decibels.
    """

    path: pathlib.Path
    image_size: int | tuple[int, int]
    num_photos: int
    largest_difference: float
    psnr: float


@options.takes(LiteRTJob)
def convert_tflite(job: LiteRTJob) -> LiteRTFile:
    """Writes a model as a LiteRT file; `convert` describes its content.

    Before the file appears, it paints photos, and its pictures are compared with those of the model. A model for any
    painting becomes two files, unless a style is given: `anything.tflite` paints, and `anything_predictor.tflite` gives
    the `style_weights` of a `painting` [1, 256, 256, 3].

    Returns:
        The path of the file, and how much its pictures differ from those of the model.

    Raises:
        InputError: as for load_model; for a file that exists or cannot be written, an image_size that does not fit
            into memory, an unknown precision or style, photos that cannot be read, or a file that paints different
            pictures than the model.
    """
    output = files.inside(job.output_model, job.checkpoint, ".tflite")
    files.check_new(output, "output_model")
    image_size = _network_size(job.image_size)
    source = model_files.read_network(job.checkpoint, any_painting=True)
    stylizer = Stylizer(source)
    stylizer.check_size(*_sides(image_size or _COMPARED_SIDE))
    style = None if job.style is None else stylizer.style_weights(job.style)
    if source.predictor and style is not None:
        name = stylizer.label(job.style) if isinstance(job.style, str) else "painting"
        source, style = source.with_styles([source.mixture(name, style)]), np.ones(1, np.float32)
    model = networks.to_model(source)  # In Keras, whose pictures the file's are compared with.
    of_predictor = predictor_file(output) if source.predictor else None
    samples = _read_photos(
        example_photo() if job.representative_images is None else job.representative_images,
        _sides(image_size or _COMPARED_SIDE),
    )
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(files.replacing(output))
        if source.predictor and of_predictor:
            architecture, parameters = source.predictor.architecture, source.predictor.parameters
            content = predictor.build(architecture, parameters, paintings.SIDE, paintings.SIDE)
            stack.enter_context(files.replacing(of_predictor)).write_bytes(content)
        content = convert(model, image_size, job.precision, style, samples)
        difference, psnr = compare(content, model, samples, style)
        if not psnr >= _LEAST_PSNR:
            raise InputError(
                f"the LiteRT file paints different pictures than the model (largest difference {difference:.1e}, PSNR "
                f"{psnr:.1f} dB); try another precision",
                "precision",
            )
        temporary.write_bytes(content)
    return LiteRTFile(output, image_size, len(samples), difference, psnr)


def convert(
    model: "StyleTransformer | Network",
    image_size: int | tuple[int, int] = 384,
    precision: str = "float32",
    style: np.ndarray | None = None,
    images: Sequence[np.ndarray] = (),
) -> bytes:
    """The network as the content of a LiteRT file.

    Its inputs are `input_image` [1, H, W, 3], RGB in [0, 1], and `style_weights` [num_styles], its output is
    `stylized_image` [1, H, W, 3], all float32. The names of the styles are in it; see `tflite_metadata`.

    Args:
        model: the model.
        image_size: side of the images, or (height, width), multiples of 4 from 8; 0 for a height and width that the
            program chooses, by resizing the input to such numbers.
        precision: float32; float16 stores the weights with 16 bits; dynamic_int8 stores the kernels between the first
            three convolutions and the last, which are nearly all of the weights, with 8 bits and computes with 8; int8
            does so with ranges found beforehand, except in the first residual block, where that would cost most.
        style: weights [num_styles] to bake in; the file then has no input `style_weights`.
        images: photos [H, W, 3], with sides of multiples of 4 from 8, to find the ranges of int8 with.

    Raises:
        InputError: for an unknown precision, or int8 without images.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision == "int8" and not len(images):
        raise InputError("precision=int8 needs images, to find the ranges of its numbers with", "precision")
    source = model_files.read_network(model, any_painting=True)
    parameters = {scope: dict(tables) for scope, tables in source.parameters.items()}
    scopes = [row.scope for row in source.convolutions]
    quantized: dict[str, Range | None] = {}
    if precision.endswith("int8"):
        quantized |= dict.fromkeys(scopes[3:-1])
    if precision == "int8":
        quantized |= _calibrate(source, parameters, scopes[5:-1], _samples(source.num_styles, images, style))
    height, width = _sides(image_size)
    editor = Editor(network.draw(source.convolutions, parameters, height, width, style=style, shifts=bool(quantized)))
    editor.quantize_kernels(quantized)
    if precision != "float32":
        editor.halve_kernels()
    names = list(source.style_names)
    if style is not None:
        names = [name for name, weight in zip(names, style, strict=True) if weight]
    return tflite_metadata.pack(editor.model, names)


def compare(
    content: bytes, model: "StyleTransformer", images: Sequence[np.ndarray], style: np.ndarray | None = None
) -> tuple[float, float]:
    """How much the pictures of a LiteRT file differ from those of its model.

    Args:
        content: the content of the file.
        model: the model that it was made from.
        images: photos [H, W, 3], of its size.
        style: the weights that were baked in, if any.

    Returns:
        The largest difference, and the peak signal-to-noise ratio in decibels.
    """
    interpreter = Interpreter(model_content=content)
    largest, squares = 0.0, []
    for image, weights in _samples(model.num_styles, images, style):
        inputs = {"style_weights": weights} if style is None else {}
        found = _run(interpreter, image, **inputs)["stylized_image"]
        difference = found - np.asarray(model.predict_on_batch([image[None], weights[None]]))
        largest = max(largest, float(np.abs(difference).max()))
        squares.append(np.mean(np.square(difference)))
    return largest, float(-10 * np.log10(max(np.mean(squares), 1e-20)))


def _network_size(image_size: int | tuple[int, int]) -> int | tuple[int, int]:
    """The size that the network takes, in the same form; 0 stays 0."""
    sides = _sides(image_size)
    for side in sides:
        options.check_value("image_size", side, limits.NetworkSide)
    if len(sides) != 2 or (min(sides) == 0 and image_size != 0):
        raise InputError(
            f"image_size={image_size} must be a side in pixels, height and width, or 0 for any", "image_size"
        )
    if image_size == 0:
        return 0
    height, width = map(sizes.padded, sides)
    return height if isinstance(image_size, int) else (height, width)


def _sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def _read_photos(given: Photo | Sequence[Photo], size: tuple[int, int]) -> list[np.ndarray]:
    """Photos, each scaled until it covers this height and width, and cut to it around its middle."""
    listed: list[Photo] = [given] if isinstance(given, str | os.PathLike | Image.Image) else list(given)
    names = [photo for photo in listed if isinstance(photo, str | os.PathLike)]
    if len(names) == len(listed):
        listed = list(photos.find(names))
    return [_middle(photo, *size) for photo in listed[:_MOST_PHOTOS]]


def _middle(photo: Photo, height: int, width: int) -> np.ndarray:
    file: str | os.PathLike | io.BytesIO
    if isinstance(photo, str | os.PathLike):
        file = photo
    else:
        try:
            # So that it is scaled like a file.
            file = io.BytesIO(images.encode(photo, ".png"))
        except InputError as error:
            raise InputError(
                f"representative_images must be files or images: {error}", "representative_images"
            ) from None
    size = images.read_size(file)
    # The shorter side that makes both sides long enough: the quotients, rounded up.
    shorter = max(-(-wanted * min(size) // side) for wanted, side in zip((height, width), size, strict=True))
    covering = images.read_image(file, shorter)
    top, left = ((side - wanted) // 2 for side, wanted in zip(covering.shape, (height, width), strict=False))
    return covering[top : top + height, left : left + width]


def _run(interpreter: Interpreter, image: np.ndarray, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs for an image [H, W, 3], of a size that the file takes."""
    position = interpreter.get_signature_runner().get_input_details()["input_image"]["index"]
    interpreter.resize_tensor_input(position, [1, *image.shape])
    return interpreter.get_signature_runner()(input_image=image[None], **inputs)


def _samples(
    num_styles: int, images: Sequence[np.ndarray], style: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images, each with the weights [num_styles] to paint it in, so that every image and every style has its turn."""
    styles = np.eye(num_styles, dtype=np.float32) if style is None else np.asarray(style, np.float32)[None]
    count = max(len(images), len(styles)) if len(images) else 0
    return [(np.asarray(images[k % len(images)], np.float32), styles[k % len(styles)]) for k in range(count)]


def _calibrate(
    model: Network,
    parameters: dict[str, dict[str, np.ndarray]],
    scopes: Sequence[str],
    samples: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, Range]:
    """Finds the ranges of convolutions, for `Editor.quantize_kernels`.

    Also scales their kernels, in `parameters`, so that all channels of a result have the same range; the normalisation
    after them, whose `epsilon` is scaled as well, cancels that.
    """
    inputs: dict[str, list[np.ndarray]] = {scope: [] for scope in scopes}
    results: dict[str, list[np.ndarray]] = {scope: [] for scope in scopes}
    watching = network.draw(model.convolutions, parameters, height=0, width=0, shifts=True, watched=scopes)
    interpreter = Interpreter(model_content=graph.serialize(watching))
    for image, weights in samples:
        outputs = _run(interpreter, image, style_weights=weights)
        for scope in scopes:
            # The few outliers are left out: they would cost the other numbers their resolution.
            inputs[scope].append(np.percentile(outputs[f"{scope}/input"], (0.01, 99.99)))
            results[scope].append(np.abs(outputs[f"{scope}/result"]).max(axis=(0, 1, 2)))
    ranges = {}
    for scope in scopes:
        largest = np.max(results[scope], axis=0).astype(np.float32)
        # XNNPACK refuses the scales that nearly empty channels would get.
        scale = 1 / np.maximum(largest, max(1e-4 * largest.max(), 1e-6))
        parameters[scope]["kernel"] = parameters[scope]["kernel"] * scale
        parameters[scope]["epsilon"] = np.asarray(np.float32(network.EPSILON) * scale**2)
        least, greatest = np.min(inputs[scope], axis=0)[0], np.max(inputs[scope], axis=0)[1]
        ranges[scope] = (min(float(least), 0.0), max(float(greatest), 0.0), 1.0)
    return ranges
