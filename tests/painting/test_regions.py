import tracemalloc

import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.painting.regions import Regions, blended
from magstyle.painting.stylizer import Stylizer

PHOTO = np.random.default_rng(0).random((24, 32, 3), np.float32)


@pytest.fixture(scope="module")
def stylizer(small_model):
    return Stylizer(small_model)


@pytest.fixture
def left():
    """White in the left half."""
    return np.repeat([[1.0, 0.0]], [16, 16], axis=1).repeat(24, axis=0)


def parts_of(masks, rest, stylizer, size=(24, 32)):
    regions = Regions(masks, stylizer)
    return regions.parts(regions.read(size), None if rest is None else stylizer.style_weights(rest))


def paint(parts, stylizer):
    return blended(parts, (stylizer.stylize(PHOTO, part.weights) for part in parts))


@pytest.mark.parametrize("rest", ["starry_night", None])
@pytest.mark.parametrize("style", ["scream", {"scream": 0.3, "wave": 0.7}])
def test_inside_a_hard_mask_is_the_whole_picture_of_its_style(style, rest, stylizer, left):
    picture = paint(parts_of([(left, style), (1 - left, "wave")], rest, stylizer), stylizer)
    # Where nobody sees the rest, the masks are divided by a little more than 1.
    np.testing.assert_allclose(picture[:, :16], stylizer.stylize(PHOTO, style)[:, :16], atol=1e-5)
    np.testing.assert_allclose(picture[:, 16:], stylizer.stylize(PHOTO, "wave")[:, 16:], atol=1e-5)


def test_a_soft_mask_fades_from_one_picture_to_the_other(stylizer):
    fade = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (24, 1))
    picture = paint(parts_of([(fade, "wave")], "scream", stylizer), stylizer)
    wave, scream = (stylizer.stylize(PHOTO, style) for style in ("wave", "scream"))
    np.testing.assert_allclose(picture, scream + fade[..., None] * (wave - scream), atol=1e-6)


def test_masks_share_where_they_overlap(stylizer):
    left, middle = np.zeros((4, 6)), np.zeros((4, 6))
    left[:, :3] = middle[:, 2:5] = 1
    parts = parts_of([(left, "scream"), (middle, "wave")], "starry_night", stylizer, (4, 6))
    np.testing.assert_array_equal([part.weights for part in parts], np.eye(3))
    alone, half = [[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]], [[0.5], [0.5], [0]]
    for part, whole, shared in zip(parts, alone, half, strict=True):
        np.testing.assert_allclose(part.share, [np.where(np.arange(6) == 2, shared, whole)] * 4)


def test_a_style_is_painted_once_and_only_where_it_is_seen(stylizer, left):
    (once,) = parts_of([(left, "wave")], "wave", stylizer)
    np.testing.assert_array_equal(once.weights, stylizer.style_weights("wave"))
    (alone,) = parts_of([(np.ones((3, 4)), "scream"), (np.zeros((3, 4)), "starry_night")], "wave", stylizer)
    np.testing.assert_array_equal(alone.weights, stylizer.style_weights("scream"))


def test_the_photo_stays_only_beside_a_mask(stylizer):
    mask = np.ones((2, 2))
    assert Regions([(mask, "wave")], stylizer).of_rest("photo", stylizer) is None
    with pytest.raises(InputError, match=r"^which_styles=photo needs a mask$"):
        Regions([], stylizer).of_rest("photo", stylizer)


@pytest.mark.parametrize("rest", ["starry_night", None])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_masks_take_the_memory_that_is_foreseen(count, rest, stylizer):
    masks = [(np.eye(3), {0: k + 1.0, 1: 1.0}) for k in range(count)]
    regions, picture = Regions(masks, stylizer), np.zeros((300, 300, 3), np.float32)
    rest = None if rest is None else stylizer.style_weights(rest)
    tracemalloc.start()
    try:
        areas = regions.read((300, 300))
        parts = regions.parts(areas, rest)
        regions.leave_rest(areas, picture, blended(parts, (picture.copy() for _ in parts)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.7 < peak / regions.memory(300, 300) < 1.01
