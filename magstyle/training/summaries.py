"""Shows a training in TensorBoard: a curve for every loss, and pictures."""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.errors import InputError
from magstyle.training.model import Sample, batch_means

# Pictures take a thousand times the space of losses.
_POINTS_PER_PICTURE = 10


class Summaries(keras.callbacks.Callback):
    """Writes losses and learning rate every save_summaries_secs, and every tenth time a photo painted in a style.

    Both are also written for the first and the last step. (Keras's TensorBoard callback counts steps instead of
    seconds, and puts "epoch_" or "batch_" before the names.)

    Args:
        folder: the folder that TensorBoard reads.
        photo: [H, W, 3] in [0, 1], painted in the styles in turn, and shown beside the painting and its picture.
        samples: the paintings of these styles.
        step: the number of steps that the model has been trained already.
        learning_rate: learning rate of the training, a float or a schedule.
        save_summaries_secs: seconds between two points of the curves; 0 writes every step.

    Raises:
        InputError: from `fit`, if the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        photo: np.ndarray,
        samples: Sequence[Sample],
        step: int,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        save_summaries_secs: float = 15,
    ):
        super().__init__()
        self.writer = tf.summary.create_file_writer(files.for_tensorflow(folder))
        self.photo = photo
        self.samples = samples
        # The losses are those before the step that has just been made, so the first is of step 0.
        self.step = step - 1
        self.learning_rate = learning_rate
        self.save_summaries_secs = save_summaries_secs
        self.points = 0
        self._written_at = -math.inf
        # What is still to be written for the latest step: its losses, and whether a picture is missing.
        self._losses = None
        self._unpainted = False

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._losses, self._unpainted = logs, True
        if time.monotonic() - self._written_at >= self.save_summaries_secs:
            self._write(picture=self.points % _POINTS_PER_PICTURE == 0)
            self.points += 1
            self._written_at = time.monotonic()

    def on_train_end(self, logs=None):
        self._write(picture=True)

    def _write(self, picture: bool) -> None:
        with writing(self.writer, self.step):
            if self._losses is not None:
                rate = self.learning_rate(self.step) if callable(self.learning_rate) else self.learning_rate
                for name, value in {**batch_means(self._losses), "learning_rate": float(rate)}.items():
                    tf.summary.scalar(name, value)
                self._losses = None
            if picture and self._unpainted:
                self._write_picture()
                self._unpainted = False

    def _write_picture(self) -> None:
        name, painting, goal = self.samples[self.points // _POINTS_PER_PICTURE % len(self.samples)]
        # A plain call: predict would wait for the other workers, which paint no pictures.
        inputs = [keras.ops.convert_to_tensor(value) for value in (self.photo[None], goal)]
        picture = keras.ops.convert_to_numpy(self.model.stylized(*inputs))
        tf.summary.image("photo", self.photo[None])
        if painting is None:
            painting = keras.ops.convert_to_numpy(self.model.targets(*inputs).pictures)[0]
        tf.summary.image("style", painting[None], description=name)
        tf.summary.image("result", picture, description=name)


@contextlib.contextmanager
def writing(writer: tf.summary.SummaryWriter, step: int) -> Iterator[None]:
    """Everything written to `tf.summary` inside the block is on the disk after it.

    Raises:
        InputError: if the disk is full, or the folder gone.
    """
    try:
        with writer.as_default(step):
            yield
        writer.flush()
    except tf.errors.OpError as error:
        raise InputError("cannot write the summaries for TensorBoard; is the disk full?") from error
