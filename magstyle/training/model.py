"""The models that `fit` trains: a network beside its frozen loss network.

References:
    Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style. ICLR 2017, arXiv 1610.07629.
    Johnson, Alahi, Fei-Fei: Perceptual Losses for Real-Time Style Transfer. arXiv 1603.08155 (one style).
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from magstyle import losses
from magstyle.models.predictor import ArbitraryStyleTransformer
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
        palette: weight of its palette loss.
    """

    content: Mapping[str, float]
    style: Mapping[str, float]
    style_coefficients: Sequence[float] | None = None
    total_variation: float = 0.0
    checkerboard: float = 0.0
    mesh: float = 0.0
    palette: float = 0.0


class Training(keras.Model, abc.ABC):
    """A network beside its frozen loss network.

    Compile it with an optimizer alone. The losses are `total_loss`, `total_content_loss`, `total_style_loss`, and for
    every end point NAME `content_loss/NAME`, `weighted_content_loss/NAME`, `style_loss/NAME` and
    `weighted_style_loss/NAME`; where they have a weight, also `total_variation_loss`, `checkerboard_loss`, `mesh_loss`
    and `palette_loss`; where there are pictures to come close to, `pixel_loss`. `predict` returns them image by image.
    In `fit`, callbacks see those of the latest batch, before its step; `batch_means` averages them, and the history
    that `fit` returns holds such averages.

    Args:
        transformer: the network to train.
        vgg: a network of `magstyle.models.vgg.build`, with every end point that has a weight.
        loss_weights: the weights of the losses.
        style_ramp_steps: in training, the style weights grow exponentially from a hundredth to the whole over this
            number of steps, so that a network learns to keep the photo before it learns to paint it over; 0: no ramp.

    Call arguments:
        inputs: a dictionary of `image` [B, H, W, 3], RGB in [0, 1], sides multiples of 4; the painting for each image,
            under the name that `goal` says; and, where training is to be resumed, `position` [B, 2], where the stream
            of photos goes on after this batch.

    Returns:
        The losses, [B] each, by name.

    Attributes:
        goal: the name of the input that says which painting a picture should come close to.
    """

    goal: ClassVar[str]

    def __init__(
        self,
        transformer: StyleTransformer | ArbitraryStyleTransformer,
        vgg: keras.Model,
        loss_weights: LossWeights,
        *,
        style_ramp_steps: int = 0,
    ):
        # With mixed precision, the networks cast what they are given; the losses take photos and paintings as they are.
        super().__init__(name="style_training", autocast=False)
        self.transformer = transformer
        self.vgg = vgg
        self.loss_weights = loss_weights
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

    @abc.abstractmethod
    def stylized(self, images: Tensor, goals: Tensor, training: bool | None = None) -> Tensor:
        """Photos in the styles of paintings.

        Args:
            images: the photos, [B, H, W, 3] in [0, 1].
            goals: the paintings, as in the input of that name.
            training: as Keras's layers take it.

        Returns:
            The pictures, [B, H, W, 3] in [0, 1].
        """

    @abc.abstractmethod
    def targets(self, images: Tensor, goals: Tensor) -> "Targets":
        """What the pictures of photos should come close to.

        Args:
            images, goals: as for `stylized`.
        """

    def call(self, inputs, training=None):
        images, goals = keras.ops.convert_to_tensor(inputs["image"]), keras.ops.convert_to_tensor(inputs[self.goal])
        stylized = self.stylized(images, goals, training)
        scale = 1.0
        if training:
            if self.style_ramp_steps:
                progress = keras.ops.cast(self.steps, keras.config.floatx()) / self.style_ramp_steps
                scale = 100.0 ** (keras.ops.minimum(progress, 1.0) - 1.0)
            self.steps.assign_add(1)
            if "position" in inputs:
                self.position.assign(inputs["position"][-1])
        return self.losses_of(stylized, images, goals, scale)

    def losses_of(
        self, stylized: Tensor, images: Tensor, goals: Tensor, style_scale: Tensor | float = 1.0
    ) -> dict[str, Tensor]:
        """The losses of any pictures, [B] each, by name.

        Args:
            stylized: the pictures, [B, H, W, 3] in [0, 1].
            images: their photos, in the same shape.
            goals: the paintings that they should look like, as for `stylized`.
            style_scale: multiplies all style weights.
        """
        weights = self.loss_weights
        end_points = features(self.vgg, stylized)
        targets = self.targets(images, goals)
        coefficients = {name: coefficient * style_scale for name, coefficient in targets.style_coefficients.items()}
        terms = {
            **losses.content_loss(end_points, targets.content, weights.content),
            **losses.style_loss(end_points, targets.gram_matrices, weights.style, coefficients),
        }
        total = terms["total_content_loss"] + terms["total_style_loss"]
        if targets.pictures is not None:
            terms["pixel_loss"] = losses.pixel_loss(in_full_precision(stylized), targets.pictures)
            total = total + terms["pixel_loss"]
        for name, weight, loss in (
            ("total_variation_loss", weights.total_variation, losses.total_variation_loss),
            ("checkerboard_loss", weights.checkerboard, losses.checkerboard_loss),
            ("mesh_loss", weights.mesh, losses.mesh_loss),
        ):
            if weight:
                terms[name] = loss(in_full_precision(stylized))
                total = total + weight * terms[name]
        if weights.palette:
            palettes = losses.palette(in_full_precision(stylized))
            terms["palette_loss"] = losses.palette_loss(palettes, targets.palettes)
            total = total + weights.palette * style_scale * targets.palette_coefficients * terms["palette_loss"]
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


class StyleTraining(Training):
    """A style transformer that learns the styles of some paintings, beside its frozen loss network.

    Args:
        transformer, vgg, loss_weights, style_ramp_steps: as for `Training`.
        gram_matrices: Gram matrices of the paintings, [num_paintings, C, C] by end point, for every end point of
            loss_weights.style.
        styles: [num_paintings], the number of the style of the network that each painting stands for; by default there
            is a painting for each style, in their order. The parameters of a style without a painting get gradients of
            exactly 0, so that Adam leaves them as they are, to the last bit.
        palettes: `losses.palette` of the paintings, [num_paintings, directions, points], if that has a weight.

    Call arguments:
        inputs: as for `Training`, with `label` [B], integers, the painting for each image.
    """

    goal = "label"

    def __init__(
        self,
        transformer: StyleTransformer,
        vgg: keras.Model,
        gram_matrices: Mapping[str, np.ndarray],
        loss_weights: LossWeights,
        *,
        style_ramp_steps: int = 0,
        styles: Sequence[int] | None = None,
        palettes: np.ndarray | None = None,
    ):
        super().__init__(transformer, vgg, loss_weights, style_ramp_steps=style_ramp_steps)
        # The targets need no deeper features than the content loss has.
        self.content_vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in loss_weights.content})
        self.styles = np.asarray(range(transformer.num_styles) if styles is None else styles, np.int32)
        coefficients = loss_weights.style_coefficients
        self.style_coefficients = np.asarray(
            np.ones(len(self.styles)) if coefficients is None else coefficients, keras.config.floatx()
        )
        self.palettes = None if palettes is None else np.asarray(palettes, keras.config.floatx())
        self.gram_matrices = {
            name: np.asarray(gram_matrices[name], keras.config.floatx()) for name in loss_weights.style
        }

    def stylized(self, images: Tensor, goals: Tensor, training: bool | None = None) -> Tensor:
        styles = keras.ops.take(self.styles, goals)
        style_weights = keras.ops.one_hot(styles, self.transformer.num_styles, dtype=keras.config.floatx())
        return self.transformer([images, style_weights], training=training)

    def targets(self, images: Tensor, goals: Tensor) -> "Targets":
        grams = {name: keras.ops.take(gram, goals, axis=0) for name, gram in self.gram_matrices.items()}
        coefficients = keras.ops.take(self.style_coefficients, goals)
        palettes = None if self.palettes is None else keras.ops.take(self.palettes, goals, axis=0)
        of_styles = dict.fromkeys(grams, coefficients)
        return Targets(features(self.content_vgg, images), grams, of_styles, palettes, coefficients)


class PredictorTraining(Training):
    """A network that learns to paint in the style of any painting, beside its frozen loss network.

    A photo is a thousand times as far from one painting as from another, and the far ones would drown the others. So at
    each end point, the squared distance from the painting is divided by that of the photo as it is: half of the divisor
    is the photo's own, and half the mean of the batch, for photos that are close already.

    Args:
        transformer, vgg, loss_weights, style_ramp_steps: as for `Training`; loss_weights without style_coefficients.

    Call arguments:
        inputs: as for `Training`, with `painting` [B, h, w, 3], RGB in [0, 1].

    Reference:
        Cheng, Jaiswal, Wu, Natarajan, Natarajan: Style-Aware Normalized Loss for Improving Arbitrary Style Transfer.
        CVPR 2021, arXiv 2104.10064 (why to divide the distances).
    """

    goal = "painting"

    def stylized(self, images: Tensor, goals: Tensor, training: bool | None = None) -> Tensor:
        return self.transformer([images, goals], training=training)

    def targets(self, images: Tensor, goals: Tensor) -> "Targets":
        photos, paintings = features(self.vgg, images), features(self.vgg, goals)
        grams, coefficients = {}, {}
        for name in self.loss_weights.style:
            grams[name] = losses.gram_matrix(paintings[name])
            difference = losses.gram_matrix(photos[name]) - grams[name]
            coefficients[name] = _divided_by(keras.ops.mean(keras.ops.square(difference), axis=(1, 2)))
        content = {name: photos[name] for name in self.loss_weights.content}
        if not self.loss_weights.palette:
            return Targets(content, grams, coefficients)
        of_photos, palettes = losses.palette(images), losses.palette(goals)
        return Targets(content, grams, coefficients, palettes, _divided_by(losses.palette_loss(of_photos, palettes)))


class Targets(NamedTuple):
    """What pictures should come close to.

    Attributes:
        content: the features of the photos [B, H, W, C], by end point; of pictures, where there are any.
        gram_matrices: those of the paintings [B, C, C], by end point; of pictures, where there are any.
        style_coefficients: [B] by end point, multiply the weights of the style loss.
        palettes: those of the paintings, as `losses.palette` has them, if they have a weight.
        palette_coefficients: [B], multiply this weight.
        pictures: [B, H, W, 3], to come close to pixel by pixel; None for nothing.
    """

    content: Mapping[str, Tensor]
    gram_matrices: Mapping[str, Tensor]
    style_coefficients: Mapping[str, Tensor]
    palettes: Tensor | None = None
    palette_coefficients: Tensor | float = 1.0
    pictures: Tensor | None = None


class Sample(NamedTuple):
    """A painting that a training shows.

    Attributes:
        name: its name.
        painting: [H, W, 3] in [0, 1]; None where a teacher's picture of the photo shows the style.
        goal: what stands for it in a batch of one for the training, [1, ...].
    """

    name: str
    painting: np.ndarray | None
    goal: np.ndarray


class _BatchMean(keras.losses.Loss):
    """The mean of losses [B], divided by the number of replicas as Keras does with every `keras.losses.Loss`."""

    def call(self, y_true, y_pred):
        return y_pred


def batch_means(logs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The losses that `StyleTraining` logs for a batch, averaged over its images."""
    return {name: float(np.mean(value)) for name, value in logs.items()}


def _divided_by(distances: Tensor) -> Tensor:
    """What makes distances of photos from paintings, [B], about 1: half of the divisor is each one's own."""
    return 2 / (distances + keras.ops.mean(distances))


def features(vgg: keras.Model, images: Tensor) -> dict[str, Tensor]:
    """The features of images, by end point."""
    return {name: in_full_precision(seen) for name, seen in vgg(images).items()}


def in_full_precision(tensor):
    # With mixed precision too: the squares of Gram matrices need more digits than 16 bits have.
    return keras.ops.cast(tensor, keras.config.floatx())
