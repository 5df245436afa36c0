"""Keeps a training in a folder, so that it can go on from there."""

import contextlib
import os
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from magstyle import files
from magstyle.errors import InputError
from magstyle.training.callbacks import diverged
from magstyle.training.model import Training

STATE = "training_state.npz"
CHECKPOINTS_KEPT = 5
_MODEL = re.compile(r"model-(\d{6}|[1-9]\d{6,})\.keras")


class _NoMoreSteps(Exception):  # noqa: N818  It is no error.
    pass


class SaveAndResume(keras.callbacks.Callback):
    """Saves a training in a folder; started again, it goes on from there.

    Each save replaces `training_state.npz` (network, optimizer, position in the photos) and adds `model-STEP.keras`,
    the network alone; the latest five that this training wrote are kept, and no other file is touched. A file is
    complete or not there at all; if the second is missing when the training is started again, it is written then.

    A training can end in NaN, and go on only from where the next step is finite. So files keep their temporary names
    until one more step has been made; list `StopOnNaN` before. (Keras's BackupAndRestore counts steps instead of
    seconds, overwrites its file in place, and forgets the position in the photos.)

    Args:
        folder: the folder, made if it is missing.
        model: the compiled model; a training in the folder is restored into it.
        save_interval_secs: the shortest time between two saves, in seconds; there is one more at the end.

    Raises:
        InputError: if the folder holds another training or a damaged one, or cannot be written; from `fit`, for weights
            that are not finite at its end.
    """

    def __init__(self, folder: str | os.PathLike, model: Training, save_interval_secs: float = 15):
        super().__init__()
        self.set_model(model)
        self.folder = files.make_folder(folder)
        self.save_interval_secs = save_interval_secs
        self._saved_step: int | None = None
        self._unproved = contextlib.ExitStack()
        self._models: list[pathlib.Path] = []
        model.optimizer.build(model.trainable_variables)
        self.restore()

    @property
    def step(self) -> int:
        """The number of steps that the model has been trained."""
        return int(self.model.optimizer.iterations.numpy())

    @property
    def model_path(self) -> pathlib.Path:
        """The file of the network of this step, once it is saved."""
        return self._model_path(self.step)

    def on_train_begin(self, logs=None):
        self.save()
        self._made = self.step
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self._made += 1
        self._unproved.close()  # This step has gone well.
        if time.monotonic() - self._saved_at >= self.save_interval_secs:
            self._unproved.enter_context(self._writing())
            self._saved_at = time.monotonic()

    def on_train_end(self, logs=None):
        # When a dataset ends, TensorFlow also counts the step that found no batch.
        if self.step > self._made:
            self.model.optimizer.iterations.assign(self._made)
        self.save()

    def save(self) -> None:
        """Writes those of the two files of this step that are not there yet, if the weights are finite."""
        if not all(np.isfinite(value).all() for value in self._state().values()):
            raise diverged("some weights were NaN or infinite", self.model)
        self._unproved.close()
        with self._writing():
            pass

    def drop(self) -> None:
        """Removes files that wait for one more step, which does not come."""
        with contextlib.suppress(_NoMoreSteps), self._unproved:
            raise _NoMoreSteps

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Writes those files of this step that are not there yet; they get their names at the end of the block."""
        step, path = self.step, self.model_path
        if step == 0 or (step == self._saved_step and os.path.exists(path)):
            yield
            return
        # The state gets its name first: without the network, a training goes on all the same.
        with files.replacing(path) as network, contextlib.ExitStack() as stack:
            if step != self._saved_step:
                temporary = stack.enter_context(files.replacing(self.folder / STATE))
                state: dict[str, Any] = {"style_names": self.model.transformer.style_names, **self._state()}
                np.savez(temporary, **state)
            self.model.transformer.save(network)
            yield
        self._saved_step = step
        self._models = [*(model for model in self._models if model != path), path]
        for old in self._models[:-CHECKPOINTS_KEPT]:
            old.unlink(missing_ok=True)
        self._models = self._models[-CHECKPOINTS_KEPT:]

    def _state(self) -> dict[str, np.ndarray]:
        return {name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables().items()}

    def restore(self) -> None:
        """Reads the training that the folder holds, if any, into the model."""
        path = self.folder / STATE
        if not os.path.exists(path):
            return
        names, state = _read(path)
        variables = self._variables()
        if names != list(self.model.transformer.style_names):
            raise InputError(f"{self.folder} holds a training of the styles {', '.join(names)}; choose another folder")
        if {name: value.shape for name, value in state.items()} != {name: v.shape for name, v in variables.items()}:
            raise InputError(f"{self.folder} holds a training of a network of another size; choose another folder")
        for name, variable in variables.items():
            variable.assign(state[name])
        self.model.steps.assign(self.step)
        self._saved_step = self.step
        self._models = self._models_up_to(self.step)

    def _models_up_to(self, last: int) -> list[pathlib.Path]:
        """The networks in the folder, by step; those with higher numbers belong to another training that was here."""
        names = filter(None, map(_MODEL.fullmatch, os.listdir(self.folder)))
        return [self._model_path(step) for step in sorted(int(name[1]) for name in names) if step <= last]

    def _model_path(self, step: int) -> pathlib.Path:
        return self.folder / f"model-{step:06d}.keras"

    def _variables(self) -> dict[str, keras.Variable]:
        model = self.model
        # The first part of an optimizer's paths is its own name, which Keras numbers. The learning rate is always the
        # one given now, even if the training began with another.
        names = [v.path.split("/", 1)[1] for v in model.optimizer.variables]
        optimizer = {
            f"optimizer/{name}": v
            for name, v in zip(names, model.optimizer.variables, strict=True)
            if name != "learning_rate"
        }
        return {**{v.path: v for v in model.transformer.variables}, **optimizer, "position": model.position}


def _read(path: pathlib.Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the styles, and the arrays by name, in a file of the state; an InputError if it is damaged."""
    files.check_regular(path)
    try:
        files.check_archive(path)
        with np.load(path) as arrays:
            state = dict(arrays)
        names = [str(name) for name in state.pop("style_names")]
        if not all(np.isfinite(value).all() for value in state.values()):  # Text raises a TypeError.
            raise ValueError("numbers that are not finite")
    except InputError:
        raise
    except Exception as error:  # Zip, zlib and NumPy each raise their own; all mean the same to the user.
        # A disk that cannot be read now may work tomorrow, so nobody is told to remove the file for that.
        reason = getattr(error, "strerror", None) or "it is damaged; remove it to start from the beginning"
        raise InputError(f"cannot read {path}: {reason}") from error
    return names, state
