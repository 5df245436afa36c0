"""Training: the model that `fit` trains, and the callbacks that keep what it learns.

Keras alone: the same code trains on the TensorFlow and JAX backends.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

import math
import os
import pathlib
import re
import time
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from tqdm import tqdm

from magstyle import files, losses
from magstyle.errors import InputError
from magstyle.models.layers import ConditionalInstanceNormalization
from magstyle.models.transformer import StyleTransformer

STATE = "training_state.npz"
CHECKPOINTS_KEPT = 5


class StyleTraining(keras.Model):
    """A style transformer beside its frozen loss network.

    Compile it with an optimizer alone. The losses are `total_loss`, `total_content_loss`, `total_style_loss`, and for
    every end point NAME `content_loss/NAME`, `weighted_content_loss/NAME`, `style_loss/NAME` and
    `weighted_style_loss/NAME`; with a total_variation_weight also `total_variation_loss`, with a
    checkerboard_weight `checkerboard_loss`. `predict` returns them image by image, and in `fit` callbacks see those of
    the latest batch, before its step; `batch_means` averages them.

    Args:
        transformer: the network to train.
        vgg: of `magstyle.models.vgg.build`, with every end point that has a weight.
        gram_matrices: of the paintings, [num_styles, C, C] by end point, for every end point of style_weights.
        content_weights, style_weights: one weight per end point that counts, at least one of each.
        style_coefficients: [num_styles], multiplies the style weights of each style; ones by default.
        total_variation_weight: of the total variation of the stylised image.
        checkerboard_weight: of its checkerboard loss.
        style_ramp_steps: in training, the style weights grow exponentially from a hundredth to the whole over so many
            steps, so that a network learns to keep the photo before it learns to paint it over; 0: no ramp.

    Call arguments:
        inputs: a dictionary of `image` [B, H, W, 3], RGB in [0, 1], sides multiples of 4; `label` [B], integers, the
            style of each image; and, where training is to be resumed, `position` [B, 2], where the stream of photos
            goes on after this batch.

    Returns:
        The losses, [B] each, by name.
    """

    def __init__(
        self,
        transformer: StyleTransformer,
        vgg: keras.Model,
        gram_matrices: Mapping[str, np.ndarray],
        content_weights: Mapping[str, float],
        style_weights: Mapping[str, float],
        style_coefficients: Sequence[float] | None = None,
        total_variation_weight: float = 0.0,
        checkerboard_weight: float = 0.0,
        style_ramp_steps: int = 0,
    ):
        super().__init__(name="style_training")
        self.transformer = transformer
        self.vgg = vgg
        # The targets need no deeper features than the content loss has.
        self.content_vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in content_weights})
        coefficients = np.ones(transformer.num_styles) if style_coefficients is None else style_coefficients
        self.style_coefficients = np.asarray(coefficients, keras.config.floatx())
        self.gram_matrices = {name: np.asarray(gram_matrices[name], keras.config.floatx()) for name in style_weights}
        self.content_weights = dict(content_weights)
        self.style_weights = dict(style_weights)
        self.total_variation_weight = total_variation_weight
        self.checkerboard_weight = checkerboard_weight
        self.style_ramp_steps = style_ramp_steps
        # (A loss added inside `call` would be lost between the replicas of tf.distribute, which share this object.)
        self.batch_mean = _BatchMean(name="batch_mean")
        # Not a step count: broken photos are skipped, so only the stream itself knows where it is.
        self.position = self.add_weight(
            (2,), "zeros", "int32", trainable=False, name="position", aggregation="only_first_replica"
        )
        # Of the ramp. (The optimizer counts too, but on JAX `call` sees the variables of the model alone.)
        self.steps = self.add_weight(
            (), "zeros", "int32", trainable=False, name="steps", aggregation="only_first_replica"
        )

    def call(self, inputs, training=None):
        images, labels = keras.ops.convert_to_tensor(inputs["image"]), keras.ops.convert_to_tensor(inputs["label"])
        styles = keras.ops.one_hot(labels, self.transformer.num_styles, dtype=keras.config.floatx())
        stylized = self.transformer([images, styles], training=training)
        scale = 1.0
        if training:
            if self.style_ramp_steps:
                progress = keras.ops.cast(self.steps, keras.config.floatx()) / self.style_ramp_steps
                scale = 100.0 ** (keras.ops.minimum(progress, 1.0) - 1.0)
            self.steps.assign_add(1)
            if "position" in inputs:
                self.position.assign(inputs["position"][-1])
        return self.losses_of(stylized, images, labels, scale)

    def losses_of(self, stylized, images, labels, style_scale=1.0) -> dict:
        """The losses [B], by name, of any pictures.

        Args:
            stylized: the pictures, [B, H, W, 3] in [0, 1].
            images: the photos that they are of, in the same shape.
            labels: [B], the styles that they are to be in.
            style_scale: multiplies all style weights.
        """
        end_points = {name: _in_full_precision(features) for name, features in self.vgg(stylized).items()}
        targets = {name: _in_full_precision(features) for name, features in self.content_vgg(images).items()}
        grams = {name: keras.ops.take(gram, labels, axis=0) for name, gram in self.gram_matrices.items()}
        coefficients = keras.ops.take(self.style_coefficients, labels) * style_scale
        terms = {
            **losses.content_loss(end_points, targets, self.content_weights),
            **losses.style_loss(end_points, grams, self.style_weights, coefficients),
        }
        total = terms["total_content_loss"] + terms["total_style_loss"]
        if self.total_variation_weight:
            terms["total_variation_loss"] = losses.total_variation_loss(_in_full_precision(stylized))
            total = total + self.total_variation_weight * terms["total_variation_loss"]
        if self.checkerboard_weight:
            terms["checkerboard_loss"] = losses.checkerboard_loss(_in_full_precision(stylized))
            total = total + self.checkerboard_weight * terms["checkerboard_loss"]
        return {"total_loss": total, **terms}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.batch_mean(y_pred["total_loss"], y_pred["total_loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # No Keras metrics: curves show every step as it was, and what is not a scalar is averaged over the devices of
        # all workers (keras/src/backend/tensorflow/trainer.py, reduce_per_replica), which scalars are not.
        return y_pred

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Everything is built already. Keras 3.15 would average a batch over all workers here, which TensorFlow's
        # MultiWorkerMirroredStrategy cannot do with a dictionary (or a tuple) of tensors.
        pass


class _BatchMean(keras.losses.Loss):
    """The mean of losses [B], divided by the number of replicas as Keras does with every `keras.losses.Loss`."""

    def call(self, y_true, y_pred):
        return y_pred


class StyleAdam(keras.optimizers.Adam):
    """Adam with a learning rate of its own for the styles: the scales and offsets of the normalisations.

    A step changes those of the few styles in its batch alone, and no style can do without having them far from where
    they start, so they profit from larger steps than the kernels, which all styles share.

    Args:
        style_scale: the styles' learning rate, in multiples of learning_rate.
    """

    def __init__(self, learning_rate, style_scale: float = 1.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.style_scale = style_scale

    def update_step(self, gradient, variable, learning_rate):
        # A Keras variable, or on TensorFlow one of its own: "gamma", "contract_conv1_instance_norm/gamma:0".
        if re.search(r"\b(gamma|beta)\b", variable.name):
            learning_rate = learning_rate * self.style_scale
        super().update_step(gradient, variable, learning_rate)


class DecayAtEnd(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate that over the last decay_steps of train_steps falls to 0, along a cosine.

    Keras's CosineDecay falls from the first step, so that a training cannot be prolonged where it was constant.
    """

    def __init__(self, learning_rate: float, train_steps: int, decay_steps: int):
        self.start = train_steps - decay_steps
        self.cosine = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps)

    def __call__(self, step):
        return self.cosine(keras.ops.maximum(step - self.start, 0))


def batch_means(logs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The losses that `StyleTraining` logs for a batch, averaged over its images."""
    return {name: float(np.mean(value)) for name, value in logs.items()}


def freeze_convolutions(transformer: StyleTransformer) -> None:
    """Leaves the scale and offset of the instance normalisations as all there is to train."""
    for layer in transformer.layers:
        layer.trainable = isinstance(layer, ConditionalInstanceNormalization)


def with_new_styles(transformer: StyleTransformer, style_names: Sequence[str]) -> StyleTransformer:
    """The same convolutions for other styles, each of which starts from the mean of those there were."""
    new = StyleTransformer.from_config(
        {**transformer.get_config(), "num_styles": len(style_names), "style_names": tuple(style_names)}
    )
    for scope in new.scopes:
        old = transformer.parameters(scope)
        for name, variable in new.parameters(scope).items():
            value = keras.ops.convert_to_numpy(old[name])
            if name != "kernel":
                value = np.repeat(value.mean(axis=0, keepdims=True), new.num_styles, axis=0)
            variable.assign(value)
    return new


class Checkpoints(keras.callbacks.Callback):
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
        # The learning rate is the flag's, also for what was begun with another.
        names = [v.path.split("/", 1)[1] for v in model.optimizer.variables]
        optimizer = {
            f"optimizer/{name}": v
            for name, v in zip(names, model.optimizer.variables, strict=True)
            if name != "learning_rate"
        }
        return {**{v.path: v for v in model.transformer.variables}, **optimizer, "position": model.position}


class Progress(keras.callbacks.Callback):
    """A bar on stderr: steps, rate, time left, and the three totals of the losses."""

    def __init__(self, step: int, train_steps: int):
        super().__init__()
        self.bar = tqdm(initial=step, total=train_steps, unit="step", mininterval=1)

    def on_train_batch_end(self, batch, logs=None):
        losses = batch_means(logs)
        totals = {"total": "total_loss", "content": "total_content_loss", "style": "total_style_loss"}
        self.bar.set_postfix({short: f"{losses[name]:.4g}" for short, name in totals.items()}, refresh=False)
        self.bar.update()

    def close(self) -> None:
        """Leaves the bar on its line, also after a training that failed."""
        self.bar.close()


class StopOnNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more. List it before `Checkpoints`, so that none is kept of it.

    Raises:
        InputError: from `fit`. (Keras's TerminateOnNaN returns from it as if all were well.)
    """

    def on_train_batch_end(self, batch, logs=None):
        loss = batch_means(logs)["total_loss"]
        # oneDNN, which TensorFlow uses on some CPUs, makes relu(NaN) 0: the loss may be a number, the weights none.
        if not np.isfinite(keras.ops.convert_to_numpy(self.model.transformer.trainable_variables[-1])).all():
            loss = math.nan
        if not math.isfinite(loss):
            raise InputError(
                f"the loss was {loss} at step {self.model.optimizer.iterations.numpy()}; lower "
                "--learning_rate, or set --clip_gradient_norm, and start again: it goes on from the last checkpoint"
            )


def _in_full_precision(tensor):
    # With mixed precision too: the squares of Gram matrices need more digits than 16 bits have.
    return keras.ops.cast(tensor, keras.config.floatx())
