import keras
import numpy as np
import pytest

from magstyle import losses
from magstyle.models import vgg


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


def test_the_fingerprint_tells_weights_and_pools_apart_and_that_of_a_part_is_a_prefix(random_vgg_16):
    whole = vgg.fingerprint(vgg.build(random_vgg_16))
    assert vgg.fingerprint(vgg.build(random_vgg_16, ["vgg_16/pool2"])) == whole[: 4 * 8 + 2 * 3]
    assert vgg.fingerprint(vgg.build(random_vgg_16, pooling="max")) == whole.replace("avg", "max") != whole
    assert vgg.fingerprint(vgg.build(vgg.random_weights(seed=1), ["vgg_16/conv1/conv1_1"])) != whole[:8]
