"""The model that `fit` trains: a style transformer beside its frozen loss network.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from magstyle import losses
from magstyle.models.transformer import StyleTransformer


class StyleTraining(keras.Model):
    """A style transformer beside its frozen loss network.

    Compile it with an optimizer alone. The losses are `total_loss`, `total_content_loss`, `total_style_loss`, and for
    every end point NAME `content_loss/NAME`, `weighted_content_loss/NAME`, `style_loss/NAME` and
    `weighted_style_loss/NAME`; with a total_variation_weight also `total_variation_loss`, with a
    checkerboard_weight `checkerboard_loss`, and with a mesh_weight `mesh_loss`. `predict` returns them image by image,
    and in `fit` callbacks see those of the latest batch, before its step; `batch_means` averages them, as in the
    history that `fit` returns.

    Args:
        transformer: the network to train.
        vgg: of `magstyle.models.vgg.build`, with every end point that has a weight.
        gram_matrices: of the paintings, [num_paintings, C, C] by end point, for every end point of style_weights.
        content_weights, style_weights: one weight per end point that counts, at least one of each.
        style_coefficients: [num_paintings], multiplies the style weights of each painting; ones by default.
        total_variation_weight: of the total variation of the stylised image.
        checkerboard_weight: of its checkerboard loss.
        mesh_weight: of its mesh loss; sides of the image are then at least `losses.MESH_TILE`.
        style_ramp_steps: in training, the style weights grow exponentially from a hundredth to the whole over so many
            steps, so that a network learns to keep the photo before it learns to paint it over; 0: no ramp.
        styles: [num_paintings], the number of the style of the network that each painting is; by default there is a
            painting for each, in their order. What a style without a painting consists of gets gradients of just 0, so
            that Adam leaves it as it is, to the last bit.

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
        content_weights: Mapping[str, float],
        style_weights: Mapping[str, float],
        style_coefficients: Sequence[float] | None = None,
        total_variation_weight: float = 0.0,
        checkerboard_weight: float = 0.0,
        mesh_weight: float = 0.0,
        style_ramp_steps: int = 0,
        styles: Sequence[int] | None = None,
    ):
        super().__init__(name="style_training")
        self.transformer = transformer
        self.vgg = vgg
        # The targets need no deeper features than the content loss has.
        self.content_vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in content_weights})
        self.styles = np.asarray(range(transformer.num_styles) if styles is None else styles, np.int32)
        coefficients = np.ones(len(self.styles)) if style_coefficients is None else style_coefficients
        self.style_coefficients = np.asarray(coefficients, keras.config.floatx())
        self.gram_matrices = {name: np.asarray(gram_matrices[name], keras.config.floatx()) for name in style_weights}
        self.content_weights = dict(content_weights)
        self.style_weights = dict(style_weights)
        self.total_variation_weight = total_variation_weight
        self.checkerboard_weight = checkerboard_weight
        self.mesh_weight = mesh_weight
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
        styles = keras.ops.take(self.styles, labels)
        style_weights = keras.ops.one_hot(styles, self.transformer.num_styles, dtype=keras.config.floatx())
        stylized = self.transformer([images, style_weights], training=training)
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
            labels: [B], the paintings that they are to be like.
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
        if self.mesh_weight:
            terms["mesh_loss"] = losses.mesh_loss(_in_full_precision(stylized))
            total = total + self.mesh_weight * terms["mesh_loss"]
        return {"total_loss": total, **terms}

    def fit(self, *args, **kwargs) -> keras.callbacks.History:
        """Trains, as any Keras model; its history holds the losses of the last batch of every epoch as numbers."""
        history = super().fit(*args, **kwargs)
        history.history = {
            name: [float(np.mean(value)) for value in values] for name, values in history.history.items()
        }
        return history

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.batch_mean(y_pred["total_loss"], y_pred["total_loss"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # No Keras metrics: curves show every step as it was, and what is not a scalar is averaged over the devices of
        # all workers (keras/src/backend/tensorflow/trainer.py, reduce_per_replica), which scalars are not.
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
