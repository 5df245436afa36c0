"""LiteRT files (TensorFlow Lite of old), for phones, browsers and everything small."""

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from magstyle import sizes
from magstyle.errors import InputError
from magstyle.export import litert_graph, litert_metadata
from magstyle.export.litert_precision import Editor
from magstyle.models.transformer import StyleTransformer

PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def convert(
    model: StyleTransformer,
    image_size: int | tuple[int, int] = 384,
    precision: str = "float32",
    style: np.ndarray | None = None,
    images: Sequence[np.ndarray] = (),
) -> bytes:
    """The network as the content of a LiteRT file.

    Its inputs are `input_image` [1, H, W, 3], RGB in [0, 1], and `style_weights` [num_styles], its output is
    `stylized_image` [1, H, W, 3], all float32. The names of the styles are in it; see `litert_metadata`.

    Args:
        model: the model.
        image_size: side of the images, or (height, width), rounded as `rounded` does; 0 for a height and width that
            the program chooses, by resizing the input to multiples of 4 from 8.
        precision: float32; float16 stores the weights with 16 bits; dynamic_int8 stores the kernels between the first
            three convolutions and the last, which are nearly all of the weights, with 8 bits and computes with 8; int8
            does so with ranges found beforehand, except in the first residual block, where that would cost most.
        style: weights [num_styles] to bake in; the file then has no input `style_weights`.
        images: photos [H, W, 3], with sides of multiples of 4 from 8, to find the ranges of int8 with.

    Raises:
        InputError: for an unknown precision, or int8 without images.
    """
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision {precision}; it is one of {', '.join(PRECISIONS)}")
    if precision == "int8" and not len(images):
        raise InputError("int8 needs representative images, to find the ranges of its numbers with")
    parameters = {
        scope: {name: np.asarray(value) for name, value in model.parameters(scope).items()} for scope in model.scopes
    }
    quantized = dict.fromkeys(model.scopes[3:-1]) if precision.endswith("int8") else {}
    if precision == "int8":
        quantized |= _calibrate(model, parameters, model.scopes[5:-1], _samples(model, images, style))
    editor = Editor(_convert(model, parameters, image_size, style, shifts=bool(quantized)))
    editor.quantize_kernels(quantized)
    if precision != "float32":
        editor.halve_kernels()
    names = model.style_names
    if style is not None:
        names = [name for name, weight in zip(names, style, strict=True) if weight]
    return litert_metadata.pack(editor.model, names)


def compare(
    content: bytes, model: StyleTransformer, images: Sequence[np.ndarray], style: np.ndarray | None = None
) -> tuple[float, float]:
    """How far the pictures of a LiteRT file are from those of its model.

    Args:
        content: of the file.
        model: what it was made from.
        images: photos [H, W, 3], of its size.
        style: the weights that it was made with, if there were any.

    Returns:
        The largest difference, and the peak signal-to-noise ratio in decibels.
    """
    interpreter = Interpreter(model_content=content)
    # Whatever size it has, or none.
    position = interpreter.get_signature_runner().get_input_details()["input_image"]["index"]
    largest, squares = 0.0, []
    for image, weights in _samples(model, images, style):
        interpreter.resize_tensor_input(position, [1, *image.shape])
        inputs = {"input_image": image[None], "style_weights": weights}
        if style is not None:
            del inputs["style_weights"]
        found = interpreter.get_signature_runner()(**inputs)["stylized_image"]
        difference = found - np.asarray(model.predict_on_batch([image[None], weights[None]]))
        largest = max(largest, float(np.abs(difference).max()))
        squares.append(np.mean(np.square(difference)))
    return largest, float(-10 * np.log10(max(np.mean(squares), 1e-20)))


def rounded(image_size: int) -> int:
    """The nearest greater side of an image that the network takes: a multiple of 4, at least 8; 0 for 0."""
    return image_size and sizes.padded(image_size)


def _convert(model, parameters, image_size, style, shifts) -> schema.ModelT:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    specs = [tf.TensorSpec([1, height or None, width or None, 3], tf.float32, "input_image")]
    if style is None:
        specs.append(tf.TensorSpec([model.num_styles], tf.float32, "style_weights"))

    @tf.function(input_signature=specs)
    def stylize(input_image, *style_weights):
        (weights,) = style_weights or [np.asarray(style, np.float32)]
        image = litert_graph.stylize(model.convolutions, parameters, input_image, weights, shifts=shifts)
        return {"stylized_image": image}

    module = tf.Module()
    module.stylize = stylize
    converter = tf.lite.TFLiteConverter.from_concrete_functions([stylize.get_concrete_function()], module)
    logging.disable(logging.INFO)  # Of a SavedModel that the converter makes on its way.
    try:
        return schema.ModelT.InitFromPackedBuf(converter.convert())
    finally:
        logging.disable(logging.NOTSET)


def _samples(
    model: StyleTransformer, images: Sequence[np.ndarray], style: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images with weights [num_styles] to paint them with, so that every image and every style has its turn."""
    styles = np.eye(model.num_styles, dtype=np.float32) if style is None else np.asarray(style, np.float32)[None]
    count = max(len(images), len(styles)) if len(images) else 0
    return [(np.asarray(images[k % len(images)], np.float32), styles[k % len(styles)]) for k in range(count)]


def _calibrate(model, parameters, scopes, samples) -> dict[str, tuple[float, float, float]]:
    """Finds the ranges of convolutions, for `Editor.quantize_kernels`.

    Scales their kernels so that all channels of a result have the same range; the normalisation after them, with
    `epsilon` scaled as well, takes that back.
    """
    inputs = {scope: [] for scope in scopes}
    results = {scope: [] for scope in scopes}

    def watch(scope, x, y):
        if scope in inputs:
            # Without the few outliers, which would cost the rest its resolution.
            inputs[scope].append(np.percentile(x, (0.01, 99.99)))
            results[scope].append(np.abs(y).max(axis=(0, 1, 2)))

    for image, weights in samples:
        litert_graph.stylize(
            model.convolutions, parameters, tf.constant(image[None]), tf.constant(weights), watch, shifts=True
        )
    ranges = {}
    for scope in scopes:
        largest = np.max(results[scope], axis=0).astype(np.float32)
        # XNNPACK refuses the scales that channels of next to nothing would get.
        scale = 1 / np.maximum(largest, max(1e-4 * largest.max(), 1e-6))
        parameters[scope]["kernel"] = parameters[scope]["kernel"] * scale
        parameters[scope]["epsilon"] = np.float32(litert_graph.EPSILON) * scale**2
        least, greatest = np.min(inputs[scope], axis=0)[0], np.max(inputs[scope], axis=0)[1]
        ranges[scope] = (min(float(least), 0.0), max(float(greatest), 0.0), 1.0)
    return ranges
