import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export.saved_model import export_saved_model
from magstyle.painting.stylizer import Stylizer
from tests.samples import grainy, picture


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


def encoded(picture, **options):
    file = io.BytesIO()
    picture.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def painted(signatures, photo):
    """The picture, float32 [H, W, 3], that the bytes of a photo become."""
    outputs = signatures["stylize_encoded"](
        image_bytes=tf.constant(photo), style_names=tf.constant(["wave"]), weights=tf.constant([1.0])
    )
    return images.read_image(io.BytesIO(outputs["stylized_image_bytes"].numpy()))


@pytest.mark.parametrize("orientation", [*range(10), 6 * 256])
@pytest.mark.parametrize(("file_format", "order"), [("PNG", "<"), ("JPEG", ">")])
def test_a_photo_is_turned_upright(signatures, small_model, orientation, order, file_format):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112] = "Maker", orientation
    photo = encoded(picture(0, (30, 21)), format=file_format, exif=exif, quality=95)
    expected = Stylizer(small_model).stylize(images.read_image(io.BytesIO(photo)), "wave")
    found = painted(signatures, photo)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.003


def test_damaged_orientations_are_passed_over(signatures):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(picture(0, (30, 21)), format="JPEG", exif=exif)
    begin, rng = photo.index(b"Exif") + 6, np.random.default_rng(0)
    for _ in range(15):
        damaged = bytearray(photo)
        # Behind the byte order: where the directory begins, how many entries it has, and its first entry.
        damaged[begin + rng.integers(4, 22)] = rng.integers(256)
        assert sorted(painted(signatures, bytes(damaged)).shape) == [3, 21, 30]


def translucent(mode):
    """A file of one mode with opaque and transparent parts."""
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (21, 1))
    grey = Image.fromarray(ramp)
    if mode in ("LA", "RGBA"):
        alpha = Image.fromarray(np.ascontiguousarray(ramp[:, ::-1]))
        return encoded(Image.merge("LA", [grey, alpha]).convert(mode))
    key = (80, 80, 80) if mode == "RGB" else 80
    return encoded(grey.convert(mode), transparency=key)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "L", "RGB", "P"])
def test_a_photo_is_laid_over_white(signatures, small_model, mode):
    photo = translucent(mode)
    expected = Stylizer(small_model).stylize(images.read_image(io.BytesIO(photo)), "wave")
    np.testing.assert_allclose(painted(signatures, photo), expected, atol=2.01 / 255)


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [*(("PNG", mode) for mode in ("1", "L", "P", "RGB")), ("BMP", "L"), ("BMP", "RGB"), ("GIF", "P"), ("JPEG", "CMYK")],
)
def test_an_opaque_photo_stays_opaque(signatures, small_model, file_format, mode):
    photo = encoded(picture(0, (30, 21)).convert(mode), format=file_format)
    expected = Stylizer(small_model).stylize(images.read_image(io.BytesIO(photo)), "wave")
    assert np.abs(painted(signatures, photo) - expected).mean() < (0.02 if file_format == "JPEG" else 0.003)


def test_an_unknown_style_is_answered_by_those_there_are(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown style") as error:
        signatures["stylize_encoded"](
            image_bytes=tf.io.encode_png(np.zeros((8, 8, 3), np.uint8)),
            style_names=tf.constant(["wavy"]),
            weights=tf.constant([1.0]),
        )
    for name in ("wavy", "scream", "wave", "starry_night"):
        assert name in error.value.message


NO_NUMBER = "every weight of a style must be a number from -100000 to 100000, not in"


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 255])
def test_values_of_images_that_cannot_be_used_are_one_sentence(signatures, value):
    photos = np.zeros((2, 8, 8, 3), np.float32)
    photos[1, 2, 3, 0] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="every value of the image must be a number from 0 to 1"):
        signatures["serving_default"](input_image=tf.constant(photos), style_weights=tf.ones((2, 3)))


def test_bytes_that_are_no_image_are_an_error(signatures):
    for content in (b"", b"\x89PNG", b"Dear diary", b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            painted(signatures, content)


@pytest.fixture(scope="module")
def by_paintings(tmp_path_factory):
    """The SavedModel of the bundled model for any painting; random weights would paint white, whatever the painting."""
    return export_saved_model("anything", tmp_path_factory.mktemp("by_paintings"))


@pytest.fixture(scope="module")
def of_paintings(by_paintings):
    """Its signatures."""
    return tf.saved_model.load(str(by_paintings)).signatures


def test_a_painting_takes_the_place_of_style_weights(of_paintings):
    # The first is scaled up and cut to 256 x 1024 pixels, the second is scaled down. Pillow rounds between rows and
    # columns, and so pictures differ a little.
    for seed, size in enumerate([(300, 60), (640, 600)]):
        painting, photo = np.asarray(grainy(3 + seed, size)), np.asarray(picture(seed, (30, 21)))
        inputs = {
            name: tf.constant(image[None] / 255, tf.float32)
            for name, image in (("input_image", photo), ("painting", painting))
        }
        found = of_paintings["serving_default"](**inputs)["stylized_image"][0]
        expected = Stylizer("anything", engine="keras").stylize(photo, painting)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_each_photo_of_a_batch_is_painted_like_its_own_painting(of_paintings):
    photos, paintings = (np.stack([picture(k, (40, 44)) for k in seeds]) for seeds in ((0, 1), (2, 3)))
    inputs = {
        "input_image": tf.constant(photos / 255, tf.float32),
        "painting": tf.constant(paintings / 255, tf.float32),
    }
    found = of_paintings["serving_default"](**inputs)["stylized_image"]
    stylizer = Stylizer("anything", engine="keras")
    expected = [stylizer.stylize(*pair) for pair in zip(photos, paintings, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1 / 255)


def mixed(of_paintings, paintings, weights):
    """The picture, float32 [H, W, 3], of a photo in a mixture of paintings, the contents of files."""
    outputs = of_paintings["stylize_encoded"](
        image_bytes=tf.constant(encoded(picture(0, (30, 21)))),
        painting_bytes=tf.constant(paintings, tf.string),
        weights=tf.constant(weights, tf.float32),
    )
    return images.read_image(io.BytesIO(outputs["stylized_image_bytes"].numpy()))


def test_the_files_of_paintings_are_mixed(of_paintings):
    boat, wave = picture(3, (90, 60)), picture(4, (50, 70))
    found = mixed(of_paintings, [encoded(boat), encoded(wave)], [0.25, 0.75])
    stylizer = Stylizer("anything")
    style = 0.25 * stylizer.style_weights(boat) + 0.75 * stylizer.style_weights(wave)
    np.testing.assert_allclose(found, stylizer.stylize(picture(0, (30, 21)), style), atol=1.51 / 255)


SMALL = encoded(picture(0, (50, 40)))


@pytest.mark.parametrize(
    ("paintings", "weights", "sentence"),
    [
        ([], [], "there is no painting"),
        ([SMALL], [0.5, 0.5], "there must be a weight for each painting, not.*0.5 0.5"),
        ([SMALL], [np.nan], NO_NUMBER),
        (
            [SMALL, encoded(picture(0, (90, 31)))],
            [1, 0],
            "the shorter side of a painting must have at least 32 pixels, not.*31",
        ),
        ([encoded(Image.new("RGB", (64, 64), "red"))], [1], "a painting must have more than one colour"),
        ([b"Dear diary"], [1], "Unknown image file format"),
    ],
)
def test_paintings_that_cannot_be_used_are_one_sentence(of_paintings, paintings, weights, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        mixed(of_paintings, paintings, weights)


def test_the_weights_of_a_predictor_are_stored_once_and_there_are_no_names(by_paintings):
    [data] = (by_paintings / "variables").glob("*.data-*")
    network = Stylizer("anything").network
    assert data.stat().st_size < 4 * (network.architecture.size + network.predictor.architecture.size) + 10_000
    assert not (by_paintings / "assets" / "style_names.txt").exists()


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
