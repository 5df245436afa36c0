import subprocess
import sys

import keras
import numpy as np
import pytest

from magstyle.checkpoints.model_files import load_model
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.models.transformer import StyleTransformer

INPUTS = {"image": "stylized", "image_61x47": "stylized_61x47", "image_33x70": "stylized_33x70"}


@pytest.fixture
def magenta(reference):
    """The golden arrays, and the network with their weights."""
    arrays = reference("transformer_alpha025_styles5")
    model = StyleTransformer(num_styles=5, alpha=0.25)
    for scope in model.scopes:
        parameters = model.parameters(scope)
        parameters["kernel"].assign(arrays[f"weights/transformer/{scope}/weights"])
        parameters["gamma"].assign(arrays[f"weights/transformer/{scope}/InstanceNorm/gamma"])
        parameters["beta"].assign(arrays[f"weights/transformer/{scope}/InstanceNorm/beta"])
    return arrays, model


@pytest.mark.parametrize("image", INPUTS)
def test_images_of_any_size_come_out_as_magentas(magenta, image):
    arrays, model = magenta
    expected = arrays[INPUTS[image]]
    stylized = model([arrays[image], np.eye(5)[arrays["labels"]]])
    np.testing.assert_allclose(stylized, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_mixtures_with_negative_weights_come_out_as_magentas(magenta):
    arrays, model = magenta
    stylized = model({"input_image": arrays["image"], "style_weights": arrays["mixture"][None]})
    np.testing.assert_allclose(stylized, arrays["mixed"], rtol=0, atol=1e-4 * np.abs(arrays["mixed"]).max())


def test_mixing_two_styles_equals_mixing_their_parameters(small_model):
    image = np.random.default_rng(1).random((1, 16, 16, 3), np.float32)
    weights = np.array([[0.3, 0.0, 0.9]], np.float32)
    mixed = StyleTransformer.from_config(small_model.get_config())
    mixed.set_weights(small_model.get_weights())
    for scope in mixed.scopes:
        for name in ("gamma", "beta"):
            table = mixed.parameters(scope)[name]
            table.assign(np.tile(weights @ keras.ops.convert_to_numpy(table), (3, 1)))
    np.testing.assert_allclose(
        mixed([image, np.eye(3, dtype=np.float32)[:1]]), small_model([image, weights]), atol=1e-5
    )


def test_the_published_network_and_the_android_one_are_two_settings():
    # Counted by hand from MAGENTA.md's table: kernels, then gamma and beta per style and normalised channel.
    published = StyleTransformer(num_styles=32)
    channels = 32 + 64 + 128 + 10 * 128 + 64 + 32 + 3
    kernels = 81 * 3 * 32 + 9 * (32 * 64 + 64 * 128 + 10 * 128 * 128 + 128 * 64 + 64 * 32) + 81 * 32 * 3
    assert published.count_params() == kernels + 2 * 32 * channels
    android = StyleTransformer(26, filters=(32, 32, 32), expand_filters=(8, 4), residual_blocks=6)
    channels = 32 * 3 + 12 * 32 + 8 + 4 + 3
    kernels = 81 * 3 * 32 + 9 * (14 * 32 * 32 + 32 * 8 + 8 * 4) + 81 * 4 * 3
    assert android.count_params() == kernels + 2 * 26 * channels
    for model in (published, android):
        assert model.architecture.size == model.count_params()


def test_alpha_truncates_every_number_of_filters():
    model = StyleTransformer(1, alpha=0.3)
    kernels = [model.parameters(scope)["kernel"].shape[3] for scope in model.scopes]
    assert kernels == [9, 19, 38] + 10 * [38] + [19, 9, 3]


def test_the_table_says_what_the_layers_are(small_model):
    table = {row.scope: row for row in small_model.convolutions}
    assert list(table) == small_model.scopes
    assert small_model.architecture.shapes == {
        scope: {name: tuple(value.shape) for name, value in small_model.parameters(scope).items()} for scope in table
    }
    for scope, row in table.items():
        channels = small_model.parameters(scope)["kernel"].shape[3]
        assert small_model.parameters(scope)["kernel"].shape[:2] == (row.kernel_size, row.kernel_size)
        assert channels == row.filters == small_model.parameters(scope)["gamma"].shape[1]
    # By hand, from the table of the docstring.
    assert [row.scope for row in table.values() if row.strides == 2] == ["contract/conv2", "contract/conv3"]
    assert [row.scope for row in table.values() if row.upsampling == 2] == ["expand/conv1/conv", "expand/conv2/conv"]
    assert {row.scope: row.shortcut for row in table.values() if row.shortcut} == {
        "residual/residual1/conv2": "residual/residual1/conv1"
    }
    assert {row.scope: row.activation for row in table.values() if row.activation != "relu"} == {
        "residual/residual1/conv2": None,
        "expand/conv3/conv": "sigmoid",
    }


def test_initial_kernels_are_normal_and_norms_the_identity():
    model = StyleTransformer(2)
    for scope in model.scopes:
        parameters = {name: keras.ops.convert_to_numpy(value) for name, value in model.parameters(scope).items()}
        np.testing.assert_allclose(parameters["kernel"].std(), 0.01, rtol=0.05)
        assert (parameters["gamma"] == 1).all()
        assert (parameters["beta"] == 0).all()


def test_the_interface_has_two_named_inputs_and_one_named_output(small_model):
    assert [tensor.name for tensor in small_model.inputs] == ["input_image", "style_weights"]
    assert small_model.layers[-1].name == "stylized_image"
    assert small_model.output_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_styles": 0},
        {"num_styles": 1, "alpha": 0.01},
        {"num_styles": 1, "filters": (32, 64)},
        {"num_styles": 1, "residual_blocks": -1},
        {"num_styles": 1, "kernel_size": 4},
        {"num_styles": 1, "kernel_size": 1},
        {"num_styles": 2, "style_names": ["one"]},
        {"num_styles": 2, "style_names": ["same", "same"]},
    ],
)
def test_numbers_that_make_no_network_are_refused(arguments):
    with pytest.raises(ValueError, match=r"\."):
        StyleTransformer(**arguments)


def test_models_and_losses_match_magenta_on_jax_without_tensorflow():
    pytest.importorskip("jax")
    # Keras chooses its backend when it is imported, so this takes a process of its own.
    script = f"{__file__.removesuffix('test_transformer.py')}jax_parity.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "jax: all arrays match, tensorflow not imported"


def test_keras_set_to_channels_first_changes_nothing(small_checkpoint, small_model, vgg_file):
    photo, weights = np.random.default_rng(0).random((1, 16, 16, 3), np.float32), np.eye(3, dtype=np.float32)[:1]
    expected, features = small_model([photo, weights]), load_vgg(vgg_file)(photo)
    keras.config.set_image_data_format("channels_first")
    try:
        found, found_features = load_model(small_checkpoint)([photo, weights]), load_vgg(vgg_file)(photo)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(found, expected)
    for name, feature in features.items():
        np.testing.assert_array_equal(found_features[name], feature)
