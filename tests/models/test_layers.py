import keras
import numpy as np
import pytest

from magstyle.models.layers import ConditionalInstanceNormalization, ReflectionPadding2D, SubpixelConv2D


def test_reflection_padding_mirrors_without_the_border():
    image = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)
    expected = np.pad(image, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(ReflectionPadding2D(4)(image), expected)


def test_instance_norm_brings_every_channel_of_every_image_to_the_moments_of_its_style():
    images = np.random.default_rng(0).normal(3, 5, (2, 16, 16, 4)).astype(np.float32)
    layer = ConditionalInstanceNormalization(3)
    layer(images, np.eye(3, dtype=np.float32)[:2])
    layer.gamma.assign([[1, 1, 1, 1], [2, 3, 4, 5], [0, 0, 0, 0]])
    layer.beta.assign([[0, 0, 0, 0], [1, -1, 2, -2], [0, 0, 0, 0]])
    normalized = np.array(layer(images, np.eye(3, dtype=np.float32)[:2]))
    np.testing.assert_allclose(normalized.mean((1, 2)), [[0, 0, 0, 0], [1, -1, 2, -2]], atol=1e-5)
    np.testing.assert_allclose(normalized.std((1, 2)), [[1, 1, 1, 1], [2, 3, 4, 5]], rtol=1e-4)


def test_instance_norm_mixes_styles_per_pixel_and_shares_the_moments():
    rng = np.random.default_rng(0)
    images, weights = rng.normal(3, 5, (2, 6, 7, 4)).astype(np.float32), rng.random((2, 6, 7, 3), np.float32)
    layer = ConditionalInstanceNormalization(3)
    layer(images, weights)
    gamma, beta = rng.random((2, 3, 4), np.float32)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    unit = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
    np.testing.assert_allclose(layer(images, weights), unit * (weights @ gamma) + weights @ beta, atol=1e-4)


def test_instance_norm_of_a_flat_image_is_its_offset():
    layer = ConditionalInstanceNormalization(1)
    flat = np.full((1, 64, 64, 2), 1.23, np.float32)
    np.testing.assert_allclose(layer(flat, np.ones((1, 1), np.float32)), np.zeros_like(flat), atol=1e-2)


@pytest.mark.parametrize(("kernel_size", "block_size", "upsampling"), [(3, 2, 2), (9, 4, 1), (3, 4, 2), (5, 2, 1)])
def test_subpixel_convolution_equals_upsampling_padding_and_convolution(kernel_size, block_size, upsampling):
    image = np.random.default_rng(0).random((2, 8, 12, 5), np.float32)
    subpixel = SubpixelConv2D(3, kernel_size, block_size, upsampling)
    result = subpixel(image)
    plain = keras.Sequential(
        [
            keras.layers.UpSampling2D(upsampling),
            ReflectionPadding2D(kernel_size // 2),
            keras.layers.Conv2D(3, kernel_size, use_bias=False),
        ]
    )
    expected = plain(image)
    plain.layers[-1].kernel.assign(subpixel.kernel)
    expected = plain(image)
    assert subpixel.compute_output_shape(image.shape) == expected.shape == result.shape
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_subpixel_convolution_refuses_reflections_that_it_cannot_make():
    with pytest.raises(ValueError, match="3 x 3"):
        SubpixelConv2D(3, kernel_size=5, block_size=2, upsampling=2)
