import numpy as np
import pytest

from magstyle.painting.colors import match_color, preserve_color


def colors(seed):
    """Blotches of some colours, so dull that no map brings them outside [0, 1]."""
    rng = np.random.default_rng(seed)
    return 0.5 + 0.1 * np.clip(rng.standard_normal((30, 20, 3)) @ rng.random((3, 3)), -3, 3)


def test_preserved_colours_are_those_of_the_photo_in_the_light_of_the_painting():
    rng = np.random.default_rng(0)
    photo, stylized = rng.uniform(0.4, 0.6, (2, 8, 8, 3)).astype(np.float32)
    result = preserve_color(photo, stylized)

    def yiq(image):
        return image @ np.array([[0.299, 0.596, 0.211], [0.587, -0.274, -0.523], [0.114, -0.322, 0.312]])

    np.testing.assert_allclose(yiq(result)[..., 0], yiq(stylized)[..., 0], atol=1e-5)
    np.testing.assert_allclose(yiq(result)[..., 1:], yiq(photo)[..., 1:], atol=1e-5)
    assert preserve_color(np.zeros((1, 1, 3)), np.ones((1, 1, 3))).max() <= 1


def test_matched_colours_have_the_mean_and_the_covariance_of_the_reference():
    image, reference = colors(0), 0.4 + 0.2 * colors(1)[:9]
    found = match_color(image, reference)
    assert found.dtype == np.float32 and found.shape == image.shape
    found, reference = found.reshape(-1, 3), reference.reshape(-1, 3)
    np.testing.assert_allclose(found.mean(axis=0), reference.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.cov(reference.T, bias=True), atol=1e-6)


def test_an_image_keeps_its_own_colours():
    image = colors(0)
    np.testing.assert_allclose(match_color(image, image), image, atol=1e-5)


@pytest.mark.parametrize("grey", ["image", "reference", "both"])
def test_greys_and_single_colours_have_no_variance_to_match(grey):
    flat, image = np.full((5, 4, 3), [0.2, 0.4, 0.6]), colors(0)
    given = {"image": (flat, image), "reference": (image, flat), "both": (flat, np.full((2, 2, 3), 0.5))}[grey]
    found = match_color(*given)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.mean(axis=(0, 1)), given[1].mean(axis=(0, 1)), atol=1e-3)
