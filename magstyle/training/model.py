"""The model that `fit` trains: a style transformer beside its frozen loss network.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from magstyle import losses
from magstyle.models.transformer import StyleTransformer

# A tensor of Keras's backend, or a NumPy array: the backends have no type in common.
Tensor = Any


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weights of the losses.

    Args:
        content, style: weight by end point of VGG, for at least one end point each.
        style_coefficients: [num_paintings], multiplies the style weights of each painting; ones by default.
        total_variation: weight of the total variation of the picture.
        checkerboard: weight of its checkerboard loss.
        mesh: weight of its mesh loss, for which its sides must be at least `losses.MESH_TILE`.
    """

    content: Mapping[str, float]
    style: Mapping[str, float]
    style_coefficients: Sequence[float] | None = None
    total_variation: float = 0.0
    checkerboard: float = 0.0
    mesh: float = 0.0


class StyleTraining(keras.Model):
    """A style transformer beside its frozen loss network.

    Compile it with an optimizer alone. The losses are `total_loss`, `total_content_loss`, `total_style_loss`, and for
    every end point NAME `content_loss/NAME`, `weighted_content_loss/NAME`, `style_loss/NAME` and
    `weighted_style_loss/NAME`; where they have a weight, also `total_variation_loss`, `checkerboard_loss` and
    `mesh_loss`. `predict` returns them image by image. In `fit`, callbacks see those of the latest batch, before its
    step; `batch_means` averages them, and the history that `fit` returns holds such averages.

    Args:
        transformer: the network to train.
        vgg: a network of `magstyle.models.vgg.build`, with every end point that has a weight.
        gram_matrices: Gram matrices of the paintings, [num_paintings, C, C] by end point, for every end point of
            loss_weights.style.
        loss_weights: the weights of the losses.
        style_ramp_steps: in training, the style weights grow exponentially from a hundredth to the whole over this
            number of steps, so that a network learns to keep the photo before it learns to paint it over; 0: no ramp.
        styles: [num_paintings], the number of the style of the network that each painting stands for; by default there
            is a painting for each style, in their order. The parameters of a style without a painting get gradients of
            exactly 0, so that Adam leaves them as they are, to the last bit.

    Call arguments:
        inputs: a dictionary of `image` [B, H, W, 3], RGB in [0, 1], sides multiples of 4; `label` [B], integers, the
            painting for each image; and, where training is to be resumed, `position` [B, 2], where the stream of photos
            goes on after this batch.

    Returns:
        The losses, [B] each, by name.
    """

    def __init__(
        self,
        transformer: StyleTransformer,
        vgg: keras.Model,
        gram_matrices: Mapping[str, np.ndarray],
        loss_weights: LossWeights,
        *,
        style_ramp_steps: int = 0,
        styles: Sequence[int] | None = None,
    ):
        super().__init__(name="style_training")
        self.transformer = transformer
        self.vgg = vgg
        self.loss_weights = loss_weights
        # The targets need no deeper features than the content loss has.
        self.content_vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in loss_weights.content})
        self.styles = np.asarray(range(transformer.num_styles) if styles is None else styles, np.int32)
        coefficients = loss_weights.style_coefficients
        self.style_coefficients = np.asarray(
            np.ones(len(self.styles)) if coefficients is None else coefficients, keras.config.floatx()
        )
        self.gram_matrices = {
            name: np.asarray(gram_matrices[name], keras.config.floatx()) for name in loss_weights.style
        }
        self.style_ramp_steps = style_ramp_steps
        # (A loss added inside `call` would be lost between the replicas of tf.distribute, which share this object.)
        self.batch_mean = _BatchMean(name="batch_mean")
        # Not a step count: broken photos are skipped, so only the stream itself knows where it is.
        self.position = self.add_weight(
            (2,), "zeros", "int32", trainable=False, name="position", aggregation="only_first_replica"
        )
        # The step of the ramp. (The optimizer counts too, but on JAX `call` sees the variables of the model alone.)
        self.steps = self.add_weight(
            (), "zeros", "int32", trainable=False, name="steps", aggregation="only_first_replica"
        )

    def call(self, inputs, training=None):
        images, labels = keras.ops.convert_to_tensor(inputs["image"]), keras.ops.convert_to_tensor(inputs["label"])
        stylized = self.stylized(images, labels, training)
        scale = 1.0
        if training:
            if self.style_ramp_steps:
                progress = keras.ops.cast(self.steps, keras.config.floatx()) / self.style_ramp_steps
                scale = 100.0 ** (keras.ops.minimum(progress, 1.0) - 1.0)
            self.steps.assign_add(1)
            if "position" in inputs:
                self.position.assign(inputs["position"][-1])
        return self.losses_of(stylized, images, labels, scale)

    def stylized(self, images: Tensor, labels: Tensor, training: bool | None = None) -> Tensor:
        """Photos in the styles of paintings.

        Args:
            images: the photos, [B, H, W, 3] in [0, 1].
            labels: [B], the paintings.
            training: as Keras's layers take it.

        Returns:
            The pictures, [B, H, W, 3] in [0, 1].
        """
        styles = keras.ops.take(self.styles, labels)
        style_weights = keras.ops.one_hot(styles, self.transformer.num_styles, dtype=keras.config.floatx())
        return self.transformer([images, style_weights], training=training)

    def losses_of(
        self, stylized: Tensor, images: Tensor, labels: Tensor, style_scale: Tensor | float = 1.0
    ) -> dict[str, Tensor]:
        """The losses of any pictures, [B] each, by name.

        Args:
            stylized: the pictures, [B, H, W, 3] in [0, 1].
            images: their photos, in the same shape.
            labels: [B], the paintings that they should look like.
            style_scale: multiplies all style weights.
        """
        weights = self.loss_weights
        end_points = {name: _in_full_precision(features) for name, features in self.vgg(stylized).items()}
        targets = {name: _in_full_precision(features) for name, features in self.content_vgg(images).items()}
        grams = {name: keras.ops.take(gram, labels, axis=0) for name, gram in self.gram_matrices.items()}
        coefficients = keras.ops.take(self.style_coefficients, labels) * style_scale
        terms = {
            **losses.content_loss(end_points, targets, weights.content),
            **losses.style_loss(end_points, grams, weights.style, coefficients),
        }
        total = terms["total_content_loss"] + terms["total_style_loss"]
        for name, weight, loss in (
            ("total_variation_loss", weights.total_variation, losses.total_variation_loss),
            ("checkerboard_loss", weights.checkerboard, losses.checkerboard_loss),
            ("mesh_loss", weights.mesh, losses.mesh_loss),
        ):
            if weight:
                terms[name] = loss(_in_full_precision(stylized))
                total = total + weight * terms[name]
        return {"total_loss": total, **terms}

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains like any Keras model; the history holds the losses of the last batch of every epoch as numbers."""
        history = super().fit(*args, **kwargs)
        history.history = {
            name: [float(np.mean(value)) for value in values] for name, values in history.history.items()
        }
        return history

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.batch_mean(y_pred["total_loss"], y_pred["total_loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # No Keras metrics: curves show every step as it was. And Keras averages arrays over the devices of all workers,
        # but not scalars (keras/src/backend/tensorflow/trainer.py, reduce_per_replica).
        return y_pred

    if hasattr(keras.Model, "_maybe_symbolic_build"):  # On TensorFlow, since Keras 3.5.

        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            # Everything is built already. Keras (up to 3.15, the latest) averages a batch over all workers here, which
            # MultiWorkerMirroredStrategy cannot do with a dictionary of tensors (keras-team/keras#20329).
            pass


class _BatchMean(keras.losses.Loss):
    """The mean of losses [B], divided by the number of replicas as Keras does with every `keras.losses.Loss`."""

    def call(self, y_true, y_pred):
        return y_pred


def batch_means(logs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The losses that `StyleTraining` logs for a batch, averaged over its images."""
    return {name: float(np.mean(value)) for name, value in logs.items()}


def _in_full_precision(tensor):
    # With mixed precision too: the squares of Gram matrices need more digits than 16 bits have.
    return keras.ops.cast(tensor, keras.config.floatx())
