import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.optimization import transforms

PICTURE = np.random.default_rng(0).random((23, 17, 3), np.float32)


def square(picture):
    """An objective of each pixel alone, so that shifts and tiles change nothing."""
    return {"square": float(np.mean(picture**2))}, 2 * picture


def test_octaves_double_up_to_the_size_of_the_picture():
    assert transforms.octave_sizes((90, 130), 3) == [(22, 32), (45, 65), (90, 130)]
    assert transforms.octave_sizes((40, 60), 2, 1.5) == [(27, 40), (40, 60)]
    with pytest.raises(InputError, match=r"octaves=3 begin with 15 x 10 pixels, of 60 x 40; .* fewer than 16"):
        transforms.octave_sizes((40, 60), 3)


@pytest.mark.parametrize(
    ("octaves", "steps", "expected"),
    [(1, 60, [60]), (2, 300, [200, 100]), (2, 60, [40, 20]), (4, 375, [200, 100, 50, 25]), (3, 2, [1, 1, 1])],
)
def test_each_octave_takes_half_as_many_of_all_steps_as_the_one_before(octaves, steps, expected):
    assert transforms.octave_steps(octaves, steps) == expected


def test_resizing_keeps_what_is_smooth_and_the_range():
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[:, None, None] * np.ones((1, 32, 3), np.float32)
    small = transforms.resize(ramp, (16, 8))
    assert small.shape == (16, 8, 3)
    np.testing.assert_allclose(small[:, 0, 0], ramp[:, 0, 0].reshape(16, 4).mean(axis=1), atol=0.01)
    assert transforms.resize(np.rint(ramp), (16, 8)).min() >= 0
    assert transforms.resize(np.rint(ramp), (90, 40)).max() <= 1


def test_a_shifted_evaluation_sees_another_picture_and_gives_the_gradient_of_this_one():
    seen = []

    def evaluate(picture):
        seen.append(picture)
        return square(picture)

    shifted = transforms.jittered(evaluate, np.random.default_rng(0))
    for _ in range(2):
        _, gradient = shifted(PICTURE)
        np.testing.assert_array_equal(gradient, 2 * PICTURE)
    assert not np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize("side", [5, 8, 17, 100])
def test_tiles_of_one_size_cover_the_picture(side):
    shapes = set()

    def evaluate(picture):
        shapes.add(picture.shape)
        return square(picture)

    terms, gradient = transforms.tiled(evaluate, side)(PICTURE)
    np.testing.assert_array_equal(gradient, 2 * PICTURE)
    assert (len(shapes) == 1 and max(shapes.pop()) <= side) or side == 100
    assert terms["square"] == pytest.approx(np.mean(PICTURE**2), rel=0.05)
