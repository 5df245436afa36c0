import functools
import struct

import keras
import numpy as np
import pytest
from PIL import Image, TiffTags

import magstyle
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.optimization import deep_dream, deep_dream_files
from tests import clips
from tests.samples import narrow_vgg, picture


@pytest.fixture
def flags(tmp_path):
    picture(0, (48, 40)).save(tmp_path / "image.png")
    np.savez(tmp_path / "vgg.npz", **narrow_vgg(19, (2, 2, 1)))
    return [
        *(f"--input_image={tmp_path}/image.png", f"--model={tmp_path}/vgg.npz", "--end_points=conv2_1,conv3_1:3"),
        *(f"--output_image={tmp_path}/dream.png", "--octaves=2", "--steps=2"),
    ]


def test_a_dream_is_written_as_picture_numbered_frames_or_animation(run, flags, tmp_path):
    result = run("deep_dream", *flags)
    assert result.stdout == f"{tmp_path}/dream.png\n", result.stderr
    assert "4/4" in result.stderr and "activation=" in result.stderr
    dreamed = images.read_image(tmp_path / "dream.png")
    assert dreamed.shape == (40, 48, 3)
    assert np.abs(dreamed - images.read_image(tmp_path / "image.png")).mean() > 0.005

    result = run("deep_dream", *flags, "--frames=2", f"--guide_image={tmp_path}/image.png")
    assert result.stdout == f"{tmp_path}/dream_00000.png\n{tmp_path}/dream_00001.png\n", result.stderr

    result = run("deep_dream", *flags, "--frames=3", f"--output_image={tmp_path}/dream.webp")
    assert result.stdout == f"{tmp_path}/dream.webp\n", result.stderr
    with Image.open(tmp_path / "dream.webp") as animation:
        assert (animation.n_frames, animation.size) == (3, (48, 40))

    result = run("deep_dream", *flags, "--frames=3", f"--output_image={tmp_path}/dream.mp4")
    assert result.stdout == f"{tmp_path}/dream.mp4\n", result.stderr
    frames, times = clips.read(tmp_path / "dream.mp4")
    assert frames[0].shape == (40, 48, 3) and times == pytest.approx([0, 0.1, 0.2])
    # Each is dreamed from the middle of the one before.
    first, second = (frame / np.float32(255) for frame in frames[:2])
    assert np.abs(deep_dream.zoomed(first, 1.05) - second).mean() < np.abs(first - second).mean()


def test_a_keras_file_of_one_size_dreams_of_any(tmp_path, flags):
    layers = [keras.layers.Conv2D(4, 3, name="edges"), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential([keras.Input((32, 32, 3)), *layers]).save(tmp_path / "model.keras")
    [path] = magstyle.deep_dream(
        tmp_path / "image.png", tmp_path / "dream.png", model=tmp_path / "model.keras", end_points=["edges"], octaves=1
    )
    assert images.read_image(path).shape == (40, 48, 3)


@pytest.fixture
def downloads(monkeypatch):
    """Lets a model of keras.applications be another one, instead of a download: downloads(name, build)."""

    def replace(name, build):
        original = getattr(keras.applications, name)
        monkeypatch.setattr(keras.applications, name, functools.wraps(original)(lambda **_: build()))

    return replace


IMAGE = images.to_float(picture(0, (64, 64)))
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("InceptionV3", 2 * IMAGE - 1),
        ("ResNet50", 255 * IMAGE[..., ::-1] - [103.939, 116.779, 123.68]),
        ("VGG19", 255 * IMAGE[..., ::-1] - [103.939, 116.779, 123.68]),
        ("DenseNet121", (IMAGE - IMAGENET_MEAN) / [0.229, 0.224, 0.225]),
        ("EfficientNetV2B0", 255 * IMAGE),  # The rest of it is in the model.
        ("MobileNetV3Small", 255 * IMAGE),
    ],
)
def test_a_model_of_keras_applications_sees_images_as_it_was_trained_to(downloads, name, expected):
    image = keras.Input((None, None, 3))
    downloads(name, lambda: keras.Model(image, keras.layers.Activation("linear", name="seen")(image)))
    network, _ = deep_dream_files.open_network(name, ["seen"])
    np.testing.assert_allclose(network(IMAGE[None])["seen"][0], expected, atol=1e-3)


def test_a_model_of_keras_applications_can_be_a_file_with_its_preprocessing(downloads, tmp_path):
    image = keras.Input((64, 64, 3))
    options = {"include_top": False, "weights": None, "alpha": 0.25}
    whole = keras.applications.MobileNet(input_tensor=keras.layers.Rescaling(2, -1)(image), **options)
    whole.save(tmp_path / "whole.keras")
    plain = keras.applications.MobileNet(input_shape=(64, 64, 3), **options)
    plain.set_weights(whole.get_weights())
    downloads("MobileNet", lambda: plain)
    opened = [
        deep_dream_files.open_network(model, ["conv_pw_2_relu:5"]) for model in (tmp_path / "whole.keras", "MobileNet")
    ]
    (by_file, channels), (by_name, _) = opened
    assert channels == {"conv_pw_2_relu": 5}
    features = [np.asarray(network(IMAGE[None])["conv_pw_2_relu"]) for network in (by_file, by_name)]
    assert features[0].max() > 0
    np.testing.assert_allclose(*features, atol=1e-3 * features[0].max())


def test_a_download_that_fails_is_said(downloads):
    def fail():
        raise OSError("no network")

    downloads("MobileNet", fail)
    with pytest.raises(InputError, match=r"cannot download the weights of MobileNet .no network"):
        deep_dream_files.open_network("MobileNet", ["conv1"])


def test_models_of_other_inputs_are_refused(small_checkpoint):
    with pytest.raises(InputError, match="the model must take one input, images"):
        deep_dream_files.open_network(small_checkpoint, ["conv"])


def test_a_model_that_is_not_a_graph_of_layers_is_refused(tmp_path):
    keras.Sequential([keras.layers.Conv2D(4, 3, name="edges")]).save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="the model must take one input, images"):
        deep_dream_files.open_network(tmp_path / "model.keras", ["edges"])


def test_a_bug_of_ours_is_not_taken_for_a_damaged_model(tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug of ours")

    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3)]).save(tmp_path / "model.keras")
    monkeypatch.setattr(deep_dream_files, "_layers", fail)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        deep_dream_files.open_network(tmp_path / "model.keras", ["edges"])


def test_a_program_does_not_show_pillows_warnings(refused, flags, tmp_path):
    tag = struct.pack("<HHLL", 274, TiffTags.SHORT, 1, 6)
    picture(0, (48, 40)).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    damaged = (tmp_path / "turned.tif").read_bytes().replace(tag, struct.pack("<HHLL", 274, TiffTags.SHORT, 2, 6))
    (tmp_path / "turned.tif").write_bytes(damaged)
    with pytest.warns(UserWarning, match="tag 274 had too many entries"):
        images.read_size(tmp_path / "turned.tif")
    sentence = refused("deep_dream", *flags, f"--input_image={tmp_path}/turned.tif", "--guide_image=none.png")
    assert "cannot read none.png" in sentence


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--output_image=dream.mp4", "dream.mp4 would be an animation, but --frames=1 makes a single picture"),
        ("--output_image=dream.tiff --frames=2", "cannot write dream"),
        ("--end_points=conv3_2", "there is no end point 'conv3_2'; the nearest are conv3_1"),
        ("--end_points=conv3_1:8", "conv3_1 has the channels 0 to 7, not 8"),
        ("--octaves=6", "--octaves=6 begin with 9 x 7 pixels, of 48 x 40"),
        ("--octave_scale=1", "--octave_scale=1.0 must be a number from 1.05 to 100"),
        ("--zoom=0.5", "--zoom=0.5 must be a number from 1 to 100"),
        ("--tile_size=3", "--tile_size=3 must be a whole number from 16 to 65500"),
        ("--model=Inception9", "keras.applications has no network 'Inception9'; the nearest are InceptionV3"),
        ("--model=none.npz", "there are no VGG weights at none.npz"),
        ("--guide_image=none.png", "cannot read none.png: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(refused, flags, flag, sentence):
    assert sentence in refused("deep_dream", *flags, *flag.split())
