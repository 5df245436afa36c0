"""The style transformer once more, in the few operations that phones run fast.

The same numbers as `magstyle.models.transformer`, from the same parameters, for LiteRT's delegates: XNNPACK on CPUs
takes the whole graph, GPU and NNAPI could. Every tensor has four dimensions. What differs, and why:

- Reflection padding is made of slices and concatenations: LiteRT's MIRROR_PAD is no operation of XNNPACK's, and takes
  longer than the convolution after it.
- A 3 x 3 convolution of an image up-sampled by 2 sees 2 x 2 different pixels. So it is one 2 x 2 convolution of the
  small image to four times as many channels, laid out by DEPTH_TO_SPACE: 4/9 of the multiplications.
- The last convolution, 9 x 9 to 3 channels, leaves most lanes of a vector unit idle. Its nine columns of 9 x 1 are
  computed as 27 channels at once, and added up by a convolution of 1 x 9 with zeros and ones.
- Where a convolution has few channels, and the size of the image is known, it computes two neighbouring pixels at a
  time, as channels of one; the last normalisation takes sixteen.
- A normalisation takes away what all pixels of a channel have in common, and with these borders a convolution makes of
  that something that all pixels have in common. So max(x scale, shift) is as good before a convolution as
  relu(x scale - shift), and takes two passes over the image instead of three.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

EPSILON = 1e-5
# Output channels that XNNPACK computes at once, with AVX2.
_LANES = 16


def stylize(
    parameters: dict[str, dict[str, np.ndarray]],
    image: tf.Tensor,
    style_weights: tf.Tensor,
    watch: Callable[[str, tf.Tensor, tf.Tensor], None] = lambda scope, x, y: None,
    shifts: bool = False,
) -> tf.Tensor:
    """Paints an image.

    Args:
        parameters: of every scope, in the order of `StyleTransformer.scopes`, as its `parameters` returns them; and
            `epsilon`, if it is another than 1e-5, a number or [C_out].
        image: [1, H, W, 3], RGB in [0, 1]; H and W multiples of 4, from 8.
        style_weights: [num_styles].
        watch: called with every scope, and the input and the result of its convolution.
        shifts: subtracts the shift of every normalisation: the picture is the same, but numbers on the way have smaller
            ranges, which those of eight bits need.

    Returns:
        [1, H, W, 3], in [0, 1].
    """
    style_weights = tf.reshape(style_weights, [1, 1, 1, -1])

    def convolution(scope, x, convolve, kernel, *args):
        with tf.name_scope(scope):
            y = convolve(x, kernel, *args)
        watch(scope, x, y)
        return y

    def contract(scope, x, stride=1):
        kernel = parameters[scope]["kernel"]
        x = _reflect(x, kernel.shape[0] // 2)
        return convolution(scope, x, *((_convolve, kernel, stride) if stride > 1 else (_convolve_in_pairs, kernel)))

    def expand(scope, x):
        return convolution(scope, x, _expand, parameters[scope]["kernel"])

    def scale_and_shift(scope, mean, variance, pixels=1):
        """Of an instance normalisation x scale - shift, each [1, 1, 1, pixels C]."""
        gamma, beta = (
            _convolve(style_weights, np.tile(parameters[scope][name], pixels)[None, None]) for name in ("gamma", "beta")
        )
        scale = gamma * tf.math.rsqrt(variance + parameters[scope].get("epsilon", EPSILON))
        return scale, mean * scale - beta

    def normalize(scope, x, inner=None):
        """The product and the shift of instance normalisation, by the moments of `inner`, which the rest repeats."""
        inner = x if inner is None else inner
        mean = _mean(inner)
        scale, shift = scale_and_shift(scope, mean, _mean(tf.math.squared_difference(inner, mean)))
        return x * scale, shift

    def rectify(scope, x, inner=None, subtract_shift=shifts):
        x, shift = normalize(scope, x, inner)
        x = tf.maximum(x, shift)
        return x - shift if subtract_shift else x

    x = rectify("contract/conv1", contract("contract/conv1", image))
    x = rectify("contract/conv2", contract("contract/conv2", x, stride=2))
    # From here to the last block the shifts are subtracted from what is added up: it would lose digits otherwise.
    x = rectify("contract/conv3", contract("contract/conv3", x, stride=2), subtract_shift=True)
    residuals = [scope for scope in parameters if scope.startswith("residual/")]
    for first, second in zip(residuals[::2], residuals[1::2], strict=True):
        residual = rectify(first, contract(first, x))
        residual, shift = normalize(second, contract(second, residual))
        x = x + (residual - shift)
    x = expand("expand/conv1/conv", _repeat_border(x))
    x = rectify("expand/conv1/conv", x, inner=_crop(x))
    x = _crop(expand("expand/conv2/conv", x))
    x = rectify("expand/conv2/conv", x)
    columns, sum_of_columns = _by_columns(parameters["expand/conv3/conv"]["kernel"])
    x = convolution("expand/conv3/conv", _reflect(x, 4), _convolve, columns)
    x = _convolve_in_pairs(x, sum_of_columns)
    shape, pixels = x.shape, 1
    if None not in shape:
        pixels = _LANES
        x = tf.reshape(x, [1, 1, -1, 3 * pixels])
    average = np.tile(np.eye(3, dtype=np.float32) / pixels, (pixels, pixels))[None, None]
    mean = _convolve(_mean(x), average)
    variance = _convolve(_mean(tf.math.squared_difference(x, mean)), average)
    scale, shift = scale_and_shift("expand/conv3/conv", mean, variance, pixels)
    x = tf.nn.sigmoid(x * scale - shift)
    return tf.reshape(x, shape) if pixels > 1 else x


def _mean(x: tf.Tensor) -> tf.Tensor:
    # One direction after the other: XNNPACK is a third faster then.
    return tf.reduce_mean(tf.reduce_mean(x, 2, keepdims=True), 1, keepdims=True)


def _convolve(x: tf.Tensor, kernel: np.ndarray, stride: int = 1) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, stride, "VALID")


def _convolve_in_pairs(x: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    rows, columns, channels_in, channels_out = kernel.shape
    _, height, width, _ = x.shape
    if channels_out >= _LANES or height is None or width is None:
        return _convolve(x, kernel)
    pairs = np.zeros((rows, columns + 1, channels_in, 2, channels_out), np.float32)
    pairs[:, :-1, :, 0] = pairs[:, 1:, :, 1] = kernel
    x = tf.nn.conv2d(x, pairs.reshape(rows, columns + 1, channels_in, -1), [1, 2], "VALID")
    return tf.reshape(x, [1, height - rows + 1, width - columns + 1, channels_out])


def _reflect(x: tf.Tensor, padding: int) -> tf.Tensor:
    """Mirrors an image at its borders, without repeating the border itself."""
    # One after the other: XNNPACK concatenates at most five tensors.
    top = tf.concat([x[:, k : k + 1] for k in range(padding, 0, -1)], axis=1)
    bottom = tf.concat([x[:, -k - 1 : -k] for k in range(1, padding + 1)], axis=1)
    x = tf.concat([top, x, bottom], axis=1)
    left = tf.concat([x[:, :, k : k + 1] for k in range(padding, 0, -1)], axis=2)
    right = tf.concat([x[:, :, -k - 1 : -k] for k in range(1, padding + 1)], axis=2)
    return tf.concat([left, x, right], axis=2)


def _repeat_border(x: tf.Tensor) -> tf.Tensor:
    """[1, H, W, C] to [1, H + 2, W + 2, C]."""
    x = tf.concat([x[:, :1], x, x[:, -1:]], axis=1)
    return tf.concat([x[:, :, :1], x, x[:, :, -1:]], axis=2)


def _crop(x: tf.Tensor) -> tf.Tensor:
    return x[:, 1:-1, 1:-1]


def _expand(x: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    """Up-samples an image by 2, reflects its border and convolves it with a 3 x 3 kernel.

    Args:
        x: [1, H + 2, W + 2, C_in], an image with its border repeated.
        kernel: [3, 3, C_in, C_out].

    Returns:
        [1, 2 H + 2, 2 W + 2, C_out]: the convolution, with its border repeated once too.
    """
    # Two rows i, i + 1 of the small image give the rows 2 i + 1 and 2 i + 2 of the large one. The former sees
    # up-sampled copies of i, i, i + 1, the latter of i, i + 1, i + 1: [output row, input row, kernel row].
    taps = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)
    kernel = np.einsum("pik,qjl,klco->ijcpqo", taps, taps, kernel)
    return tf.nn.depth_to_space(_convolve(x, kernel.reshape(*kernel.shape[:3], -1)), 2)


def _by_columns(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel [k, k, C_in, C_out] as one of [k, 1, C_in, k C_out], then one of [1, k, k C_out, C_out]."""
    size, _, channels_in, channels_out = kernel.shape
    columns = kernel.transpose(0, 2, 1, 3).reshape(size, 1, channels_in, size * channels_out)
    return columns, np.eye(size * channels_out, dtype=np.float32).reshape(1, size, channels_out, -1).transpose(
        0, 1, 3, 2
    )
