"""Images as arrays and as Pillow's: every public function takes the same ones, and refuses the same ones."""

import numpy as np
import pytest
from PIL import Image

import magstyle
from magstyle.data import images
from magstyle.errors import InputError
from tests.samples import picture

PHOTO = np.array(picture(0, (24, 20)))
AS_FLOAT = PHOTO / np.float32(255)


@pytest.fixture(scope="module")
def stylizer(small_model):
    return magstyle.Stylizer(small_model)


def written(image, tmp_path):
    magstyle.write_image(tmp_path / "a.png", image)
    return magstyle.read_image(tmp_path / "a.png")


# Every public function that takes an image as an array, as a function of this image, the others being the same.
DOORS = {
    "stylize": lambda image, stylizer, tmp_path: stylizer.stylize(image, "wave"),
    "strength": lambda image, stylizer, tmp_path: stylizer.stylize(image, "wave", strength=0.5),
    "no strength": lambda image, stylizer, tmp_path: stylizer.stylize(image, "wave", strength=0),
    "stroke_size": lambda image, stylizer, tmp_path: stylizer.stylize(image, "wave", stroke_size=2),
    "photo": lambda image, stylizer, tmp_path: magstyle.preserve_color(image, AS_FLOAT[::-1]),
    "stylized": lambda image, stylizer, tmp_path: magstyle.preserve_color(AS_FLOAT[::-1], image),
    "image": lambda image, stylizer, tmp_path: magstyle.match_color(image, AS_FLOAT[::2] ** 2),
    "reference": lambda image, stylizer, tmp_path: magstyle.match_color(AS_FLOAT[::2] ** 2, image),
    "write_image": lambda image, stylizer, tmp_path: written(image, tmp_path),
    "color_from": lambda image, stylizer, tmp_path: painted(stylizer, tmp_path, color_from=image),
}


def painted(stylizer, tmp_path, **options):
    images.write_image(tmp_path / "photo.png", AS_FLOAT)
    (path,) = magstyle.stylize_photos(
        tmp_path / "photo.png", tmp_path / "out", **{"checkpoint": stylizer.network, "which_styles": "wave", **options}
    )
    return magstyle.read_image(path)


@pytest.mark.parametrize("door", DOORS)
def test_the_same_image_in_any_form_gives_the_same_picture(door, stylizer, tmp_path):
    expected = DOORS[door](AS_FLOAT, stylizer, tmp_path)
    assert ((expected >= 0) & (expected <= 1)).all()
    forms = [PHOTO, Image.fromarray(PHOTO), AS_FLOAT.astype(np.float64), AS_FLOAT.tolist(), AS_FLOAT[:, ::-1][:, ::-1]]
    for form in forms:
        np.testing.assert_allclose(DOORS[door](form, stylizer, tmp_path), expected, atol=1e-4)
    truth = AS_FLOAT > 0.5
    expected = DOORS[door](truth.astype(np.float32), stylizer, tmp_path)
    np.testing.assert_array_equal(DOORS[door](truth, stylizer, tmp_path), expected)


REFUSED = {
    "floats to 255": (PHOTO.astype(np.float32), "floats must have values from 0 to 1, not from 0 to 255"),
    "floats from -1": (AS_FLOAT * 2 - 1, "floats must have values from 0 to 1, not from -1 to 1"),
    "NaN": (
        np.where(AS_FLOAT[3, 4] == AS_FLOAT, np.nan, AS_FLOAT),
        "floats must have values from 0 to 1, not from nan",
    ),
    "infinity": (np.where(AS_FLOAT[3, 4] == AS_FLOAT, np.inf, AS_FLOAT), "from 0 to 1, not from 0 to inf"),
    "uint16": (PHOTO.astype(np.uint16) * 257, "uint8 from 0 to 255 or an image of Pillow's, not uint16"),
    "int64": (PHOTO.astype(np.int64), "uint8 from 0 to 255 or an image of Pillow's, not int64"),
    "complex": (AS_FLOAT.astype(complex), "not complex128"),
    "objects": (AS_FLOAT.astype(object), "not object"),
    "None": (None, "not object"),
    "ragged": ([[[0.1, 0.2, 0.3]], [[0.1, 0.2]]], "must be an array or an image of Pillow's"),
    "alpha": (np.ones((20, 24, 4), np.uint8), r"must have the shape .*\[H, W, 3\], not \[20, 24, 4\]"),
    "a batch": (np.ones((1, 20, 24, 3)), r"must have the shape .*\[H, W, 3\], not \[1, 20, 24, 3\]"),
    "nothing": (np.ones((0, 24, 3)), r"must have the shape .*\[H, W, 3\], not \[0, 24, 3\]"),
}


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_image_is_one_sentence(door, form, stylizer, tmp_path):
    image, sentence = REFUSED[form]
    if door == "color_from" and image is None:
        return  # Without one, the colours are those of the picture.
    with pytest.raises(InputError, match=f"^an image .*{sentence}"):
        DOORS[door](image, stylizer, tmp_path)
    assert not (tmp_path / "a.png").exists()
    assert not (tmp_path / "out").exists()


def test_grey_arrays_are_refused_where_a_photo_belongs(stylizer):
    with pytest.raises(InputError, match=r"an image must have the shape \[H, W, 3\], not \[20, 24\]"):
        stylizer.stylize(AS_FLOAT[..., 0], "wave")
    with pytest.raises(InputError, match="photo has 24 x 20 pixels, but stylized 24 x 10"):
        magstyle.preserve_color(AS_FLOAT, AS_FLOAT[:10])


def test_an_image_of_pillows_is_read_as_its_file_is(stylizer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = Image.fromarray(np.dstack([PHOTO, PHOTO[..., 0]]))
    rgba.save(tmp_path / "a.png", exif=exif)
    grey = Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257)
    grey.save(tmp_path / "b.png")
    indexed = Image.fromarray(PHOTO).convert("P")
    indexed.save(tmp_path / "c.gif", transparency=int(np.asarray(indexed)[0, 0]))
    for name in ("a.png", "b.png", "c.gif"):
        with Image.open(tmp_path / name) as opened:
            found = images.as_image(opened)
            np.testing.assert_array_equal(found, images.read_image(tmp_path / name))
            # It is as the user left it.
            np.testing.assert_array_equal(images.as_image(opened), found)
            assert opened.size == (24, 20)


def test_a_damaged_image_of_pillows_is_one_sentence(stylizer, tmp_path):
    images.write_image(tmp_path / "a.png", AS_FLOAT)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-200])
    with (
        Image.open(tmp_path / "a.png") as opened,
        pytest.raises(InputError, match="cannot read an image: the image is"),
    ):
        stylizer.stylize(opened, 0)
    with pytest.raises(InputError, match="has no pixels"):
        stylizer.stylize(Image.new("RGB", (0, 4)), 0)


MASK = np.tile(np.linspace(0, 255, 12), (10, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    "mask",
    [
        MASK / 255,
        (MASK / 255).astype(np.float32),
        np.repeat(MASK[..., None], 3, axis=2),
        Image.fromarray(MASK),
        Image.fromarray(MASK).convert("RGB"),
        Image.merge("LA", [Image.new("L", (12, 10), "white"), Image.fromarray(MASK)]),
        Image.merge("LA", [Image.fromarray(MASK), Image.new("L", (12, 10), "white")]),
    ],
)
def test_a_mask_in_any_form_paints_the_same_area(mask, stylizer, tmp_path):
    expected = painted(stylizer, tmp_path / "a", mask=[(MASK, "scream")])
    found = painted(stylizer, tmp_path / "b", mask=[(mask, "scream")])
    np.testing.assert_allclose(found, expected, atol=2.01 / 255)


def test_truth_values_are_a_mask(stylizer, tmp_path):
    expected = painted(stylizer, tmp_path / "a", mask=[((MASK > 99) * 1.0, "scream")])
    np.testing.assert_array_equal(painted(stylizer, tmp_path / "b", mask=[(MASK > 99, "scream")]), expected)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (MASK.astype(float), "floats must have values from 0 to 1, not from 0 to 255"),
        (MASK.astype(int), "uint8 from 0 to 255 or an image of Pillow's, not int64"),
        (np.where(MASK == 0, np.nan, 0.5), "not from nan to nan"),
        (np.zeros((10, 12, 4)), r"shape \[H, W\] or \[H, W, 3\], not \[10, 12, 4\]"),
    ],
)
def test_what_is_no_mask_is_one_sentence(mask, sentence, stylizer, tmp_path):
    with pytest.raises(InputError, match=sentence):
        painted(stylizer, tmp_path, mask=[(mask, "scream")])


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L"])
def test_what_is_transparent_in_a_mask_is_not_painted(mode, stylizer, tmp_path):
    """In every way in which a file can have transparent parts: the left half is white, the right one transparent."""
    right = np.arange(12) >= 6
    grey = Image.fromarray(np.where(right, 250, 255).astype(np.uint8) + np.zeros((10, 1), np.uint8))
    options = {}
    if mode in ("LA", "RGBA"):
        alpha = Image.fromarray(np.where(right, 0, 255).astype(np.uint8) + np.zeros((10, 1), np.uint8))
        mask = Image.merge("LA", [grey, alpha]).convert(mode)
    else:
        mask = grey if mode == "L" else grey.convert("P")
        options["transparency"] = mask.getpixel((11, 0))
    mask.save(tmp_path / "mask.png", **options)
    found = painted(stylizer, tmp_path, mask=[(tmp_path / "mask.png", "scream")], which_styles="photo")
    np.testing.assert_allclose(found[:, 14:], AS_FLOAT[:, 14:], atol=0.51 / 255)
    assert np.abs(found[:, :10] - AS_FLOAT[:, :10]).mean() > 0.05
