"""Networks without Keras: read from `.keras` files, and from the cache of what only Keras and TensorFlow can open."""

import errno
import zipfile

import h5py
import numpy as np
import pytest

import magstyle
from magstyle.checkpoints import model_files, network_cache, networks
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of a user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(network_cache.sys, "platform", "linux")
    return tmp_path / "cache" / "magstyle"


@pytest.fixture
def magenta_checkpoint(small_model, tmp_path):
    model_files.save_model(small_model, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


@pytest.fixture
def without_keras(monkeypatch):
    """Makes a test fail that opens a model with Keras."""
    return lambda: monkeypatch.setattr(model_files, "load_model", lambda *_: pytest.fail("is opened with Keras"))


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
    model = model_files.load_model(tmp_path / "model.keras")
    without_keras()
    network = model_files.read_network(tmp_path / "model.keras")
    assert network.style_names == ("scream", "wave", "starry_night")
    assert_same(network, model)


def test_the_bundled_model_is_read_as_keras_reads_it(without_keras):
    model = model_files.load_model("painters")
    without_keras()
    network = model_files.read_network("painters")
    assert_same(network, model)
    assert network.style_names == model.style_names


def test_a_keras_file_of_another_layout_is_left_to_keras(small_model, small_checkpoint, tmp_path, cache):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(small_checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "a") as weights:
        for layer in weights["layers"].values():
            layer["vars"].attrs.pop("name", None)
    members["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert networks.read_keras(path) is None
    assert_same(model_files.read_network(path), small_model)


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
    with pytest.raises(InputError, match=r"cannot use .*model.keras: some of its weights are no finite numbers"):
        model_files.read_network(tmp_path / "model.keras")


def test_a_magenta_checkpoint_comes_from_the_cache_the_second_time(
    small_model, magenta_checkpoint, cache, without_keras
):
    assert_same(model_files.read_network(magenta_checkpoint), small_model)
    (kept,) = cache.iterdir()
    without_keras()
    assert_same(model_files.read_network(magenta_checkpoint), small_model)
    assert_same(model_files.read_network(f"{magenta_checkpoint}.index"), small_model)
    assert list(cache.iterdir()) == [kept]


def test_another_checkpoint_of_the_same_name_is_not_taken_for_it(small_model, magenta_checkpoint, cache):
    model_files.read_network(magenta_checkpoint)
    other = other_than(small_model)
    model_files.save_model(other, magenta_checkpoint)
    assert_same(model_files.read_network(magenta_checkpoint), other)


def test_another_version_reads_it_anew(magenta_checkpoint, cache, without_keras, monkeypatch):
    model_files.read_network(magenta_checkpoint)
    monkeypatch.setattr(magstyle, "__version__", "another")
    without_keras()
    with pytest.raises(pytest.fail.Exception, match="is opened with Keras"):
        model_files.read_network(magenta_checkpoint)


DAMAGES = {
    "cut": lambda path, _: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path, _: path.write_bytes(b""),
    "of another model": lambda path, model: path.write_bytes(networks.pack(networks.from_model(other_than(model)))),
    "a folder": lambda path, _: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_in_the_cache_that_is_not_what_was_written_is_made_anew(small_model, magenta_checkpoint, cache, damage):
    model_files.read_network(magenta_checkpoint)
    (kept,) = cache.iterdir()
    DAMAGES[damage](kept, small_model)
    assert_same(model_files.read_network(magenta_checkpoint), small_model)


def test_a_cache_that_cannot_be_written_is_done_without(small_model, magenta_checkpoint, cache, monkeypatch):
    cache.parent.write_text("a file")
    assert_same(model_files.read_network(magenta_checkpoint), small_model)

    def disk_is_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache.parent.unlink()
    monkeypatch.setattr(network_cache.pathlib.Path, "write_bytes", disk_is_full)
    assert_same(model_files.read_network(magenta_checkpoint), small_model)
    assert list(cache.iterdir()) == []
