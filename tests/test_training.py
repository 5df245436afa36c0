import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import trajectory

from magstyle.errors import InputError
from magstyle.models import vgg
from magstyle.models.transformer import StyleTransformer
from magstyle.training.callbacks import StopOnNaN
from magstyle.training.model import StyleTraining, batch_means
from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from magstyle.training.saving import STATE, SaveAndResume
from magstyle.training.transfer import freeze_convolutions, with_styles

TESTS = pathlib.Path(__file__).parent

# Units of the golden training whose input is so near to 0 that rounding decides whether its relu is open: which step,
# which relu of the step (ten of the transformer, then those of VGG) and which element. Magenta's float32 kernels and
# exact arithmetic decide differently here, and Adam's first steps, which are all of the same length, make a wholly
# different training of it.
KINKS = [
    *((0, 9, 23277), (0, 9, 62041), (0, 12, 27755), (0, 13, 113886)),
    *((1, 10, 86356), (1, 10, 103735), (1, 10, 104851), (1, 10, 339012), (1, 10, 352802), (1, 10, 425241)),
    *((1, 11, 98883), (1, 11, 119820), (1, 12, 148186)),
    *((1, 14, 8313), (1, 14, 27234), (1, 17, 25821), (1, 18, 17130)),
]


@pytest.fixture
def float64():
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield


def test_the_training_is_magentas_step_by_step(reference, float64, monkeypatch):
    """Every loss of six steps, in float64, where rounding decides nothing but what KINKS lists."""
    arrays = reference("training_trajectory")
    model, batches = trajectory.start(arrays, run_eagerly=True)
    history, calls = trajectory.History(), []

    def relu(x):
        step = len(history.steps)
        kinks = [element for s, call, element in KINKS if (s, call) == (step, calls.count(step))]
        calls.append(step)
        inputs = x.numpy().reshape(-1)
        assert np.all(np.abs(inputs[kinks]) < 1e-4)  # Where the features are of the order of 1.
        is_open = inputs > 0
        is_open[kinks] ^= True
        return x * is_open.reshape(x.shape)

    monkeypatch.setattr(tf.nn, "relu", relu)
    model.fit(batches, batch_size=2, shuffle=False, verbose=0, callbacks=[history])
    found = trajectory.deviations(arrays, history)
    # What a step adds is an error of ours; what grows from there is not.
    assert np.all(np.array(found) < [1e-5, 1e-5, 1e-4, 1e-3, 1e-3, 1e-3]), found


def test_the_training_in_float32_starts_as_magentas(reference):
    """Up to the step after which rounding matters; see KINKS."""
    arrays = reference("training_trajectory")
    model, batches = trajectory.start(arrays)
    history = trajectory.History()
    model.fit(batches, batch_size=2, shuffle=False, verbose=0, callbacks=[history])
    found = trajectory.deviations(arrays, history)
    assert len(found) == trajectory.STEPS
    assert found[0] < 1e-4
    assert found[1] < 1e-3


def test_the_same_code_trains_on_jax_without_tensorflow():
    pytest.importorskip("jax")
    result = python("training_on_jax.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("jax: ")


def test_two_devices_train_as_one(reference):
    result = python("training_on_two_devices.py", TESTS / "reference" / "training_trajectory.npz")
    assert result.returncode == 0, result.stderr
    one, two, difference = result.stdout.splitlines()
    assert one.startswith("1 devices: ") and two.startswith("2 devices: ")
    assert float(difference.split()[-1]) < 1e-4


def python(script, *args):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, TESTS / script, *args], capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.random((2, 32, 32, 3), np.float32),
        "label": np.array([0, 1], np.int32),
        "position": np.array([[3, 7], [3, 7]], np.int32),
    }


def small_training(
    learning_rate=1e-3,
    style_ramp_steps=0,
    names=("wave", "scream"),
    filters=(4, 6, 8),
    transformer=None,
    optimizer=None,
):
    keras.utils.set_random_seed(0)
    weights = vgg.random_weights(0)
    narrow = {}
    for name, value in weights.items():
        if "conv5" not in name:
            channels_in = 3 if "conv1_1" in name else 4
            narrow[name] = value[:, :, :channels_in, :4] if name.endswith("weights") else value[:4]
    network = vgg.build(narrow, ["vgg_16/conv1", "vgg_16/conv3"])
    rng = np.random.default_rng(0)
    grams = {name: rng.random((len(names), 4, 4)) for name in network.output}
    if transformer is None:
        transformer = StyleTransformer(
            len(names), filters=filters, expand_filters=(6, 4), residual_blocks=1, style_names=names
        )
    model = StyleTraining(
        transformer, network, grams, {"vgg_16/conv3": 1.0}, {"vgg_16/conv1": 1e-4, "vgg_16/conv3": 1e-4}
    )
    model.style_ramp_steps = style_ramp_steps
    model.compile(optimizer or keras.optimizers.Adam(learning_rate, epsilon=1e-8))
    return model


def weights_of(model):
    return [variable.numpy() for variable in model.transformer.variables]


def test_predict_gives_the_losses_image_by_image(batch):
    model = small_training()
    both = model.predict_on_batch(batch)
    for i in (0, 1):
        alone = model.predict_on_batch({name: value[i : i + 1] for name, value in batch.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(both[name][i], value[0], rtol=1e-4, err_msg=name)


def test_style_coefficients_multiply_the_style_loss_of_their_style(batch):
    model = small_training()
    plain = model.predict_on_batch(batch)
    weighted = StyleTraining(
        model.transformer, model.vgg, model.gram_matrices, model.content_weights, model.style_weights, [1.0, 5.0]
    ).predict_on_batch(batch)
    np.testing.assert_allclose(weighted["total_style_loss"], plain["total_style_loss"] * [1, 5], rtol=1e-5)
    np.testing.assert_allclose(weighted["style_loss/vgg_16/conv1"], plain["style_loss/vgg_16/conv1"], rtol=1e-5)


def test_the_style_weights_rise_from_a_hundredth_in_training_alone(batch, tmp_path):
    def share(losses):
        raw = np.array([losses[f"style_loss/vgg_16/{name}"] for name in ("conv1", "conv3")])
        return float(losses["total_style_loss"] / np.sum(raw) / 1e-4)

    def steps(model, count):
        return [share(batch_means(model.train_on_batch(batch, return_dict=True))) for _ in range(count)]

    model = small_training(style_ramp_steps=2)
    assert steps(model, 2) == pytest.approx([0.01, 0.1], rel=1e-4)
    SaveAndResume(tmp_path, model).save()
    resumed = small_training(style_ramp_steps=2)
    SaveAndResume(tmp_path, resumed)
    assert steps(resumed, 2) == pytest.approx([1, 1], rel=1e-4)
    losses = batch_means(small_training(style_ramp_steps=2).predict_on_batch(batch))
    assert share(losses) == pytest.approx(1, rel=1e-4)


def test_the_styles_learn_at_a_rate_of_their_own(batch):
    moves = {}
    for scale in (1.0, 5.0):
        model = small_training(optimizer=StyleAdam(1e-3, scale, epsilon=1e-15))
        before = weights_of(model)
        model.train_on_batch(batch)
        moves[scale] = [np.abs(new - old).max() for new, old in zip(weights_of(model), before, strict=True)]
    seen = []
    for variable, one, five in zip(model.transformer.variables, moves[1.0], moves[5.0], strict=True):
        if one > 0.9e-3:  # Where Adam's epsilon plays no part.
            assert five == pytest.approx(one if variable.name == "kernel" else 5 * one, rel=1e-2), variable.path
            seen.append(variable.name)
    assert set(seen) == {"kernel", "gamma", "beta"}


def test_the_learning_rate_falls_to_nothing_at_the_end():
    rate = DecayAtEnd(0.5, train_steps=10, decay_steps=4)
    found = [float(rate(keras.ops.convert_to_tensor(step))) for step in (0, 6, 7, 8, 9, 10)]
    expected = [0.5 * (1 + np.cos(np.pi * part)) / 2 for part in (0, 0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_training_goes_on_with_another_learning_rate(batch, tmp_path):
    model = small_training(learning_rate=1e-3)
    model.train_on_batch(batch)
    SaveAndResume(tmp_path, model).save()
    schedule = DecayAtEnd(1e-2, train_steps=10, decay_steps=4)
    for optimizer in (keras.optimizers.Adam(1e-2), StyleAdam(schedule)):
        resumed = small_training(optimizer=optimizer)
        assert SaveAndResume(tmp_path, resumed).step == 1
        assert float(resumed.optimizer.learning_rate) == pytest.approx(1e-2)


def test_vgg_stays_as_it_is(batch):
    model = small_training()
    before = [value.copy() for value in model.vgg.get_weights()]
    model.train_on_batch(batch)
    for old, new in zip(before, model.vgg.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_new_styles_start_from_the_mean_and_leave_the_convolutions_alone(small_model, batch):
    transformer = with_styles(small_model, ["rain", "snow"])
    freeze_convolutions(transformer)
    assert transformer.style_names == ("rain", "snow")
    for scope in small_model.scopes:
        old, new = small_model.parameters(scope), transformer.parameters(scope)
        np.testing.assert_array_equal(old["kernel"], new["kernel"])
        for name in ("gamma", "beta"):
            np.testing.assert_allclose(new[name], np.stack([old[name].numpy().mean(0)] * 2), rtol=1e-6)
    model = small_training(transformer=transformer)
    before = {scope: {k: v.numpy() for k, v in transformer.parameters(scope).items()} for scope in transformer.scopes}
    for _ in range(2):
        model.train_on_batch(batch)
    for scope in transformer.scopes:
        after = transformer.parameters(scope)
        np.testing.assert_array_equal(after["kernel"], before[scope]["kernel"])
        assert np.any(after["gamma"].numpy() != before[scope]["gamma"]), scope
        if scope != "residual/residual1/conv2":  # What it adds, the next normalisation takes away again.
            assert np.any(after["beta"].numpy() != before[scope]["beta"]), scope


def test_a_training_goes_on_as_if_it_had_not_stopped(batch, tmp_path):
    straight = small_training()
    stopped = small_training()
    stopped.transformer.set_weights(straight.transformer.get_weights())
    for _ in range(4):
        straight.train_on_batch(batch)
    checkpoints = SaveAndResume(tmp_path, stopped)
    for _ in range(2):
        stopped.train_on_batch(batch)
    checkpoints.save()
    resumed = small_training()
    assert SaveAndResume(tmp_path, resumed).step == 2
    np.testing.assert_array_equal(resumed.position.numpy(), [3, 7])
    for _ in range(2):
        resumed.train_on_batch(batch)
    for expected, value in zip(weights_of(straight), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_the_latest_five_networks_stay(batch, tmp_path):
    model = small_training()
    checkpoints = SaveAndResume(tmp_path, model)
    for _ in range(7):
        model.train_on_batch(batch)
        checkpoints.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"model-00000{step}.keras" for step in (3, 4, 5, 6, 7)),
        "training_state.npz",
    ]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"names": ("wave", "sunflowers")}, "holds a training of the styles wave, scream; choose another folder"),
        ({"filters": (4, 6, 12)}, "holds a training of a network of another size; choose another folder"),
    ],
)
def test_a_folder_of_another_training_is_refused(batch, tmp_path, other, sentence):
    model = small_training()
    checkpoints = SaveAndResume(tmp_path, model)
    model.train_on_batch(batch)
    checkpoints.save()
    with pytest.raises(InputError, match=sentence):
        SaveAndResume(tmp_path, small_training(**other))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no zip"])
def test_a_damaged_state_is_refused(batch, tmp_path, damage):
    model = small_training()
    checkpoints = SaveAndResume(tmp_path, model)
    model.train_on_batch(batch)
    checkpoints.save()
    state = tmp_path / STATE
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(InputError, match=r"training_state\.npz: it is damaged; remove it to start from the beginning"):
        SaveAndResume(tmp_path, small_training())


def test_a_loss_that_is_no_number_stops_the_training_before_it_is_saved(batch, tmp_path):
    model = small_training()
    checkpoints = SaveAndResume(tmp_path, model, save_interval_secs=0)
    good = {name: np.concatenate([value, value]) for name, value in batch.items()}
    bad = {name: value.copy() for name, value in good.items()}
    bad["image"][2:] = np.nan
    with pytest.raises(InputError, match="the loss was nan at step 2; lower learning_rate"):
        model.fit(bad, batch_size=2, shuffle=False, verbose=0, callbacks=[StopOnNaN(), checkpoints])
    assert SaveAndResume(tmp_path, small_training()).step == 1


def test_weights_that_are_no_numbers_stop_the_training_whatever_the_loss(batch):
    model = small_training()
    stop = StopOnNaN()
    stop.set_model(model)
    logs = {"total_loss": np.ones(2)}
    stop.on_train_batch_end(0, logs)
    beta = model.transformer.trainable_variables[-1]
    beta.assign(beta * np.nan)
    with pytest.raises(InputError, match="the loss was nan at step 0; lower learning_rate"):
        stop.on_train_batch_end(0, logs)
