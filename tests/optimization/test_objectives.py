"""The objectives agree with their formulas in NumPy."""

import numpy as np
import pytest

from magstyle.optimization import objectives

RNG = np.random.default_rng(0)
PICTURE, OTHER = RNG.random((2, 1, 6, 5, 4), np.float32)
REGION = (RNG.random((1, 6, 5, 1)) < 0.5).astype(np.float32)


def test_content_loss_is_relative_to_the_photo_and_a_mean_over_end_points():
    features, targets = {"a": PICTURE, "b": 3 * PICTURE}, {"a": OTHER, "b": 3 * OTHER}
    expected = np.sum((PICTURE - OTHER) ** 2) / np.sum(OTHER**2)
    assert float(objectives.content_loss(features, targets)) == pytest.approx(expected, rel=1e-5)
    assert float(objectives.content_loss(targets, targets)) == 0
    assert float(objectives.content_loss({"a": 0 * OTHER}, {"a": OTHER})) == pytest.approx(1, rel=1e-5)


def test_grain_is_what_alternates_from_pixel_to_pixel():
    rows = np.tile([[[0.5]], [[0.3]]], (4, 9, 1))[None]
    columns = np.swapaxes(rows, 1, 2)
    ramp = np.broadcast_to(np.linspace(0, 1, 9)[:, None], (1, 8, 9, 1))
    for image, expected in ((rows, 0.01), (columns, 0.01), (ramp, 0)):
        assert np.asarray(objectives.grain(image)) == pytest.approx([expected], abs=1e-6)
    less, more = (float(objectives.grain_loss(columns, target)) for target in (1.0, 0.1))
    assert more == pytest.approx(10 * less, rel=0.01)


def test_gram_and_deviation_are_those_of_the_pixels_in_the_region():
    for region in (None, REGION):
        rows = PICTURE.reshape(-1, 4) if region is None else PICTURE[0][region[0, ..., 0] == 1]
        gram = objectives.gram(PICTURE, region)[0]
        np.testing.assert_allclose(gram, rows.T @ rows / len(rows), rtol=1e-5)
        found = objectives.mean_and_deviation(PICTURE, region)
        np.testing.assert_allclose(found, [rows.mean(axis=0), rows.std(axis=0)], rtol=1e-4)


@pytest.mark.parametrize("name", objectives.STYLE_STATISTICS)
def test_style_loss_is_relative_to_the_painting(name):
    statistic = objectives.STYLE_STATISTICS[name]
    target = np.asarray(statistic(OTHER))
    found = np.asarray(statistic(PICTURE, REGION))
    expected = np.sum((found - target) ** 2) / np.sum(target**2)
    loss = objectives.style_loss({"a": PICTURE}, {"a": target}, statistic, {"a": REGION})
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(objectives.style_loss({"a": OTHER}, {"a": target}, statistic)) == pytest.approx(0, abs=1e-9)
