import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.training.callbacks import StopOnNaN
from magstyle.training.saving import SaveAndResume
from tests.training import small


def test_a_loss_that_is_no_number_stops_the_training_before_it_is_saved(batch, tmp_path):
    model = small.training()
    saving = SaveAndResume(tmp_path, model, save_interval_secs=0)
    batches = {name: np.concatenate([value, value]) for name, value in batch.items()}
    batches["image"][2:] = np.nan
    with pytest.raises(InputError, match="the loss was nan at step 2; lower learning_rate, or") as error:
        model.fit(batches, batch_size=2, shuffle=False, verbose=0, callbacks=[StopOnNaN(), saving])
    assert error.value.arguments == ("learning_rate", "clip_gradient_norm")
    assert SaveAndResume(tmp_path, small.training()).step == 1


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
