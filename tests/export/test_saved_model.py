import numpy as np
import pytest
import tensorflow as tf

from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export.saved_model import export_saved_model
from magstyle.painting.stylizer import Stylizer


@pytest.fixture(scope="module")
def served(tmp_path_factory, small_model):
    return export_saved_model(small_model, tmp_path_factory.mktemp("served") / "new" / "small")


@pytest.fixture(scope="module")
def signatures(served):
    return tf.saved_model.load(str(served)).signatures


@pytest.mark.parametrize(
    "shape", [(2, 16, 24, 3), (1, 21, 30, 3), (3, 8, 9, 3), (1, 1, 2, 3), (2, 2, 40, 3), (1, 5, 3, 3)]
)
def test_images_of_any_size_are_painted_as_the_stylizer_does(signatures, small_model, shape):
    photos = np.random.default_rng(0).random(shape, np.float32)
    weights = np.random.default_rng(1).random((len(photos), 3), np.float32)
    inputs = {"input_image": tf.constant(photos), "style_weights": tf.constant(weights)}
    found = signatures["serving_default"](**inputs)["stylized_image"]
    # By the same engine: where all pixels of a layer are equal, as in the smallest images, normalisation makes large
    # differences of the least ones.
    stylizer = Stylizer(small_model, engine="keras")
    expected = [stylizer.stylize(*pair) for pair in zip(photos, weights, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_bytes_of_a_photo_become_those_of_a_png(signatures, small_model, tmp_path):
    photo = np.random.default_rng(0).random((21, 30, 3), np.float32)
    images.write_image(tmp_path / "photo.png", photo)
    encoded = signatures["stylize_encoded"](
        image_bytes=tf.constant((tmp_path / "photo.png").read_bytes()),
        style_names=tf.constant(["wave", "scream"]),
        weights=tf.constant([0.75, 0.5]),
    )["stylized_image_bytes"].numpy()
    (tmp_path / "picture.png").write_bytes(encoded)
    stylizer = Stylizer(small_model)
    expected = stylizer.stylize(
        images.read_image(tmp_path / "photo.png"), stylizer.style_weights({"wave": 0.75, "scream": 0.5})
    )
    np.testing.assert_allclose(images.read_image(tmp_path / "picture.png"), expected, atol=0.51 / 255)


def test_an_unknown_style_is_answered_by_those_there_are(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown style") as error:
        signatures["stylize_encoded"](
            image_bytes=tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)),
            style_names=tf.constant(["wavy"]),
            weights=tf.constant([1.0]),
        )
    for name in ("wavy", "scream", "wave", "starry_night"):
        assert name in error.value.message


NO_NUMBER = "every weight of a style must be a number below 1e.38, not in"


@pytest.mark.parametrize(
    ("names", "weights", "sentence"),
    [
        ([], [], "no style is named; the styles are.*scream"),
        (["wave"], [0.5, 0.5], "there must be a weight for each of.*wave"),
        (["scream"], [np.nan], NO_NUMBER),
        (["scream"], [-np.inf], NO_NUMBER),
        (["scream", "scream"], [6e37, 6e37], NO_NUMBER),
    ],
)
def test_styles_and_weights_that_cannot_be_used_are_one_sentence(signatures, names, weights, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        signatures["stylize_encoded"](
            image_bytes=tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)),
            style_names=tf.constant(names, tf.string),
            weights=tf.constant(weights, tf.float32),
        )


@pytest.mark.parametrize("weight", [np.nan, np.inf, -1e38])
def test_numbers_that_cannot_be_used_are_one_sentence(signatures, weight):
    weights = np.float32([[1, 0, 0], [0, weight, 0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=NO_NUMBER):
        signatures["serving_default"](input_image=tf.zeros((2, 8, 8, 3)), style_weights=tf.constant(weights))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the image has no pixels"):
        signatures["serving_default"](input_image=tf.zeros((1, 8, 0, 3)), style_weights=tf.ones((1, 3)))


def test_the_weights_are_stored_once(served, small_model):
    [data] = (served / "variables").glob("*.data-*")
    assert data.stat().st_size < 4 * small_model.count_params() + 5_000


def test_the_names_of_the_styles_and_the_licence_are_assets(served, small_model):
    assert (served / "assets" / "style_names.txt").read_text().splitlines() == list(small_model.style_names)
    assert "Apache License, Version 2.0" in (served / "assets" / "LICENSE.txt").read_text()


def test_versions_count_up(small_model, tmp_path):
    for name in ("7", "latest"):
        (tmp_path / name).mkdir()
    assert export_saved_model(small_model, tmp_path) == tmp_path / "8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8", "latest"]


def test_a_folder_that_cannot_be_made_is_one_sentence(small_model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        export_saved_model(small_model, tmp_path / "file")
