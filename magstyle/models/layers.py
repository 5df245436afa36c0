"""The layers of the style transformer that Keras lacks."""

from typing import Any

import keras
import numpy as np

from magstyle.models.architecture import MOMENTS_EPSILON


@keras.saving.register_keras_serializable(package="magstyle")
class ReflectionPadding2D(keras.layers.Layer):
    """Mirrors an image at its borders, without repeating the border itself.

    Args:
        padding: rows and columns added on each side; less than the height and the width of the input.

    Call arguments:
        inputs: [B, H, W, C].

    Returns:
        [B, H + 2 padding, W + 2 padding, C].
    """

    def __init__(self, padding: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs):
        return _pad(inputs, self.padding, "reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, _times(height, 1, 2 * self.padding), _times(width, 1, 2 * self.padding), channels

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="magstyle")
class ConditionalInstanceNormalization(keras.layers.Layer):
    """Instance normalisation whose scale and offset are chosen, or mixed, per style.

    Every channel of every image is brought to mean 0 and variance 1 over height and width, then scaled and shifted by
    `gamma = style_weights @ gammas` and `beta = style_weights @ betas`. A one-hot row of weights selects a style.

    Args:
        num_styles: rows of the two parameter tables [num_styles, C].
        epsilon: added to the (biased) variance.

    Call arguments:
        inputs: [B, H, W, C].
        style_weights: [B, num_styles], or [1, num_styles] for the whole batch; any numbers, not normalised. Or
            [B, H, W, num_styles], one row per pixel; the moments are still those of the whole image.

    Reference:
        Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. arXiv 1610.07629.
    """

    def __init__(self, num_styles: int, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_styles = num_styles
        self.epsilon = epsilon

    def build(self, inputs_shape, style_weights_shape):
        shape = (self.num_styles, inputs_shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")

    def call(self, inputs, style_weights):
        gamma = keras.ops.matmul(style_weights, self.gamma)
        beta = keras.ops.matmul(style_weights, self.beta)
        if len(style_weights.shape) == 2:
            gamma, beta = gamma[:, None, None, :], beta[:, None, None, :]
        mean, variance = keras.ops.moments(inputs, axes=(1, 2), keepdims=True)
        # One multiplication and one addition over the image; the rest is on [B, 1, 1, C], unless pixels differ.
        scale = gamma * keras.ops.rsqrt(variance + self.epsilon)
        return inputs * scale + (beta - mean * scale)

    def compute_output_shape(self, inputs_shape, style_weights_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "num_styles": self.num_styles, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="magstyle")
class SubpixelConv2D(keras.layers.Layer):
    """Nearest up-sampling, reflection padding and a convolution without bias, as one convolution at low resolution.

    It equals `UpSampling2D(upsampling)`, `ReflectionPadding2D(kernel_size // 2)`, `Conv2D(filters, kernel_size)` with
    the same kernel. All pixels of an output block of block_size x block_size are computed as channels of one pixel and
    laid out afterwards. The up-sampled image never exists, which saves memory and time, and the convolution has
    block_size^2 times as many output channels, which makes a convolution to 3 channels fast. (On a CPU, blocks of 4 x 4
    are no faster than 2 x 2, and at 1024 x 1024 pixels oneDNN's gemm convolution, which TF_ENABLE_ONEDNN_OPTS=1 selects
    on AVX2, hangs with them.)

    Args:
        filters: output channels.
        kernel_size: odd side of the kernel; 3 where upsampling is 2.
        block_size: side of the blocks, a multiple of `upsampling`.
        upsampling: 1 (none) or 2.

    Call arguments:
        inputs: [B, H, W, C], H and W multiples of block_size / upsampling.

    Returns:
        [B, upsampling H, upsampling W, filters].

    Reference:
        Shi et al.: Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
        Network. arXiv 1609.05158.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        block_size: int,
        upsampling: int = 1,
        kernel_initializer: keras.initializers.Initializer | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (upsampling == 2 and kernel_size != 3) or upsampling not in (1, 2):
            raise ValueError("SubpixelConv2D up-samples by 1, or by 2 with kernels of 3 x 3.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.block_size = block_size
        self.upsampling = upsampling
        self.kernel_initializer = keras.initializers.get(kernel_initializer or "glorot_uniform")

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)

    def call(self, inputs):
        if self.upsampling == 2:
            # Up-sampling doubles every border pixel, so a reflection is a copy of the small image's border.
            inputs = _pad(inputs, 1, "symmetric")
        else:
            inputs = _pad(inputs, self.kernel_size // 2, "reflect")
        taps = keras.ops.convert_to_tensor(self._taps(), dtype=self.kernel.dtype)
        kernel = keras.ops.einsum("pik,qjl,klco->ijcpqo", taps, taps, self.kernel)
        kernel = keras.ops.reshape(kernel, (*kernel.shape[:3], self.block_size**2 * self.filters))
        strides = self.block_size // self.upsampling
        blocks = keras.ops.conv(inputs, kernel, strides, padding="valid", data_format="channels_last")
        return _depth_to_space(blocks, self.block_size)

    def _taps(self) -> np.ndarray:
        """One-hot: the input row, of K, that each kernel row meets in each output row, [block_size, K, kernel_size]."""
        rows = np.arange(self.block_size)[:, None] + np.arange(self.kernel_size) - self.kernel_size // 2
        rows = rows // self.upsampling
        rows -= rows.min()
        return np.eye(rows.max() + 1, dtype=np.float32)[rows].transpose(0, 2, 1)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, _times(height, self.upsampling), _times(width, self.upsampling), self.filters

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "block_size": self.block_size,
            "upsampling": self.upsampling,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def _pad(image, padding, mode):
    return keras.ops.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode=mode)


def _depth_to_space(image, size):
    # keras.ops.depth_to_space is missing from Keras 3.12, the last for Python 3.10; four dimensions suffice.
    batch, height, width, channels = keras.ops.shape(image)
    image = keras.ops.reshape(image, (batch * height, width, size, channels // size))
    image = keras.ops.transpose(image, (0, 2, 1, 3))
    return keras.ops.reshape(image, (batch, height * size, width * size, channels // size**2))


def _times(side, factor, plus=0):
    return None if side is None else side * factor + plus


@keras.saving.register_keras_serializable(package="magstyle")
class Moments(keras.layers.Layer):
    """The mean and the standard deviation of every channel over height and width, standardised.

    They differ in size by orders of magnitude, and dense layers learn nothing from them as they are. The weights
    `center` and `scale` [2 C], which training computes once, make numbers of about -1 to 1 of them.

    Call arguments:
        inputs: [B, H, W, C].

    Returns:
        [B, 2 C]: the means, then the deviations, minus center, divided by scale.
    """

    def build(self, input_shape):
        size = (2 * input_shape[-1],)
        self.center = self.add_weight(size, "zeros", trainable=False, name="center")
        self.scale = self.add_weight(size, "ones", trainable=False, name="scale")

    def call(self, inputs):
        mean, variance = keras.ops.moments(inputs, axes=(1, 2))
        # As LiteRT computes it, which has the reciprocal root in XNNPACK.
        moments = keras.ops.concatenate([mean, variance * keras.ops.rsqrt(variance + MOMENTS_EPSILON)], axis=-1)
        return (moments - self.center) / self.scale

    def compute_output_shape(self, input_shape):
        return input_shape[0], 2 * input_shape[-1]
