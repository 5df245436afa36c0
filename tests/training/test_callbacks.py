import os

import keras
import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.training.callbacks import Improvement, Progress, StopOnNaN
from magstyle.training.model import Sample
from magstyle.training.saving import SaveAndResume
from tests.training import small


def test_a_training_that_ends_in_nan_keeps_the_last_checkpoint_from_which_it_can_go_on(batch, tmp_path):
    model = small.training()
    saving = SaveAndResume(tmp_path, model, save_interval_secs=0)
    batches = {name: np.concatenate([value] * 4) for name, value in batch.items()}
    gamma = model.transformer.trainable_variables[1]

    def ruin(step, logs):  # The weights of step 3 are finite, and what the network makes of them is not.
        if step == 2:
            gamma.assign(gamma * 0 + 3e38)

    ruin_at_3 = keras.callbacks.LambdaCallback(on_train_batch_end=ruin)
    with pytest.raises(InputError, match="the loss was nan at step 4; lower learning_rate, or") as error:
        model.fit(batches, batch_size=2, shuffle=False, verbose=0, callbacks=[StopOnNaN(), ruin_at_3, saving])
    assert error.value.arguments == ("learning_rate", "clip_gradient_norm")
    saving.drop()
    assert sorted(os.listdir(tmp_path)) == ["model-000001.keras", "model-000002.keras", "training_state.npz"]
    resumed = small.training()
    assert SaveAndResume(tmp_path, resumed).step == 2
    resumed.fit(batch, verbose=0, callbacks=[StopOnNaN()])


def test_weights_that_are_not_finite_are_not_saved_at_the_end_either(batch, tmp_path):
    model = small.training()
    saving = SaveAndResume(tmp_path, model, save_interval_secs=1000)
    kernel = model.transformer.trainable_variables[0]
    ruin = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: kernel.assign(kernel * np.inf))
    with pytest.raises(InputError, match="some weights were NaN or infinite at step 1; lower learning_rate"):
        model.fit(batch, verbose=0, callbacks=[ruin, saving])
    assert os.listdir(tmp_path) == []


def test_weights_that_are_no_numbers_stop_the_training_whatever_the_loss():
    model = small.training()
    stop = StopOnNaN()
    stop.set_model(model)
    logs = {"total_loss": np.ones(2)}
    stop.on_train_batch_end(0, logs)
    beta = model.transformer.trainable_variables[-1]
    beta.assign(beta * np.nan)
    with pytest.raises(InputError, match="the loss was nan at step 0; lower learning_rate"):
        stop.on_train_batch_end(0, logs)


def test_the_time_left_is_not_that_of_the_first_step_which_was_compiled(monkeypatch):
    progress = Progress(0, 40)
    progress.bar.start_t = progress.bar.last_print_t = 0
    progress.bar._time = lambda: 100
    logs = {f"total{name}_loss": np.ones(1) for name in ("", "_content", "_style")}
    progress.on_train_batch_end(0, logs)
    assert "1/40" in str(progress.bar) and "<?" in str(progress.bar)
    progress.on_train_batch_begin(1)
    progress.bar._time = lambda: 102
    progress.on_train_batch_end(1, logs)
    assert "2/40" in str(progress.bar) and "<01:16" in str(progress.bar)
    progress.close()


def test_a_fine_tuning_says_how_much_closer_it_has_come(batch):
    model = small.training()
    samples = [
        Sample(name, image, np.array([label]))
        for label, (name, image) in enumerate(zip("ab", batch["image"], strict=True))
    ]
    improvement = Improvement(batch["image"][0], samples)
    improvement.set_model(model)
    improvement.on_train_begin()
    # Of a photo that is painted as it is.
    model.stylized = lambda images, goals, training=None: images
    improvement.on_train_end()
    lines = str(improvement).splitlines()
    assert [line.split(":")[0] for line in lines] == ["a", "b"]
    assert all(line.endswith(" at first, 1.00 now") and "loss 1.00" not in line for line in lines)
