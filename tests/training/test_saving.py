import keras
import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from magstyle.training.saving import STATE, SaveAndResume
from tests.training import small


def test_a_training_goes_on_as_if_it_had_not_stopped(batch, tmp_path):
    straight, stopped = small.training(), small.training()
    for _ in range(4):
        straight.train_on_batch(batch)
    saving = SaveAndResume(tmp_path, stopped)
    for _ in range(2):
        stopped.train_on_batch(batch)
    saving.save()
    resumed = small.training()
    assert SaveAndResume(tmp_path, resumed).step == 2
    np.testing.assert_array_equal(resumed.position.numpy(), [3, 7])
    for _ in range(2):
        resumed.train_on_batch(batch)
    for expected, value in zip(small.weights_of(straight), small.weights_of(resumed), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, StyleAdam])
def test_the_state_has_the_names_that_trainings_begun_long_ago_have(batch, tmp_path, optimizer):
    """With other names, no training in anyone's folder would go on."""
    model = small.training(optimizer=optimizer(1e-3))
    model.train_on_batch(batch)
    SaveAndResume(tmp_path, model).save()
    convolutions = [
        *("contract_conv1", "contract_conv2", "contract_conv3"),
        *("residual_residual1_conv1", "residual_residual1_conv2"),
        *("expand_conv1_conv", "expand_conv2_conv", "expand_conv3_conv"),
    ]
    weights = {f"{name}/kernel" for name in convolutions}
    weights |= {f"{name}_instance_norm/{table}" for name in convolutions for table in ("gamma", "beta")}
    moments = {
        f"optimizer/{name.replace('/', '_')}_{moment}" for name in weights for moment in ("momentum", "velocity")
    }
    with np.load(tmp_path / STATE) as state:
        assert set(state) == {"style_names", "position", "optimizer/iteration", *weights, *moments}


def test_a_training_goes_on_with_another_learning_rate(batch, tmp_path):
    model = small.training()
    model.train_on_batch(batch)
    SaveAndResume(tmp_path, model).save()
    schedule = DecayAtEnd(1e-2, train_steps=10, decay_steps=4)
    for optimizer in (keras.optimizers.Adam(1e-2), StyleAdam(schedule)):
        resumed = small.training(optimizer=optimizer)
        assert SaveAndResume(tmp_path, resumed).step == 1
        assert float(resumed.optimizer.learning_rate) == pytest.approx(1e-2)


def test_the_latest_five_networks_stay(batch, tmp_path):
    model = small.training()
    saving = SaveAndResume(tmp_path, model)
    for _ in range(7):
        model.train_on_batch(batch)
        saving.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"model-00000{step}.keras" for step in (3, 4, 5, 6, 7)),
        "training_state.npz",
    ]


def test_checkpoints_are_sorted_by_number_and_no_other_file_goes(batch, tmp_path):
    others = {f"model-{name}.keras" for name in ("000001-best", "best", "1", "0999999", "2000000")}
    for name in others:
        (tmp_path / name).write_text("the user's own, or of another training")
    model = small.training()
    model.train_on_batch(batch)
    saving = SaveAndResume(tmp_path, model)
    for step in range(999_996, 1_000_003):
        if step == 1_000_000:  # Started again.
            saving = SaveAndResume(tmp_path, model)
        model.optimizer.iterations.assign(step)
        saving.save()
    kept = {f"model-{step}.keras" for step in range(999_998, 1_000_003)}
    assert {path.name for path in tmp_path.glob("*.keras")} == others | kept


def test_a_network_that_was_not_written_any_more_is_when_the_training_is_started_again(saved, batch):
    (saved / "model-000001.keras").unlink()
    model = small.training()
    saving = SaveAndResume(saved, model)
    saving.on_train_begin()
    assert saving.model_path.exists()
    loaded = keras.saving.load_model(saving.model_path)
    for value, expected in zip(loaded.get_weights(), small.weights_of(model), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"names": ("wave", "sunflowers")}, "holds a training of the styles wave, scream; choose another folder"),
        ({"filters": (4, 6, 12)}, "holds a training of a network of another size; choose another folder"),
    ],
)
def test_a_folder_of_another_training_is_refused(saved, other, sentence):
    with pytest.raises(InputError, match=sentence):
        SaveAndResume(saved, small.training(small.transformer(**other)))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no zip"])
def test_a_damaged_state_is_refused(saved, damage):
    state = saved / STATE
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(InputError, match=r"training_state\.npz: it is damaged; remove it to start from the beginning"):
        SaveAndResume(saved, small.training())


@pytest.mark.parametrize(
    "arrays", [{"style_names": 3.0}, {}, {"style_names": small.NAMES, "position": "text"}, {"style_names": [None]}]
)
def test_a_state_of_other_things_is_refused(tmp_path, arrays):
    np.savez(tmp_path / STATE, **arrays)
    with pytest.raises(InputError, match=r"training_state\.npz: it is damaged; remove it to start from the beginning"):
        SaveAndResume(tmp_path, small.training())


def test_a_state_that_grows_in_memory_is_refused_before_it_is_read(tmp_path):
    np.savez_compressed(tmp_path / STATE, style_names=["wave"], large=np.zeros(2**24))
    with pytest.raises(InputError, match=r"it asks for .* bytes of memory, but holds only"):
        SaveAndResume(tmp_path, small.training())


def test_a_state_that_cannot_be_read_now_is_not_called_damaged(tmp_path):
    (tmp_path / STATE).mkdir()
    with pytest.raises(InputError, match=r"training_state\.npz: Is a directory"):
        SaveAndResume(tmp_path, small.training())


@pytest.fixture
def saved(batch, tmp_path):
    """The folder of a training of one step."""
    model = small.training()
    model.train_on_batch(batch)
    SaveAndResume(tmp_path, model).save()
    return tmp_path
