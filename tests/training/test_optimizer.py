import keras
import numpy as np
import pytest

from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from tests.training import numpy_adam, small


def test_fifty_steps_are_those_of_adam_with_five_times_the_rate_for_the_styles():
    # Keras has 0.999 in float32 for the bias correction, whatever the variables are in: 1 - 0.999 is off by 1e-5.
    assert numpy_adam.difference(steps=50) < 5e-5


def test_a_training_moves_the_styles_at_a_rate_of_their_own(batch):
    """The first step of Adam is of the length of the learning rate, wherever there is a gradient."""
    model = small.training(optimizer=StyleAdam(1e-3, style_scale=5.0, epsilon=1e-15))
    before = small.weights_of(model)
    model.train_on_batch(batch)
    steps = {"kernel": 0.0, "gamma": 0.0, "beta": 0.0}
    for variable, old, new in zip(model.transformer.variables, before, small.weights_of(model), strict=True):
        steps[variable.name] = max(steps[variable.name], np.abs(new - old).max())
    assert steps == pytest.approx({"kernel": 1e-3, "gamma": 5e-3, "beta": 5e-3}, rel=1e-2)


def test_the_learning_rate_falls_to_nothing_at_the_end():
    rate = DecayAtEnd(0.5, train_steps=10, decay_steps=4)
    found = [float(rate(keras.ops.convert_to_tensor(step))) for step in (0, 6, 7, 8, 9, 10)]
    expected = [0.5 * (1 + np.cos(np.pi * part)) / 2 for part in (0, 0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_an_optimizer_can_be_written_down_and_read_back():
    optimizer = StyleAdam(DecayAtEnd(0.5, train_steps=10, decay_steps=4), style_scale=5.0, epsilon=1e-8, clipnorm=2.0)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(copy, StyleAdam)
    assert (copy.style_scale, copy.epsilon, copy.clipnorm) == (5.0, 1e-8, 2.0)
    schedule = copy.get_config()["learning_rate"]
    assert schedule == keras.saving.serialize_keras_object(DecayAtEnd(0.5, train_steps=10, decay_steps=4))


@pytest.mark.parametrize("learning_rate", [1e-2, DecayAtEnd(1e-2, train_steps=4, decay_steps=2)])
def test_a_model_that_was_saved_with_its_optimizer_trains_on_as_if_nothing_had_happened(batch, tmp_path, learning_rate):
    network = small.transformer()
    network.compile(StyleAdam(learning_rate, style_scale=5.0), loss="mse", run_eagerly=True)
    photos = [batch["image"], np.eye(2, dtype=np.float32)]
    for _ in range(2):
        network.train_on_batch(photos, batch["image"])
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for model in (network, loaded):
        for _ in range(2):
            model.train_on_batch(photos, batch["image"])
    for expected, value in zip(network.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
