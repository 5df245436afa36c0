"""LiteRT files (TensorFlow Lite of old), for phones, browsers and everything small."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer

PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
_EPSILON = 1e-5


def convert(
    model: StyleTransformer,
    image_size: int | tuple[int, int] = 384,
    precision: str = "float32",
    style: np.ndarray | None = None,
    images: Iterable[np.ndarray] = (),
) -> bytes:
    """The network as the content of a LiteRT file.

    Its inputs are `input_image` [1, H, W, 3], RGB in [0, 1], and `style_weights` [num_styles], its output is
    `stylized_image` [1, H, W, 3], all float32.

    Args:
        model: the model.
        image_size: side of the images, or (height, width), of multiples of 4; 0 for a height and width that the
            program chooses, by resizing the input.
        precision: of the weights, and with int8 of the images between the layers too.
        style: weights [num_styles] to bake in; the file then has no input `style_weights`.
        images: photos [H, W, 3] of that size, to calibrate int8 with.

    Raises:
        InputError: for an unknown precision, or int8 without images.
    """
    if precision not in PRECISIONS:
        raise InputError(f"there is no precision {precision}; it is one of {', '.join(PRECISIONS)}")
    images = [np.asarray(image, np.float32)[None] for image in images]
    if precision == "int8" and not images:
        raise InputError("int8 needs representative images")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    specs = [tf.TensorSpec([1, height or None, width or None, 3], tf.float32, "input_image")]
    if style is None:
        specs.append(tf.TensorSpec([model.num_styles], tf.float32, "style_weights"))
    parameters = {
        scope: {name: np.asarray(value) for name, value in model.parameters(scope).items()} for scope in model.scopes
    }

    @tf.function(input_signature=specs)
    def stylize(input_image, *style_weights):
        (weights,) = style_weights or [np.asarray(style, np.float32)]
        return {"stylized_image": _stylize(parameters, input_image, weights[None])}

    module = tf.Module()
    module.stylize = stylize
    converter = tf.lite.TFLiteConverter.from_concrete_functions([stylize.get_concrete_function()], module)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        weights = np.eye(model.num_styles, dtype=np.float32)

        def examples():
            for k, image in enumerate(images):
                mixture = {"style_weights": weights[k % len(weights)]} if style is None else {}
                yield {"input_image": image, **mixture}

        converter.representative_dataset = examples
    return converter.convert()


def _stylize(parameters, image, style_weights):
    def convolve(scope, x, stride=1, upsample=False):
        kernel = parameters[scope]["kernel"]
        if upsample:
            x = tf.nn.depth_to_space(tf.concat([x] * 4, axis=3), 2)
        padding = kernel.shape[0] // 2
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]], "REFLECT")
        x = tf.nn.conv2d(x, kernel, stride, "VALID")
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), [1, 2], keepdims=True)
        gamma, beta = (style_weights @ parameters[scope][name] for name in ("gamma", "beta"))
        scale = gamma[:, None, None] * tf.math.rsqrt(variance + _EPSILON)
        return x * scale + (beta[:, None, None] - mean * scale)

    x = tf.nn.relu(convolve("contract/conv1", image))
    x = tf.nn.relu(convolve("contract/conv2", x, stride=2))
    x = tf.nn.relu(convolve("contract/conv3", x, stride=2))
    residuals = [scope for scope in parameters if scope.startswith("residual/")]
    for first, second in zip(residuals[::2], residuals[1::2], strict=True):
        x = x + convolve(second, tf.nn.relu(convolve(first, x)))
    x = tf.nn.relu(convolve("expand/conv1/conv", x, upsample=True))
    x = tf.nn.relu(convolve("expand/conv2/conv", x, upsample=True))
    return tf.nn.sigmoid(convolve("expand/conv3/conv", x))
