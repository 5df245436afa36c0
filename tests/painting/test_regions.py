import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.painting.regions import Regions
from magstyle.painting.stylizer import Stylizer


@pytest.fixture(scope="module")
def stylizer(small_model):
    return Stylizer(small_model)


def test_masks_share_where_they_overlap(stylizer):
    left, middle = np.zeros((4, 6)), np.zeros((4, 6))
    left[:, :3] = middle[:, 2:5] = 1
    regions = Regions([(left, "scream"), (middle, "wave")], stylizer)
    weights = regions.style_weights(regions.read((4, 6)), stylizer.style_weights("starry_night"))
    alone, shared, rest = weights[:, [0, 1, 3, 4]], weights[:, 2], weights[:, 5]
    np.testing.assert_allclose(alone[0], [[1, 0, 0]] * 2 + [[0, 1, 0]] * 2)
    np.testing.assert_allclose(shared, [[0.5, 0.5, 0]] * 4)
    np.testing.assert_allclose(rest, [[0, 0, 1]] * 4)


def test_the_photo_stays_only_beside_a_mask(stylizer):
    mask = np.ones((2, 2))
    assert Regions([(mask, "wave")], stylizer).of_rest("photo", stylizer) is None
    with pytest.raises(InputError, match=r"^which_styles=photo needs a mask$"):
        Regions([], stylizer).of_rest("photo", stylizer)
