import numpy as np
import pytest

from magstyle.data import images
from magstyle.models import vgg
from magstyle.optimization import deep_dream, jobs, pixels
from tests.samples import narrow_vgg, picture

IMAGE = images.to_float(picture(0, (48, 40)))
END_POINT = "vgg_19/conv3/conv3_1"


@pytest.fixture(scope="module")
def network():
    return vgg.build(narrow_vgg(19, (2, 2, 1)), [END_POINT])


@pytest.fixture
def dream(network):
    def call(channel=None, guide=None, report=None, **options):
        objective = deep_dream.dream_objective(network, {END_POINT: channel}, guide)
        job = jobs.DreamOptions(**{"octaves": 2, "steps": 6, **options})
        return deep_dream.dream(IMAGE, pixels.evaluation_of(objective), job, np.random.default_rng(0), report)

    return call


def features(network, image):
    return np.asarray(network(image[None])[END_POINT])[0]


def test_activations_rise_in_tiles_too_and_the_same_seed_dreams_the_same(dream, network):
    before = features(network, IMAGE).mean()
    for tile_size in (512, 24):
        told = []
        dreamed = dream(tile_size=tile_size, report=lambda _, terms, told=told: told.append(terms["activation"]))
        assert features(network, dreamed).mean() > 1.5 * before
        assert len(told) == 12 and told[-1] > told[0] > 0
    np.testing.assert_array_equal(dreamed, dream(tile_size=24))
    assert dreamed.shape == IMAGE.shape and dreamed.min() >= 0 and dreamed.max() <= 1


def test_a_channel_is_climbed_alone(dream, network):
    rise = features(network, dream(channel=2)).mean((0, 1)) / features(network, IMAGE).mean((0, 1))
    assert np.argmax(rise) == 2


def test_a_guide_is_what_the_picture_becomes_like(dream, network):
    guides = [images.to_float(picture(seed, (32, 32))) for seed in (1, 2)]
    guides[1][..., :2] = 0
    directions = [features(network, guide).reshape(-1, 8).max(axis=0) for guide in guides]
    one, two = (features(network, dream(guide=guide)).mean((0, 1)) for guide in guides)
    assert np.abs(one - two).max() > 0.01
    assert (one - two) @ (directions[0] / np.linalg.norm(directions[0])) > (one - two) @ (
        directions[1] / np.linalg.norm(directions[1])
    )


def test_the_middle_is_enlarged():
    ramp = np.linspace(0, 1, 60, dtype=np.float32)[None, :, None] * np.ones((40, 1, 3), np.float32)
    zoomed = deep_dream.zoomed(ramp, 2)
    assert zoomed.shape == ramp.shape
    np.testing.assert_allclose(zoomed[20, [0, -1], 0], [0.25, 0.75], atol=0.02)
    np.testing.assert_array_equal(deep_dream.zoomed(ramp, 1), ramp)
