"""Networks as plain arrays, which take neither Keras nor TensorFlow, and their styles."""

import dataclasses
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from magstyle.checkpoints import model_files, networks
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer
from tests.places import ROOT


@pytest.fixture
def without_keras(monkeypatch):
    """Lets neither Keras nor TensorFlow be imported from now on."""

    def block():
        for name in ("keras", "tensorflow"):
            monkeypatch.setitem(sys.modules, name, None)

    return block


def assert_same(network, model):
    assert (network.num_styles, network.convolutions) == (model.num_styles, model.convolutions)
    for scope in model.scopes:
        for name, variable in model.parameters(scope).items():
            assert network.parameters[scope][name].dtype == np.float32
            np.testing.assert_array_equal(network.parameters[scope][name], np.asarray(variable))


def other_than(model):
    """A network of the same shape with other weights."""
    other = StyleTransformer.from_config(model.get_config())
    other.set_weights([weights + 1 for weights in model.get_weights()])
    return other


@pytest.mark.parametrize("float16", [False, True])
def test_a_keras_file_is_read_as_keras_reads_it(small_model, tmp_path, without_keras, float16):
    model_files.save_model(small_model, tmp_path / "model.keras", float16=float16)
    model = keras.saving.load_model(tmp_path / "model.keras")
    without_keras()
    network = model_files.read_network(tmp_path / "model.keras")
    assert network.style_names == ("scream", "wave", "starry_night")
    assert_same(network, model)


def test_the_bundled_model_is_read_as_keras_reads_it(without_keras):
    model = keras.saving.load_model(ROOT / "magstyle" / "pretrained" / "painters.keras")
    without_keras()
    network = model_files.read_network("painters")
    assert_same(network, model)
    assert network.style_names == model.style_names


def test_magentas_checkpoints_take_neither_keras_nor_tensorflow(small_model, tmp_path, without_keras):
    model_files.save_model(small_model, tmp_path / "model.ckpt")
    without_keras()
    network = model_files.read_network(tmp_path / "model.ckpt")
    assert network.style_names == ("0", "1", "2")
    assert_same(network, small_model)


@pytest.mark.parametrize("name", ["reference/transformer_checkpoint-v1", "models/stylize_quantized.pb"])
def test_magentas_files_of_shared_take_neither_keras_nor_tensorflow(shared, without_keras, name):
    path = shared(name)
    without_keras()
    network = model_files.read_network(path)
    assert {scope: {n: v.shape for n, v in values.items()} for scope, values in network.parameters.items()} == (
        network.architecture.shapes
    )


@pytest.fixture
def older_checkpoint(small_checkpoint, tmp_path):
    """The small model as Keras before 3.12 wrote it, without the names of layers beside their weights."""
    with zipfile.ZipFile(small_checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "a") as weights:
        for layer in weights["layers"].values():
            layer["vars"].attrs.pop("name", None)
    members["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(tmp_path / "older.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return tmp_path / "older.keras"


def test_a_keras_file_of_another_layout_is_left_to_keras(small_model, older_checkpoint, monkeypatch):
    network = model_files.read_network(older_checkpoint)
    assert_same(network, small_model)
    assert network.style_names == small_model.style_names
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=r"older\.keras, written by Keras before 3\.12, needs keras, which is not"):
        model_files.read_network(older_checkpoint)


def test_a_keras_file_of_another_layout_opens_before_the_class_of_the_model_is_imported(older_checkpoint):
    program = f"""
from magstyle.checkpoints import model_files
print(*model_files.read_network({str(older_checkpoint)!r}).style_names)
"""
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "scream wave starry_night\n"), result.stderr


def test_a_model_in_memory_is_read_as_it_is_now(small_model):
    model = other_than(small_model)
    network = model_files.read_network(model)
    assert_same(network, model)
    before = network.parameters["contract/conv1"]["beta"].copy()
    model.parameters("contract/conv1")["beta"].assign(before + 1)
    np.testing.assert_array_equal(network.parameters["contract/conv1"]["beta"], before)
    assert_same(model_files.read_network(model), model)


def test_a_network_becomes_the_same_model(small_model):
    network = model_files.read_network(small_model)
    model = model_files.load_model(network)
    assert model.get_config() == small_model.get_config() | {"name": model.name}
    assert_same(network, model)


def test_numbers_that_the_network_does_not_have_are_one_sentence(small_checkpoint):
    assert model_files.read_network(small_checkpoint, num_styles=3, alpha=1.0).num_styles == 3
    with pytest.raises(InputError, match=r"small.keras has 3 styles, not num_styles=1"):
        model_files.read_network(small_checkpoint, num_styles=1)
    with pytest.raises(InputError, match=r"the width of .*small.keras is 1.0, not alpha=0.25"):
        model_files.read_network(small_checkpoint, alpha=0.25)


def test_weights_that_are_no_finite_numbers_are_refused(small_model, tmp_path):
    model = other_than(small_model)
    model.parameters("contract/conv1")["beta"].assign(np.full((3, 4), np.nan))
    model_files.save_model(model, tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"cannot use .*model.keras: some of its weights are NaN or infinite"):
        model_files.read_network(tmp_path / "model.keras")


def test_a_style_is_one_row_of_every_table(small_model):
    network = networks.from_model(small_model)
    wave = network.style("wave")
    assert wave.name == "wave"
    assert wave == network.style(1) == network.styles[1]
    for scope in small_model.scopes:
        for part in ("gamma", "beta"):
            np.testing.assert_array_equal(getattr(wave, part)[scope], network.parameters[scope][part][1])
    with pytest.raises(ValueError):
        network.style("rain")


def test_styles_are_the_same_if_their_names_and_all_numbers_are(small_model):
    network = networks.from_model(small_model)
    wave, scream = network.style("wave"), network.style("scream")
    assert wave != scream
    assert wave != dataclasses.replace(scream, name="wave")
    assert wave != dataclasses.replace(wave, name="rain")
    assert wave == networks.from_model(small_model).style("wave")


def test_a_network_takes_other_styles_and_paints_in_them_as_before(small_model):
    network = networks.from_model(small_model)
    predicted = dataclasses.replace(network.style("scream"), name="predicted")
    more = network.with_styles([network.style("wave"), predicted])
    assert (more.num_styles, more.style_names) == (2, ("wave", "predicted"))
    assert networks.same_arrays(more.kernels, network.kernels)
    image, half = np.random.default_rng(0).random((1, 16, 16, 3), np.float32), np.full((1, 2), 0.5, np.float32)
    np.testing.assert_allclose(
        networks.to_model(more)([image, half]), small_model([image, np.array([[0.5, 0.5, 0]])]), atol=1e-6
    )
    with pytest.raises(ValueError, match="different names"):
        network.with_styles([predicted, predicted])


def test_the_mean_of_styles_paints_as_their_mixture(small_model):
    network = networks.from_model(small_model)
    model = networks.to_model(network.with_styles([networks.mean_style("mean", network.styles)]))
    assert model.style_names == ("mean",)
    image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    mixed = small_model([image, np.full((1, 3), 1 / 3, np.float32)])
    np.testing.assert_allclose(model([image, np.ones((1, 1), np.float32)]), mixed, atol=1e-6)
