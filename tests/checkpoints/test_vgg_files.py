import io
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.errors import InputError
from magstyle.models import vgg
from tests.samples import narrow_vgg


@pytest.mark.parametrize("include_top", [False, True])
def test_keras_h5_files_of_vgg_16_give_the_features_of_keras(tmp_path, include_top):
    keras.utils.set_random_seed(0)
    original = keras.applications.VGG16(include_top=include_top, weights=None)
    original.save(tmp_path / "vgg16.h5")
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    inputs = keras.Input((32, 32, 3))
    features = inputs
    for layer in original.layers[1 : 1 + 9]:  # block1_conv1 .. block3_conv3
        features = layer(features)
    expected = keras.ops.convert_to_numpy(
        keras.Model(inputs, features)(keras.applications.vgg16.preprocess_input(image * 255))
    )
    actual = load_vgg(str(tmp_path / "vgg16.h5"), ["vgg_16/conv3"], pooling="max")(image)["vgg_16/conv3"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * expected.max())


def test_keras_weights_and_slim_checkpoints_of_vgg_16_give_the_same_features(tmp_path):
    original = keras.applications.VGG16(include_top=False, weights=None)
    original.save_weights(tmp_path / "vgg16.weights.h5")
    slim = {}
    for layer in original.layers:
        if "conv" in layer.name:
            name = f"vgg_16/conv{layer.name[5]}/conv{layer.name[5]}_{layer.name[-1]}"
            kernel, slim[f"{name}/biases"] = layer.get_weights()
            slim[f"{name}/weights"] = kernel[:, :, ::-1] if "block1_conv1" in layer.name else kernel
    np.savez(tmp_path / "vgg16.npz", **slim)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in slim.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        checkpoint = tf.compat.v1.train.Saver().save(session, str(tmp_path / "vgg_16.ckpt")) + ".meta"
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    results = [
        keras.ops.convert_to_numpy(load_vgg(str(source), ["vgg_16/pool5"])(image)["vgg_16/pool5"])
        for source in (tmp_path / "vgg16.weights.h5", tmp_path / "vgg16.npz", checkpoint)
    ]
    assert results[0].max() > 0
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_imagenet_weights_come_from_keras(monkeypatch):
    def download(include_top, weights):
        assert (include_top, weights) == (False, "imagenet")
        return original

    original = keras.applications.VGG16(include_top=False, weights=None)
    monkeypatch.setattr(keras.applications, "VGG16", download)
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    expected = vgg.build(vgg.keras_weights(original), ["vgg_16/conv1"])(image)["vgg_16/conv1"]
    np.testing.assert_array_equal(load_vgg("imagenet", ["vgg_16/conv1"])(image)["vgg_16/conv1"], expected)


def test_a_failed_download_is_one_sentence(monkeypatch):
    def download(**_):
        raise Exception("URL fetch failure on https://example.org")

    monkeypatch.setattr(keras.applications, "VGG16", download)
    with pytest.raises(InputError, match=r"cannot download Keras's VGG-16 .*random:0 works offline"):
        load_vgg("imagenet")


def test_random_vgg_follows_the_recipe_of_the_reference(reference):
    arrays = reference("vgg16_endpoints")
    features = load_vgg("random:0", ["vgg_16/conv3"])(arrays["image"])["vgg_16/conv3"]
    expected = arrays["avg/vgg_16/conv3"]
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4 * expected.max())


def test_broken_vgg_weights_are_one_sentence(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:50])
    for name in ("text.h5", "text.npz", "text.ckpt"):
        (tmp_path / name).write_text("no weights\n" * 50)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.h5")
    for path in [*tmp_path.iterdir(), tmp_path / "missing.h5"]:
        with pytest.raises(InputError, match=path.name):
            load_vgg(str(path))
    with pytest.raises(InputError, match="no end point 'conv9'"):
        load_vgg("random:0", ["conv9"])
    with pytest.raises(InputError, match="random:0"):
        load_vgg("random:seed")


def test_hostile_npz_files_are_one_sentence(tmp_path):
    good = io.BytesIO()
    np.lib.format.write_array(good, np.zeros(3, np.float32))
    header = b"\x93NUMPY\x01\x00\x76\x00"
    members = {
        "token": header + b"{'descr': '<f4', (((".ljust(118),
        "absurd": header + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }".ljust(118),
        "negative": header + b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }".ljust(118),
        "text": b"no array",
        "good": good.getvalue(),
    }
    for name, content in members.items():
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("vgg_16/conv1/conv1_1/weights.npy", content)
    for name, kind in {"other": 93, "encrypted": 0}.items():
        content = bytearray((tmp_path / "good.npz").read_bytes())
        # Method and flags of the file, in its own header and in the list at the end.
        for start, method in ((0, 8), (content.index(b"PK\x01\x02"), 10)):
            content[start + method] = kind
            content[start + method - 2] |= name == "encrypted"
        (tmp_path / f"{name}.npz").write_bytes(content)
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros(10**7))
    np.savez(tmp_path / "pickle.npz", np.array([{}], object))
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "pipe.h5")
    os.mkfifo(tmp_path / "pipe.ckpt")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("block1_conv1/kernel", shape=10**12, chunks=(1000,))
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=path.name) as error:
            load_vgg(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path, value):
    weights = narrow_vgg(16, [1])
    weights["vgg_16/conv1/conv1_1/biases"][0] = value
    np.savez(tmp_path / "vgg.npz", **weights)
    with pytest.raises(InputError, match=r"cannot use .*vgg\.npz: some of its weights are NaN or infinite"):
        load_vgg(tmp_path / "vgg.npz")


@pytest.mark.parametrize("weights", [np.array("text"), np.full((3, 3, 3, 4), b"text"), np.zeros((3, 3, 3, 0)), 1.0])
def test_what_is_no_number_where_numbers_belong_is_one_sentence(tmp_path, weights):
    name = "vgg_16/conv1/conv1_1"
    np.savez(tmp_path / "vgg.npz", **{f"{name}/weights": weights, f"{name}/biases": np.zeros(np.shape(weights)[3:])})
    with pytest.raises(InputError, match=r"vgg\.npz") as error:
        load_vgg(tmp_path / "vgg.npz")
    assert "\n" not in str(error.value)
