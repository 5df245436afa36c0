import numpy as np
import pytest

import magstyle
from magstyle.data import images
from magstyle.painting.colors import match_color
from tests.samples import picture

# Margin, label, and the sides of the pictures.
M, L, H, W = 8, 24, 32, 40


@pytest.fixture
def photo(tmp_path):
    picture(0, (50, 40)).save(tmp_path / "photo.png")
    return images.read_image(tmp_path / "photo.png", 32)


def strip(tmp_path, checkpoint, **options):
    """The five pictures of a strip from one style to another."""
    files = tmp_path / "photo.png", tmp_path / "strip.png"
    styles = ["scream", "wave"]
    path = magstyle.figure(*files, kind="strip", which_styles=styles, checkpoint=checkpoint, image_size=32, **options)
    row = images.read_image(path)[M + L :][:H]
    return [row[:, M + k * (W + M) :][:, :W] for k in range(5)]


def test_strength_reaches_every_picture(small_model, tmp_path, photo):
    for shown in strip(tmp_path, small_model, strength=0):
        np.testing.assert_allclose(shown, photo, atol=0.01)


def test_pictures_take_the_colours_of_an_image(small_model, tmp_path, photo):
    colors = np.random.default_rng(0).random((8, 8, 3), np.float32) * [1.0, 0.2, 0.2]
    first, *_, last = strip(tmp_path, small_model, color_from=colors)
    stylizer = magstyle.Stylizer(small_model)
    for shown, style in ((first, "scream"), (last, "wave")):
        expected = match_color(stylizer.stylize(photo, style), colors)
        np.testing.assert_allclose(shown, expected, atol=0.01)


def test_strength_is_not_for_neural_style(tmp_path, photo):
    files = tmp_path / "photo.png", tmp_path / "sheet.png"
    with pytest.raises(magstyle.InputError, match="strength and stroke_size are for the network") as error:
        magstyle.figure(*files, style_images=files[0], optimize=True, strength=0.5)
    assert error.value.arguments == ("strength", "stroke_size", "optimize")


@pytest.fixture
def paintings(tmp_path):
    """The files of two paintings, whose names no model knows."""
    paths = [tmp_path / f"{name}.png" for name in ("boat", "harbour")]
    for seed, path in enumerate(paths):
        picture(7 + seed, (60, 40)).save(path)
    return paths


def test_a_model_for_any_painting_paints_a_sheet_of_paintings(anything, tmp_path, photo, paintings):
    files = tmp_path / "photo.png", tmp_path / "sheet.png"
    sheet = images.read_image(magstyle.figure(*files, style_images=paintings, checkpoint=anything, image_size=32))
    for column, painting in enumerate(paintings, start=1):
        found = sheet[M + L + H + M :][:H, M + column * (W + M) :][:, :W]
        np.testing.assert_allclose(found, magstyle.Stylizer(anything).stylize(photo, painting), atol=0.01)


def test_the_files_of_paintings_may_stand_for_styles(anything, tmp_path, photo, paintings):
    files, options = (tmp_path / "photo.png", tmp_path / "strip.png"), {"kind": "strip", "image_size": 32}
    strips = [
        images.read_image(magstyle.figure(*files, checkpoint=anything, **options, **given))
        for given in ({"style_images": paintings}, {"which_styles": [str(path) for path in paintings]})
    ]
    np.testing.assert_array_equal(*strips)
    middle = strips[0][M + L :][:H, M + 2 * (W + M) :][:, :W]
    expected = magstyle.Stylizer(anything).stylize(photo, {str(path): 0.5 for path in paintings})
    np.testing.assert_allclose(middle, expected, atol=0.01)


def test_a_model_for_any_painting_needs_paintings(anything, tmp_path, photo):
    files = tmp_path / "photo.png", tmp_path / "strip.png"
    for given in ({}, {"which_styles": "all"}, {"which_styles": [0, 1]}):
        with pytest.raises(magstyle.InputError, match="no styles of its own; give style_images, the paintings"):
            magstyle.figure(*files, kind="strip", checkpoint=anything, **given)
