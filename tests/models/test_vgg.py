import io
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from magstyle import losses
from magstyle.errors import InputError
from magstyle.models import vgg
from tests.samples import narrow_vgg


@pytest.fixture(scope="module")
def random_vgg_16():
    return vgg.random_weights(seed=0)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_end_points_are_magentas(reference, random_vgg_16, pooling):
    arrays = reference("vgg16_endpoints")
    features = vgg.build(random_vgg_16, pooling=pooling)(arrays["image"])
    names = [name for name in arrays if name.startswith(pooling)]
    assert len(names) == {"avg": 8, "max": 2}[pooling]
    for name in names:
        assert_close(features[name.removeprefix(f"{pooling}/")], arrays[name])


def test_every_end_point_of_the_whole_reference(shared, random_vgg_16):
    arrays = np.load(shared("reference/vgg16_endpoints.npz"))
    features = {pooling: vgg.build(random_vgg_16, pooling=pooling)(arrays["image"]) for pooling in ("avg", "max")}
    for name in set(arrays) - {"image"}:
        kind, _, end_point = name.partition("/")
        if kind == "gram":
            assert_close(losses.gram_matrix(features["avg"][end_point]), arrays[name])
        else:
            assert_close(features[kind][end_point], arrays[name])


def test_a_network_of_any_width_ends_where_its_weights_end():
    rng = np.random.default_rng(0)
    shapes = {"conv1/conv1_1": (3, 4), "conv1/conv1_2": (4, 4), "conv2/conv2_1": (4, 6)}
    weights = {}
    for name, channels in shapes.items():
        weights[f"vgg_19/{name}/weights"] = rng.normal(size=(3, 3, *channels)).astype(np.float32)
        weights[f"vgg_19/{name}/biases"] = np.zeros(channels[1], np.float32)
    names = vgg.end_point_names(weights)
    assert names == [
        "vgg_19/conv1/conv1_1",
        "vgg_19/conv1/conv1_2",
        "vgg_19/conv1",
        "vgg_19/pool1",
        "vgg_19/conv2/conv2_1",
    ]
    features = vgg.build(weights)(np.zeros((1, 8, 12, 3), np.float32))
    assert features["vgg_19/conv2/conv2_1"].shape == (1, 4, 6, 6)


def test_the_trained_quarter_width_network_of_shared_opens(shared):
    weights = dict(np.load(shared("weights/vgg_19_quarter.npz")))
    features = vgg.build(weights, ["vgg_19/conv4"])(np.zeros((1, 32, 32, 3), np.float32))
    assert features["vgg_19/conv4"].shape == (1, 4, 4, 128)


def test_only_the_end_points_asked_for_are_computed(random_vgg_16):
    model = vgg.build(random_vgg_16, ["vgg_16/conv2"])
    assert [layer.name for layer in model.layers][-1] == "conv2_2"
    assert not model.trainable_variables


def test_depth_19_has_four_convolutions_in_the_deeper_blocks():
    names = vgg.end_point_names(vgg.random_weights(seed=1, depth=19))
    assert len([name for name in names if name.count("/") == 2]) == 16
    assert names[-3:] == ["vgg_19/conv5/conv5_4", "vgg_19/conv5", "vgg_19/pool5"]


def test_keras_vgg_16_without_its_preprocessing_gives_the_same_features(random_vgg_16):
    original = keras.applications.VGG16(include_top=False, weights=None)
    weights = vgg.keras_weights(original)
    assert weights.keys() == random_vgg_16.keys()
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    # Keras's own: RGB in 0..255 to BGR minus the mean.
    expected = keras.Model(original.input, original.get_layer("block3_conv3").output)(
        keras.applications.vgg16.preprocess_input(image * 255)
    )
    actual = vgg.build(weights, ["vgg_16/conv3"], pooling="max")(image)["vgg_16/conv3"]
    assert_close(actual, np.array(expected))


@pytest.mark.parametrize("end_point", ["vgg_16/conv6", "conv3", "vgg_19/conv1"])
def test_an_unknown_end_point_is_answered_by_those_there_are(random_vgg_16, end_point):
    with pytest.raises(ValueError, match=f"no end point '{end_point}'; it has vgg_16/conv1/conv1_1"):
        vgg.build(random_vgg_16, [end_point])


def test_weights_that_are_no_vgg_are_refused(random_vgg_16):
    with pytest.raises(ValueError, match="conv1_1/weights"):
        vgg.build({"resnet/kernel": np.zeros((3, 3, 3, 3))})
    broken = {**random_vgg_16, "vgg_16/conv2/conv2_1/weights": np.zeros((3, 3, 7, 128), np.float32)}
    with pytest.raises(ValueError, match="conv2_1 has weights"):
        vgg.build(broken)
    with pytest.raises(ValueError, match="'avg' or 'max'"):
        vgg.build(random_vgg_16, pooling="median")


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
    actual = vgg.load_vgg(str(tmp_path / "vgg16.h5"), ["vgg_16/conv3"], pooling="max")(image)["vgg_16/conv3"]
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
        checkpoint = tf.compat.v1.train.Saver().save(session, str(tmp_path / "vgg_16.ckpt"))
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    results = [
        keras.ops.convert_to_numpy(vgg.load_vgg(str(source), ["vgg_16/pool5"])(image)["vgg_16/pool5"])
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
    np.testing.assert_array_equal(vgg.load_vgg("imagenet", ["vgg_16/conv1"])(image)["vgg_16/conv1"], expected)


def test_a_failed_download_is_one_sentence(monkeypatch):
    def download(**_):
        raise Exception("URL fetch failure on https://example.org")

    monkeypatch.setattr(keras.applications, "VGG16", download)
    with pytest.raises(InputError, match=r"cannot download Keras's VGG-16 .*random:0 works offline"):
        vgg.load_vgg("imagenet")


def test_random_vgg_follows_the_recipe_of_the_reference(reference):
    arrays = reference("vgg16_endpoints")
    features = vgg.load_vgg("random:0", ["vgg_16/conv3"])(arrays["image"])["vgg_16/conv3"]
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
            vgg.load_vgg(str(path))
    with pytest.raises(InputError, match="no end point 'conv9'"):
        vgg.load_vgg("random:0", ["conv9"])
    with pytest.raises(InputError, match="random:0"):
        vgg.load_vgg("random:seed")


def test_the_fingerprint_tells_weights_and_pools_apart_and_that_of_a_part_is_a_prefix(random_vgg_16):
    whole = vgg.fingerprint(vgg.build(random_vgg_16))
    assert vgg.fingerprint(vgg.build(random_vgg_16, ["vgg_16/pool2"])) == whole[: 4 * 8 + 2 * 3]
    assert vgg.fingerprint(vgg.build(random_vgg_16, pooling="max")) == whole.replace("avg", "max") != whole
    assert vgg.fingerprint(vgg.build(vgg.random_weights(seed=1), ["vgg_16/conv1/conv1_1"])) != whole[:8]


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
            vgg.load_vgg(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path, value):
    weights = narrow_vgg(16, [1])
    weights["vgg_16/conv1/conv1_1/biases"][0] = value
    np.savez(tmp_path / "vgg.npz", **weights)
    with pytest.raises(InputError, match=r"cannot use .*vgg\.npz: some of its weights are no finite numbers"):
        vgg.load_vgg(tmp_path / "vgg.npz")


@pytest.mark.parametrize("weights", [np.array("text"), np.full((3, 3, 3, 4), b"text"), np.zeros((3, 3, 3, 0)), 1.0])
def test_what_is_no_number_where_numbers_belong_is_one_sentence(tmp_path, weights):
    name = "vgg_16/conv1/conv1_1"
    np.savez(tmp_path / "vgg.npz", **{f"{name}/weights": weights, f"{name}/biases": np.zeros(np.shape(weights)[3:])})
    with pytest.raises(InputError, match=r"vgg\.npz") as error:
        vgg.load_vgg(tmp_path / "vgg.npz")
    assert "\n" not in str(error.value)
