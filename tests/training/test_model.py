import dataclasses
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from magstyle.losses import palette
from magstyle.training import devices
from magstyle.training.model import StyleTraining, batch_means
from magstyle.training.saving import SaveAndResume
from tests.training import small, trajectory

ROOT = pathlib.Path(__file__).parents[2]


def test_the_first_two_steps_are_magentas():
    """Every loss; `trajectory.STEPS` says why no more."""
    first, second = trajectory.deviations()
    assert first < 1e-4
    assert second < 1e-3


def test_a_step_follows_the_gradient_of_the_mean_of_all_losses(float64, batch):
    """By central differences, in a random direction of every variable.

    In float64 steps can be so small that hardly any relu opens or closes on the way.
    """
    rng = np.random.default_rng(0)
    options = {
        "style_coefficients": [1.0, 3.0],
        "total_variation": 10.0,
        "checkerboard": 10.0,
        "mesh": 1.0,
    }
    model = small.training(optimizer=keras.optimizers.SGD(1.0), run_eagerly=False, **options)
    variables = model.transformer.trainable_variables
    start = [value + rng.normal(0, 0.1, value.shape) for value in small.weights_of(model)]
    model.transformer.set_weights(start)
    model.train_on_batch(batch)
    gradients = [old - new for old, new in zip(start, small.weights_of(model), strict=True)]
    model.transformer.set_weights(start)

    def loss(variable, value):
        variable.assign(value)
        return np.mean(model.predict_on_batch(batch)["total_loss"])

    for variable, value, gradient in zip(variables, start, gradients, strict=True):
        step = 1e-7 * rng.normal(size=value.shape)
        difference = loss(variable, value + step) - loss(variable, value - step)
        variable.assign(value)
        assert difference == pytest.approx(2 * np.sum(gradient * step), rel=1e-6, abs=1e-15), variable.path


def test_the_same_code_trains_on_jax_without_tensorflow():
    pytest.importorskip("jax")
    result = run("tests.training.on_jax")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("jax: ")


def test_two_devices_that_stop_half_way_train_as_one():
    result = run("tests.training.on_two_devices")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 devices: ")


def run(module):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    command = [sys.executable, "-m", module]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def test_predict_gives_the_losses_image_by_image(batch):
    model = small.training()
    both = model.predict_on_batch(batch)
    for i in (0, 1):
        alone = model.predict_on_batch({name: value[i : i + 1] for name, value in batch.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(both[name][i], value[0], rtol=1e-4, err_msg=name)


def test_the_history_holds_numbers(batch):
    model = small.training()
    losses = model.predict_on_batch(batch)
    history = model.fit(batch, batch_size=2, epochs=2, shuffle=False, verbose=0).history
    assert set(history) == set(losses)
    for name, values in history.items():
        assert [type(value) for value in values] == [float, float]
        assert values[0] == pytest.approx(losses[name].mean(), rel=1e-4), name


def test_a_style_without_a_painting_stays_as_it_is_to_the_last_bit(batch):
    network = small.transformer(("rain", "wave", "snow", "scream"))
    model = small.training(network, styles=[3, 1], run_eagerly=False)
    before = small.weights_of(model)
    for _ in range(2):
        model.train_on_batch(batch)
    for variable, old, new in zip(network.variables, before, small.weights_of(model), strict=True):
        if variable.name in ("gamma", "beta"):
            np.testing.assert_array_equal(new[[0, 2]], old[[0, 2]])
        if variable.name == "gamma":
            assert np.all(new[[1, 3]] != old[[1, 3]])


def test_style_coefficients_multiply_the_style_loss_of_their_style(batch):
    model = small.training()
    plain = model.predict_on_batch(batch)
    loss_weights = dataclasses.replace(model.loss_weights, style_coefficients=[1.0, 5.0])
    weighted = StyleTraining(model.transformer, model.vgg, model.gram_matrices, loss_weights).predict_on_batch(batch)
    np.testing.assert_allclose(weighted["total_style_loss"], plain["total_style_loss"] * [1, 5], rtol=1e-5)
    np.testing.assert_allclose(weighted["style_loss/vgg_16/conv1"], plain["style_loss/vgg_16/conv1"], rtol=1e-5)


def test_the_style_weights_rise_from_a_hundredth_in_training_alone(batch, tmp_path):
    def share(losses):
        raw = np.array([losses[f"style_loss/vgg_16/{name}"] for name in ("conv1", "conv3")])
        return float(losses["total_style_loss"] / np.sum(raw) / 1e-4)

    def steps(model, count):
        return [share(batch_means(model.train_on_batch(batch, return_dict=True))) for _ in range(count)]

    model = small.training(style_ramp_steps=2)
    assert steps(model, 2) == pytest.approx([0.01, 0.1], rel=1e-4)
    SaveAndResume(tmp_path, model).save()
    resumed = small.training(style_ramp_steps=2)
    SaveAndResume(tmp_path, resumed)
    assert steps(resumed, 2) == pytest.approx([1, 1], rel=1e-4)
    losses = batch_means(small.training(style_ramp_steps=2).predict_on_batch(batch))
    assert share(losses) == pytest.approx(1, rel=1e-4)


def styles_training(**weights):
    paintings = np.random.default_rng(2).random((2, 32, 32, 3), np.float32)
    return small.training(palettes=palette(paintings), **weights)


@pytest.mark.parametrize("build", [styles_training, small.predictor_training, small.distillation])
def test_every_loss_is_the_same_in_bfloat16(build, batch):
    weights = {"total_variation": 0.1, "checkerboard": 100.0, "mesh": 0.1, "palette": 0.1}
    found = []
    for in_bfloat16 in (False, True):
        with devices.precision(in_bfloat16):
            training = build(**weights)
            found.append(training(small.batch_of_paintings() if training.goal == "painting" else batch))
    for name, value in found[0].items():
        assert found[1][name].dtype == value.dtype == "float32"
        # Some weights divide by distances between features, which this VGG has hardly any of in its third block.
        if not name.startswith(("weighted_", "total_")) or name == "total_variation_loss":
            np.testing.assert_allclose(found[1][name], value, rtol=0.05, atol=1e-4, err_msg=name)


def test_vgg_stays_as_it_is(batch):
    model = small.training()
    before = [value.copy() for value in model.vgg.get_weights()]
    model.train_on_batch(batch)
    for old, new in zip(before, model.vgg.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
