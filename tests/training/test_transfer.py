import numpy as np

from magstyle.training.transfer import freeze_convolutions, with_styles
from tests.training import small


def test_new_styles_start_from_the_mean_of_all_there_were_and_keep_the_convolutions(small_model):
    new = with_styles(small_model, ["wave", "rain"])
    assert new.style_names == ("wave", "rain")
    for old, started in both(small_model, new):
        np.testing.assert_array_equal(old["kernel"], started["kernel"])
        for name in ("gamma", "beta"):
            np.testing.assert_allclose(started[name], np.stack([old[name].mean(axis=0)] * 2), rtol=1e-6)


def test_styles_of_the_same_name_start_from_where_they_were_if_asked_for(small_model):
    assert small_model.style_names == ("scream", "wave", "starry_night")
    for old, started in both(small_model, with_styles(small_model, ["wave", "rain", "scream"], match_names=True)):
        np.testing.assert_array_equal(old["kernel"], started["kernel"])
        for name in ("gamma", "beta"):
            wave, rain, scream = started[name]
            np.testing.assert_array_equal([scream, wave], old[name][:2])
            np.testing.assert_allclose(rain, old[name].mean(axis=0), rtol=1e-6)


def test_a_trained_network_stays_as_it_is(small_model, batch):
    before = small_model.get_weights()
    small.training(with_styles(small_model, ["wave", "rain"], match_names=True)).train_on_batch(batch)
    for old, new in zip(before, small_model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_all_weights_of_the_new_network_are_to_be_trained_whatever_was_frozen(small_model):
    frozen = with_styles(small_model, ["wave", "rain"])
    freeze_convolutions(frozen)
    frozen.trainable = False
    new = with_styles(frozen, ["snow"])
    assert len(new.trainable_variables) == 3 * len(new.scopes)


def test_with_frozen_convolutions_only_the_styles_learn(small_model, batch):
    network = with_styles(small_model, ["rain", "snow"])
    freeze_convolutions(network)
    model = small.training(network)
    before = [old for _, old in both(network, network)]
    for _ in range(2):
        model.train_on_batch(batch)
    for scope, old, (_, new) in zip(network.scopes, before, both(network, network), strict=True):
        np.testing.assert_array_equal(new["kernel"], old["kernel"])
        assert np.any(new["gamma"] != old["gamma"]), scope
        if scope != "residual/residual1/conv2":  # What it adds, the next normalisation takes away again.
            assert np.any(new["beta"] != old["beta"]), scope


def both(old, new):
    """The parameters of two networks, scope by scope, as arrays."""
    for scope in old.scopes:
        yield tuple({name: v.numpy() for name, v in network.parameters(scope).items()} for network in (old, new))
