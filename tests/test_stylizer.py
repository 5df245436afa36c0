import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from magstyle import engines, memory
from magstyle.colors import preserve_color
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.stylizer import Stylizer


@pytest.fixture(scope="module")
def stylizer(small_model):
    return Stylizer(small_model)


@pytest.fixture(scope="module", params=["litert", "keras"])
def engine(request, small_model):
    return Stylizer(small_model, request.param)


def test_a_size_that_4_divides_comes_out_as_the_model_gives_it(engine, small_model):
    image = np.random.default_rng(0).random((24, 32, 3), np.float32)
    weights = np.array([0.2, 0.5, 0.3], np.float32)
    expected = small_model([image[None], weights[None]])[0]
    np.testing.assert_allclose(engine.stylize(image, weights), expected, atol=1e-5)


def test_another_size_is_reflected_and_cropped(engine, small_model):
    image = np.random.default_rng(0).random((21, 31, 3), np.float32)
    weights = engine.style_weights("wave")
    reflected = np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="reflect")
    expected = small_model([reflected[None], weights[None]])[0, :21, :31]
    np.testing.assert_allclose(engine.stylize(image, weights), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 4), (4, 4), (5, 8), (7, 9), (1, 50), (61, 47)])
def test_the_size_given_comes_back(engine, size):
    result = engine.stylize(np.random.default_rng(0).random((*size, 3), np.float32), engine.style_weights(0))
    assert result.shape == (*size, 3)
    assert result.dtype == np.float32
    assert ((result >= 0) & (result <= 1)).all()


def test_a_photo_in_tiles_becomes_the_same_picture(small_model, monkeypatch):
    stylizer, shares = Stylizer(small_model, "litert"), []
    image = np.random.default_rng(0).random((301, 270, 3), np.float32)
    expected = stylizer.stylize(image, 1, shares.append)
    assert shares == [1]
    monkeypatch.setattr(engines, "_LARGEST_GRAPH", 2**20)
    shares.clear()
    np.testing.assert_allclose(stylizer.stylize(image, 1, shares.append), expected, atol=1e-4)
    assert len(shares) > 1 and abs(sum(shares) - 1) < 1e-6


def test_a_checkpoint_is_opened_by_path(stylizer, small_checkpoint):
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    weights = stylizer.style_weights(1)
    expected = stylizer.stylize(image, weights)
    np.testing.assert_allclose(Stylizer(small_checkpoint).stylize(image, weights), expected, atol=1e-6)


def test_styles_are_numbers_names_and_mixtures(stylizer):
    np.testing.assert_array_equal(stylizer.style_weights(2), [0, 0, 1])
    np.testing.assert_array_equal(stylizer.style_weights("wave"), [0, 1, 0])
    np.testing.assert_allclose(stylizer.style_weights({"wave": 0.75, 0: -0.25}), [-0.25, 0.75, 0])


@pytest.mark.parametrize(
    "style", ["wave", 1, np.int64(1), np.uint8(1), {np.int32(1): np.float32(1)}, [0, 1.0, 0], np.array([0, 1, 0])]
)
def test_a_photo_is_painted_in_what_says_a_style(stylizer, style):
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    expected = stylizer.stylize(image, np.array([0, 1, 0], np.float32))
    np.testing.assert_array_equal(stylizer.stylize(image, style), expected)
    assert stylizer.style_weights(style).dtype == np.float32


@pytest.mark.parametrize("weights", [[0], np.zeros((1, 3)), [1, 0, 0, 0]])
def test_weights_of_another_number_of_styles_are_refused(stylizer, weights):
    with pytest.raises(InputError, match=r"the model has 3 styles, so their weights must have the shape \[3\], not "):
        stylizer.stylize(np.zeros((8, 8, 3)), weights)


@pytest.mark.parametrize(("style", "nearest"), [("wafe", "wave"), ("night", "starry_night"), ("scream!", "scream")])
def test_an_unknown_style_is_answered_by_the_nearest(stylizer, style, nearest):
    with pytest.raises(InputError, match=f"starry_night; nearest: {nearest}$"):
        stylizer.style_weights(style)


@pytest.mark.parametrize("style", [3, -1, "monet", 1.5, True, None, {"wave": 0.5, "monet": 0.5}])
def test_an_unknown_style_is_answered_by_those_there_are(stylizer, style):
    with pytest.raises(InputError, match="its styles are 0 to 2, or scream, wave, starry_night"):
        stylizer.style_weights(style)


@pytest.mark.parametrize(
    "weight", [np.bool_(True), np.float32("nan"), "much", None, float("nan"), float("inf"), 10**400, True]
)
def test_a_weight_that_is_no_number_is_one_sentence(stylizer, weight):
    with pytest.raises(InputError, match="weight of style 'wave' must be a number"):
        stylizer.style_weights({"wave": weight})


def test_wrong_shapes_are_refused(stylizer):
    for shape in ((8, 8), (8, 8, 4), (0, 8, 3), (1, 8, 8, 3)):
        with pytest.raises(ValueError, match="shape"):
            stylizer.stylize(np.zeros(shape), np.zeros(3))


def test_a_photo_that_does_not_fit_is_refused_before_any_work(stylizer, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(InputError, match=r"image_size=.* fits"):
        stylizer.stylize(np.zeros((1200, 2400, 3), np.float32), stylizer.style_weights(0))


def test_preserved_colours_are_those_of_the_photo_in_the_light_of_the_painting():
    rng = np.random.default_rng(0)
    photo, stylized = rng.uniform(0.4, 0.6, (2, 8, 8, 3)).astype(np.float32)
    result = preserve_color(photo, stylized)

    def yiq(image):
        return image @ np.array([[0.299, 0.596, 0.211], [0.587, -0.274, -0.523], [0.114, -0.322, 0.312]])

    np.testing.assert_allclose(yiq(result)[..., 0], yiq(stylized)[..., 0], atol=1e-5)
    np.testing.assert_allclose(yiq(result)[..., 1:], yiq(photo)[..., 1:], atol=1e-5)
    assert preserve_color(np.zeros((1, 1, 3)), np.ones((1, 1, 3))).max() <= 1


FORMATS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA", "L"],
    "GIF": ["1", "L", "P", "RGB"],
    # But YCbCr, which Pillow 12 (the latest that Apache Beam takes) writes without being able to read it.
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I", "F", "I;16"],
    "BMP": ["1", "L", "P", "RGB"],
}


@st.composite
def image_files(draw):
    """The bytes of an image file of any mode and size, whole, cut short, or with bytes changed, and its size."""
    file_format = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[file_format]))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation = draw(st.integers(0, 9)) if file_format in ("JPEG", "PNG", "WEBP") else 1
    file = io.BytesIO()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = draw(st.sampled_from([None, srgb, b"garbage"]))
    image.save(file, file_format, **({"exif": exif, "icc_profile": profile} if file_format != "BMP" else {}))
    content = bytearray(file.getvalue())
    damage = draw(st.sampled_from(["none", "cut", "changed"]))
    if damage == "cut":
        content = content[: draw(st.integers(0, len(content) - 1))]
    elif damage == "changed":
        for _ in range(draw(st.integers(1, 5))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content), damage, (width, height) if 5 <= orientation <= 8 else (height, width)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image_files())
def test_any_file_becomes_a_picture_of_its_size_or_one_sentence(stylizer, tmp_path, file):
    content, damage, size = file
    path = tmp_path / "a.img"
    path.write_bytes(content)
    try:
        image = images.read_image(path)
    except InputError as error:
        assert damage != "none"
        assert str(error).startswith(f"cannot read {path}: ")
        return
    assert image.dtype == np.float32
    assert ((image >= 0) & (image <= 1)).all()
    # A changed byte may well be one of the size.
    assert damage == "changed" or image.shape == (*size, 3)
    assert image.shape == (*images.read_size(path), 3)
    if image.size < 100_000:
        picture = stylizer.stylize(image, stylizer.style_weights(0))
        assert picture.shape == image.shape
