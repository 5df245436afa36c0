"""Keeps a training in a folder, so that it can go on from there."""

import os
import pathlib
import re
import time

import keras
import numpy as np

from magstyle import files
from magstyle.errors import InputError
from magstyle.training.model import StyleTraining

STATE = "training_state.npz"
CHECKPOINTS_KEPT = 5
_MODEL = re.compile(r"model-(\d{6}|[1-9]\d{6,})\.keras")


class SaveAndResume(keras.callbacks.Callback):
    """Saves a training in a folder; started again, it goes on from there.

    Each save replaces `training_state.npz` (network, optimizer, position in the photos) and adds `model-STEP.keras`,
    the network alone; the latest five that this training wrote are kept, and no other file is touched. A file is
    complete or not there at all; if the second is missing when the training is started again, it is written then.
    (Keras's BackupAndRestore counts steps instead of seconds, overwrites its file in place, and forgets the position in
    the photos.)

    Args:
        folder: the folder, made if it is missing.
        model: the compiled model; a training in the folder is restored into it.
        save_interval_secs: the shortest time between two saves, in seconds; there is one more at the end.

    Raises:
        InputError: if the folder holds another training or a damaged one, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, model: StyleTraining, save_interval_secs: float = 15):
        super().__init__()
        self.set_model(model)
        self.folder = files.make_folder(folder)
        self.save_interval_secs = save_interval_secs
        self._saved_step: int | None = None
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
        if time.monotonic() - self._saved_at >= self.save_interval_secs:
            self.save()
            self._saved_at = time.monotonic()

    def on_train_end(self, logs=None):
        # When a dataset ends, TensorFlow also counts the step that found no batch.
        if self.step > self._made:
            self.model.optimizer.iterations.assign(self._made)
        self.save()

    def save(self) -> None:
        """Writes those of the two files of this step that are not there yet."""
        step, path = self.step, self.model_path
        if step == 0 or (step == self._saved_step and path.exists()):
            return
        if step != self._saved_step:
            state = {name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables().items()}
            with files.replacing(self.folder / STATE) as temporary:
                np.savez(temporary, style_names=self.model.transformer.style_names, **state)
        with files.replacing(path) as temporary:
            self.model.transformer.save(temporary)
        self._saved_step = step
        self._models = [*(model for model in self._models if model != path), path]
        for old in self._models[:-CHECKPOINTS_KEPT]:
            old.unlink(missing_ok=True)
        self._models = self._models[-CHECKPOINTS_KEPT:]

    def restore(self) -> None:
        """Reads the training that the folder holds, if any, into the model."""
        path = self.folder / STATE
        if not path.exists():
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
    try:
        with np.load(path) as arrays:
            state = dict(arrays)
        names = [str(name) for name in state.pop("style_names")]
        if not all(np.issubdtype(value.dtype, np.number) for value in state.values()):
            raise ValueError("text where there should be numbers")
    except Exception as error:  # Zip, zlib and NumPy each raise their own; all mean the same to the user.
        # A disk that cannot be read now may work tomorrow, so nobody is told to remove the file for that.
        reason = getattr(error, "strerror", None) or "it is damaged; remove it to start from the beginning"
        raise InputError(f"cannot read {path}: {reason}") from error
    return names, state
