"""A training is kept in a folder and goes on from there."""

import os
import pathlib
import re
import time
import zipfile

import keras
import numpy as np

from magstyle import files
from magstyle.errors import InputError
from magstyle.training.model import StyleTraining

STATE = "training_state.npz"
CHECKPOINTS_KEPT = 5


class SaveAndResume(keras.callbacks.Callback):
    """Keeps a training in a folder, so that it goes on from there whenever it is started again.

    Each save replaces `training_state.npz` (network, optimizer, position in the photos) and adds `model-STEP.keras`,
    the network alone; the latest five of those stay. A file is complete or not there at all. (Keras's BackupAndRestore
    counts steps instead of seconds, overwrites its file in place, and forgets where in the photos it was.)

    Args:
        folder: made if it is missing.
        model: the compiled model; what the folder holds is restored into it.
        save_interval_secs: at least so long between two saves; there is one more at the end.

    Raises:
        InputError: if the folder holds another training or a damaged one, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, model: StyleTraining, save_interval_secs: float = 15):
        super().__init__()
        self.set_model(model)
        self.folder = files.make_folder(folder)
        self.save_interval_secs = save_interval_secs
        model.optimizer.build(model.trainable_variables)
        self.restore()

    @property
    def step(self) -> int:
        """How many steps the model has been trained."""
        return int(self.model.optimizer.iterations.numpy())

    @property
    def model_path(self) -> pathlib.Path:
        """Where the network of this step is, once it is saved."""
        return self.folder / f"model-{self.step:06d}.keras"

    def on_train_begin(self, logs=None):
        files.remove_leftovers(self.folder, rf"{re.escape(STATE)}|model-\d+\.keras")
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._saved_at >= self.save_interval_secs:
            self.save()
            self._saved_at = time.monotonic()

    def on_train_end(self, logs=None):
        self.save()

    def save(self) -> None:
        """Writes both files, unless this step has them already."""
        if self.step == 0 or self.model_path.exists():
            return
        state = {name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables().items()}
        with files.replacing(self.folder / STATE) as temporary:
            np.savez(temporary, style_names=self.model.transformer.style_names, **state)
        with files.replacing(self.model_path) as temporary:
            self.model.transformer.save(temporary)
        for path in sorted(self.folder.glob("model-*.keras"))[:-CHECKPOINTS_KEPT]:
            path.unlink()

    def restore(self) -> None:
        """Reads what the folder holds, if anything, into the model."""
        path = self.folder / STATE
        if not path.exists():
            return
        try:
            with np.load(path) as arrays:
                state = dict(arrays)
            names = [str(name) for name in state.pop("style_names")]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"cannot read {path}: it is damaged; remove it to start from the beginning") from error
        variables = self._variables()
        if names != list(self.model.transformer.style_names):
            raise InputError(f"{self.folder} holds a training of the styles {', '.join(names)}; choose another folder")
        if {name: value.shape for name, value in state.items()} != {name: v.shape for name, v in variables.items()}:
            raise InputError(f"{self.folder} holds a training of a network of another size; choose another folder")
        for name, variable in variables.items():
            variable.assign(state[name])
        self.model.steps.assign(self.step)

    def _variables(self) -> dict[str, keras.Variable]:
        model = self.model
        # The first part of an optimizer's paths is its own name, which Keras numbers.
        # The learning rate is the one given now, also for what was begun with another.
        names = [v.path.split("/", 1)[1] for v in model.optimizer.variables]
        optimizer = {
            f"optimizer/{name}": v
            for name, v in zip(names, model.optimizer.variables, strict=True)
            if name != "learning_rate"
        }
        return {**{v.path: v for v in model.transformer.variables}, **optimizer, "position": model.position}
