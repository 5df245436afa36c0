import numpy as np
import pytest

from magstyle.data import images
from magstyle.errors import InputError
from magstyle.painting.brush import Brush
from magstyle.painting.colors import match_color, preserve_color
from magstyle.painting.stylizer import Stylizer
from tests.samples import picture

PHOTO = images.to_float(picture(0, (24, 20)))
OTHER = images.to_float(picture(1, (9, 8)))


def test_a_brush_without_options_paints_as_the_stylizer_does(small_model):
    stylizer = Stylizer(small_model)
    np.testing.assert_array_equal(Brush().paint(stylizer, PHOTO, "wave"), stylizer.stylize(PHOTO, "wave"))
    assert Brush().settings() == {}


def test_strength_and_colours_belong_to_the_brush(small_model):
    stylizer = Stylizer(small_model)
    picture = stylizer.stylize(PHOTO, "wave", strength=0.5)
    kept = Brush(strength=0.5, preserve_color=True).paint(stylizer, PHOTO, "wave")
    np.testing.assert_array_equal(kept, preserve_color(PHOTO, picture))
    taken = Brush(strength=0.5, color_from=OTHER).paint(stylizer, PHOTO, "wave")
    np.testing.assert_array_equal(taken, match_color(picture, OTHER))


def test_settings_tell_one_image_of_colours_from_another():
    one, other = Brush(color_from=OTHER).settings(), Brush(color_from=PHOTO).settings()
    assert one.keys() == {"color_from"}
    assert one != other


def test_colours_are_kept_or_taken_not_both():
    with pytest.raises(InputError, match="preserve_color and color_from cannot both be given"):
        Brush(preserve_color=True, color_from=OTHER)
