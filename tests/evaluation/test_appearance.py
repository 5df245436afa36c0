"""Measures of colours and small shapes, against what is known of them."""

import numpy as np
import pytest

from magstyle.evaluation import appearance
from tests.samples import picture

LOOKS = [appearance.palette, appearance.pattern]


def image(seed: int) -> np.ndarray:
    return np.asarray(picture(seed, (96, 64)), np.float32) / 255


def plain(colour) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.float32), (16, 16, 3))


@pytest.mark.parametrize("look", LOOKS)
def test_an_image_is_at_no_distance_from_itself_and_at_some_from_another(look):
    assert appearance.distance(look(image(0)), look(image(0))) == 0
    assert appearance.distance(look(image(0)), look(image(1))) > 1


@pytest.mark.parametrize("look", LOOKS)
def test_one_grey_is_as_far_from_another_as_their_lightness_says(look):
    # Of two points, the distance along an orthogonal basis is, on average, their distance times a mean cosine.
    near = appearance.distance(look(plain([0.5, 0.5, 0.5])), look(plain([0.6, 0.6, 0.6])))
    far = appearance.distance(look(plain([0, 0, 0])), look(plain([1, 1, 1])))
    lightness = 100 / (63.22 - 53.39)  # Of white and black, and of the two greys.
    assert far / near == pytest.approx(lightness, rel=1e-3)


def test_the_palette_does_not_know_where_a_colour_lies_but_the_pattern_does():
    pixels = image(0)
    shuffled = np.random.default_rng(0).permutation(pixels.reshape(-1, 3)).reshape(pixels.shape)
    palettes = [appearance.palette(one) for one in (pixels, shuffled)]
    patterns = [appearance.pattern(one) for one in (pixels, shuffled)]
    assert appearance.distance(*palettes) < 1
    assert appearance.distance(*patterns) > 5


def test_colours_that_are_moved_half_way_are_at_half_the_distance():
    photo, painting = image(0), image(1)
    rng = np.random.default_rng(1)
    half = np.where(rng.random(photo.shape[:2])[..., None] < 0.5, photo, painting)
    looks = [appearance.palette(one) for one in (photo, half, painting)]
    whole = appearance.distance(looks[0], looks[2])
    assert appearance.distance(looks[0], looks[1]) == pytest.approx(whole / 2, rel=0.1)


@pytest.mark.parametrize("look", LOOKS)
def test_an_image_is_near_to_many_of_itself_beside_each_other(look):
    small, large = image(0), np.tile(image(0), (20, 20, 1))
    assert appearance.distance(look(small), look(large)) < appearance.distance(look(small), look(image(1))) / 3


@pytest.mark.parametrize("look", LOOKS)
def test_images_of_any_size_are_seen(look):
    for height, width in ((1, 1), (5, 40), (12, 12), (130, 70)):
        pixels = image(2)[:1, :1] if height == 1 else np.asarray(picture(2, (width, height)), np.float32) / 255
        assert np.isfinite(look(pixels)).all()
