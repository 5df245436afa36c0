import json

import numpy as np

from magstyle.painting import strokes
from tests.places import ROOT
from tests.samples import blotches

# The web page must agree on these; see tests/programs/test_build_page.py.
CASES = json.loads((ROOT / "tests" / "export" / "strokes_cases.json").read_text())


def test_sizes_and_enlarged_pictures_are_those_that_the_page_must_have():
    for case in CASES["painting_sizes"]:
        size, stroke_size = tuple(case["size"]), case["stroke_size"]
        assert strokes.painting_size(size, stroke_size) == tuple(case["painting_size"])
        assert strokes.finishing_size(size, stroke_size) == (case["finishing_size"] and tuple(case["finishing_size"]))
    for case in CASES["enlarged"]:
        picture, photo = (np.array(case[name], np.float32) / 255 for name in ("picture", "photo"))
        np.testing.assert_allclose(255 * strokes.enlarged(picture, photo), case["enlarged"], atol=0.51)


def test_a_picture_that_is_the_photo_gets_its_detail_back():
    photo = 0.2 + 0.6 * blotches(64, 96)
    small = strokes.resized(photo, (32, 48))
    plain = strokes.resized(small, (64, 96))
    error, plain_error = (np.abs(image - photo).mean() for image in (strokes.enlarged(small, photo), plain))
    assert error < 0.75 * plain_error


def test_a_negative_gets_negative_detail():
    photo = np.repeat(0.2 + 0.6 * blotches(64, 96)[..., :1], 3, axis=2)  # Grey: all of it is light.
    small = 1 - strokes.resized(photo, (32, 48))
    error = np.abs(strokes.enlarged(small, photo) - (1 - photo)).mean()
    assert error < 0.1 * np.abs(strokes.resized(small, (64, 96)) - (1 - photo)).mean()


def test_strokes_that_follow_nothing_of_the_photo_stay_as_they_are():
    flat = np.full((16, 24, 3), [0.2, 0.5, 0.7], np.float32)
    np.testing.assert_allclose(strokes.enlarged(flat, blotches(32, 48)), strokes.resized(flat, (32, 48)), atol=1e-6)
    light = np.full((32, 48, 3), 0.5, np.float32)
    np.testing.assert_allclose(
        strokes.enlarged(blotches(16, 24), light), strokes.resized(blotches(16, 24), (32, 48)), atol=1e-4
    )


def test_weights_stay_between_those_that_are_there():
    weights = np.repeat([[[-0.5, 2.0]], [[1.0, 0.0]]], 5, axis=0).reshape(2, 5, 2)
    scaled = strokes.averaged(weights, (7, 11))
    assert scaled.shape == (7, 11, 2)
    np.testing.assert_allclose([scaled.min(axis=(0, 1)), scaled.max(axis=(0, 1))], [[-0.5, 0], [1, 2]], atol=1e-6)
