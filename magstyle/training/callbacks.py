"""The progress bar of a training, how much it has helped, and the stop at NaN."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from tqdm import tqdm

from magstyle.errors import InputError
from magstyle.training.model import Sample, batch_means


class Progress(keras.callbacks.Callback):
    """A bar on stderr: steps, rate, time left and the three totals of the losses.

    Args:
        step: the number of steps that are done already.
        train_steps: the number of all steps.
    """

    def __init__(self, step: int, train_steps: int):
        super().__init__()
        self.bar = tqdm(initial=step, total=train_steps, unit="step", mininterval=1)
        self.bar.set_postfix_str("compiling the first step")

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self.bar.unpause()

    def on_train_batch_end(self, batch, logs=None):
        losses = batch_means(logs)
        totals = {"total": "total_loss", "content": "total_content_loss", "style": "total_style_loss"}
        self.bar.set_postfix({short: f"{losses[name]:.4g}" for short, name in totals.items()}, refresh=False)
        if batch == 0:  # Most of the first step was compiling: rate and time left are those of the steps that follow.
            self.bar.n += 1
            self.bar.initial = self.bar.last_print_n = self.bar.n
            self.bar.refresh()
        else:
            self.bar.update()

    def close(self) -> None:
        """Leaves the bar on its line, even after a training that failed."""
        self.bar.close()


class Improvement(keras.callbacks.Callback):
    """Measures how close the picture of a photo comes to each painting, before the first step and after the last one.

    Args:
        photo: [H, W, 3] in [0, 1].
        samples: the paintings.
    """

    def __init__(self, photo: np.ndarray, samples: Sequence[Sample]):
        super().__init__()
        self.photo = photo
        self.samples = samples

    def on_train_begin(self, logs=None):
        self._before = self._style_losses()

    def on_train_end(self, logs=None):
        self._after = self._style_losses()

    def __str__(self) -> str:
        """A line for each painting; its style loss is 1 for the photo as it is, and 0 for the painting's own style."""
        return "\n".join(
            f"{sample.name}: style loss {before:.2f} at first, {after:.2f} now"
            for sample, before, after in zip(self.samples, self._before, self._after, strict=True)
        )

    def _style_losses(self) -> list[float]:
        image = keras.ops.convert_to_tensor(self.photo[None])
        found = []
        for sample in self.samples:
            goal = keras.ops.convert_to_tensor(sample.goal)
            # A plain call, as `predict` would wait for the other workers.
            of_picture, of_photo = (
                self.model.losses_of(shown, image, goal)["total_style_loss"][0]
                for shown in (self.model.stylized(image, goal), image)
            )
            found.append(float(of_picture / of_photo))
        return found


class StopOnNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no longer finite. List it before `SaveAndResume`, so that this is not saved.

    Raises:
        InputError: from `fit`. (With Keras's TerminateOnNaN, `fit` returns as if all were well.)
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = batch_means(logs)["total_loss"]
        # In oneDNN, which TensorFlow uses on some CPUs, relu(NaN) is 0: the loss may be finite where weights are not.
        if not np.isfinite(keras.ops.convert_to_numpy(self.model.transformer.trainable_variables[-1])).all():
            loss = math.nan
        if not math.isfinite(loss):
            raise diverged(f"the loss was {loss}", self.model)


def diverged(what: str, model: keras.Model) -> InputError:
    """The error for a training whose numbers are no longer finite, and `what` says which."""
    return InputError(
        f"{what} at step {int(model.optimizer.iterations)}; lower learning_rate, or set clip_gradient_norm, and start "
        "again: it goes on from the last checkpoint",
        "learning_rate",
        "clip_gradient_norm",
    )
