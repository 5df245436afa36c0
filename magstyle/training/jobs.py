"""The options of training, as values that import nothing heavy; signatures, checks and flags follow from the fields."""

import abc
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from magstyle import options, sizes
from magstyle.checkpoints.networks import Checkpoint
from magstyle.errors import InputError
from magstyle.limits import (
    Alpha,
    BatchSize,
    Count,
    CountFromZero,
    CropSize,
    Directions,
    LearningRate,
    NarrowAlpha,
    PaintingSize,
    Seconds,
    Seed,
    Weight,
)

FilePath = str | os.PathLike
# Image files, globs and folders.
Files = FilePath | Sequence[FilePath]


class Schedule(NamedTuple):
    """How long a training lasts, and its learning rate, which falls to 0 over the last decay_steps of train_steps."""

    learning_rate: float
    train_steps: int
    decay_steps: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The aim of a training, by which networks are also judged: photos, and losses with their weights.

    The photos come from exactly one of content_files, imagenet_data_dir and tfds_name.

    Args:
        content_files: photos: image files, globs and folders with everything below them, one or several.
        imagenet_data_dir: instead of content_files, a folder with ImageNet's TFRecord shards train-00000-of-01024, ...
        tfds_name: instead of content_files, an image dataset of TensorFlow Datasets, such as imagenet2012.
        tfds_data_dir: folder of the datasets of TensorFlow Datasets, if not the default one.
        vgg_checkpoint: the loss network: imagenet, a Keras .h5 file, a slim checkpoint, an .npz file, or random:SEED.
        content_weights: weights of the content loss by end point of VGG; {'vgg_16/conv3': 1.0} by default.
        style_weights: weights of the style loss by end point of VGG; 1e-4 for each of vgg_16/conv1 to conv4 by default.
        total_variation_weight: weight of the total variation of the pictures.
        checkerboard_weight: weight of patterns that repeat every 4 pixels all over a picture.
        mesh_weight: weight of the lattice that a long training weaves over flat parts.
        palette_weight: weight of the distance between the colours of the pictures and those of the paintings.
        batch_size: photos per step, on all devices together.
        image_size: side of the crops of the photos, in pixels; a multiple of 4.
        seed: seed of the initial weights, and of the order of the photos and their styles.
    """

    content_files: Files | None = None
    imagenet_data_dir: FilePath | None = None
    tfds_name: str | None = None
    tfds_data_dir: FilePath | None = None
    vgg_checkpoint: FilePath = "imagenet"
    content_weights: Mapping[str, float] | None = None
    style_weights: Mapping[str, float] | None = None
    total_variation_weight: Weight = 0.0
    checkerboard_weight: Weight = 0.0
    mesh_weight: Weight = 0.0
    palette_weight: Weight = 0.0
    batch_size: BatchSize = 16
    image_size: CropSize = 256
    seed: Seed = 0

    # By block of VGG, where the user gives none.
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 1.0}
    default_style_weights: ClassVar[Mapping[str, float]] = {f"conv{block}": 1e-4 for block in (1, 2, 3, 4)}

    def __post_init__(self) -> None:
        options.check(self)
        if self.image_size < self.smallest_image_size:
            raise InputError(
                f"image_size={self.image_size} must be at least {self.smallest_image_size} unless mesh_weight is 0",
                "image_size",
                "mesh_weight",
            )

    @property
    def smallest_image_size(self) -> int:
        """The smallest image_size that the losses allow."""
        return sizes.SMALLEST_FOR_MESH if self.mesh_weight else sizes.SMALLEST_FOR_VGG


@dataclasses.dataclass(frozen=True, kw_only=True)
class StylesObjective(Objective):
    """The aim of a training on the paintings of a style dataset.

    Args:
        style_coefficients: multipliers of the style weights per style: a list, or a dictionary by name; 1 by default.
        num_styles: not needed; if given, the style dataset must have this number of styles.
    """

    style_coefficients: Sequence[float] | Mapping[int | str, float] | None = None
    num_styles: Count | None = None


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Objective, abc.ABC):
    """The options that all trainings have in common.

    Args:
        train_dir: folder for checkpoints and TensorBoard, made if it is missing; a training in it goes on.
        learning_rate: learning rate of Adam.
        style_learning_rate_scale: multiplies the learning rate for the scales and offsets of the styles.
        style_ramp_steps: over this number of steps at the start, the style weights rise from a hundredth.
        clip_gradient_norm: largest norm of the gradient of each variable; 0 for no limit.
        augment: crop the photos at random places and sizes, and mirror them at random.
        save_summaries_secs: seconds between two points of TensorBoard's curves.
        save_interval_secs: seconds between two checkpoints.
        mixed_precision: compute in bfloat16, while weights and losses stay float32; "auto" does so where it is faster:
            on CPUs with AVX512_BF16 or AMX, on NVIDIA GPUs of compute capability 8.0 or higher, and on TPUs.
        jit_compile: compile the training step with XLA.
        distribution: devices to train on: none for a single one, mirrored for all of this machine, multi_worker for
            all machines of the variable TF_CONFIG.
    """

    train_dir: options.OutputPath
    _: dataclasses.KW_ONLY
    learning_rate: LearningRate = 1e-3
    style_learning_rate_scale: LearningRate = 1.0
    style_ramp_steps: CountFromZero = 0
    clip_gradient_norm: Weight = 0.0
    augment: bool = False
    save_summaries_secs: Seconds = 15
    save_interval_secs: Seconds = 15
    mixed_precision: bool | Literal["auto"] = "auto"
    jit_compile: bool = False
    distribution: Literal["none", "mirrored", "multi_worker"] = "none"

    # The option that takes a model to start from.
    starts_from: ClassVar[str] = "initial_checkpoint"
    # Decay of Adam's mean of squared gradients: Magenta's, and Keras's.
    beta_2: ClassVar[float] = 0.999

    @abc.abstractmethod
    def schedule(self, num_paintings: int) -> Schedule:
        """The schedule for this number of paintings."""


@dataclasses.dataclass(frozen=True)
class _StyleDataset:
    """Has a base of its own because the paintings come first.

    Args:
        style_dataset_file: the paintings, a TFRecord file as create_style_dataset or Magenta makes it.
    """

    style_dataset_file: FilePath


@dataclasses.dataclass(frozen=True)
class StylesTrainingOptions(TrainingOptions, StylesObjective, _StyleDataset, abc.ABC):
    """The options that `train` and `finetune` have in common."""


@dataclasses.dataclass(frozen=True)
class TrainingJob(StylesTrainingOptions):
    """Trains one network for all paintings.

    Args:
        train_steps: steps to train, including those of earlier starts.
        decay_steps: over this number of steps at the end, the learning rate falls to 0, along a cosine.
        alpha: width of the network: multiplies all numbers of filters; 1 by default, or that of initial_checkpoint.
        initial_checkpoint: a model to start from, with its width: styles of the same names go on from where they are,
            new ones start from the mean of its styles.
    """

    _: dataclasses.KW_ONLY
    train_steps: Count = 40000
    decay_steps: CountFromZero = 0
    alpha: Alpha | None = None
    initial_checkpoint: Checkpoint | None = None

    def schedule(self, num_paintings: int) -> Schedule:
        return Schedule(self.learning_rate, self.train_steps, self.decay_steps)


@dataclasses.dataclass(frozen=True)
class FinetuningJob(StylesTrainingOptions):
    """Teaches a trained network new styles, with defaults for a minute or two on two cores.

    With the convolutions as they are there is little to learn: a few small photos at a high learning rate are enough.
    The default weights, for ImageNet's VGG-16, balance the layers: the style weights divide each layer's loss by about
    its value for plain photos.

    Args:
        content_weights: weights of the content loss by end point of VGG; {'vgg_16/conv3': 1.2e-5} by default.
        style_weights: weights of the style loss by end point of VGG; by default 9e-10 for vgg_16/conv1 and conv2, 4e-9
            for conv3 and 5e-5 for conv4.
        train_steps: steps to train, including those of earlier starts; 100 for each painting by default.
        decay_steps: over this number of steps at the end, the learning rate falls to 0, along a cosine; three
            quarters of train_steps by default.
        checkpoint: the model, anything that `magstyle.load_model` opens: a bundled one, a .keras file, a training
            folder, a Magenta checkpoint or .pb.
        alpha: not needed; if given, the model must have this width.
        keep_styles: keep the styles that the model has, to the last bit, followed by the new ones; a painting that has
            the name of one of them trains that style on. Otherwise the new styles replace them.
    """

    _: dataclasses.KW_ONLY
    checkerboard_weight: Weight = 400.0
    mesh_weight: Weight = 0.6
    palette_weight: Weight = 0.03
    batch_size: BatchSize = 1
    image_size: CropSize = 192
    learning_rate: LearningRate = 0.05
    augment: bool = True
    train_steps: Count | None = None
    decay_steps: CountFromZero | None = None
    checkpoint: Checkpoint = "painters"
    alpha: Alpha | None = None
    keep_styles: bool = True

    starts_from: ClassVar[str] = "checkpoint"
    # The gradients of the first steps are the largest by far, and would slow down all of a short training.
    beta_2: ClassVar[float] = 0.95
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 1.2e-5}
    default_style_weights: ClassVar[Mapping[str, float]] = {
        "conv1": 9e-10,
        "conv2": 9e-10,
        "conv3": 4e-9,
        "conv4": 5e-5,
    }

    def schedule(self, num_paintings: int) -> Schedule:
        train_steps = 100 * num_paintings if self.train_steps is None else self.train_steps
        decay_steps = train_steps * 3 // 4 if self.decay_steps is None else self.decay_steps
        return Schedule(self.learning_rate, train_steps, decay_steps)


@dataclasses.dataclass(frozen=True)
class _Paintings:
    """Has a base of its own because the paintings come first.

    Args:
        style_files: paintings, the more the better: image files, globs and folders with everything below them, one or
            several.
    """

    style_files: Files


@dataclasses.dataclass(frozen=True)
class PredictorTrainingJob(TrainingOptions, _Paintings):
    """Trains a network to paint in the style of any painting.

    Network, directions of style and style predictor are trained together. Every step sees another part of other
    paintings, at another size, mirrored half of the time, and half of the time with its colours changed.

    The style weights and the palette weight multiply distances from the painting in relation to those of the photo as
    it is. The content weight is for ImageNet's VGG-16.

    Args:
        content_weights: weights of the content loss by end point of VGG; {'vgg_16/conv3': 1.25e-6} by default.
        style_weights: weights of the relative style loss by end point of VGG; 0.25 for each of vgg_16/conv1 to conv4 by
            default.
        train_steps: steps to train, including those of earlier starts.
        decay_steps: over this number of steps at the end, the learning rate falls to 0, along a cosine.
        alpha: width of the network: multiplies all numbers of filters; 1 by default, or that of initial_checkpoint.
        num_styles: directions in the space of styles, the middle one included; 64 by default, or as many as
            initial_checkpoint has, if it is a model for any painting.
        initial_checkpoint: a model to start from, with its width: one for any painting, or one of styles, whose
            differences from their mean become the first directions.
    """

    _: dataclasses.KW_ONLY
    checkerboard_weight: Weight = 200.0
    mesh_weight: Weight = 0.1
    palette_weight: Weight = 0.1
    clip_gradient_norm: Weight = 1.0
    augment: bool = True
    train_steps: Count = 40000
    decay_steps: CountFromZero = 0
    alpha: Alpha | None = None
    num_styles: Directions | None = None
    initial_checkpoint: Checkpoint | None = None

    beta_2: ClassVar[float] = 0.99
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 1.25e-6}
    default_style_weights: ClassVar[Mapping[str, float]] = {f"conv{block}": 0.25 for block in (1, 2, 3, 4)}

    def schedule(self, num_paintings: int) -> Schedule:
        return Schedule(self.learning_rate, self.train_steps, self.decay_steps)


@dataclasses.dataclass(frozen=True)
class DistillationJob(TrainingOptions):
    """Trains a narrow network, which paints several times as fast, to paint like a wide one.

    It learns from the pictures of its teacher and needs no paintings. Its styles are those of the teacher.

    The content and style weights say how much the features and the Gram matrices of the pictures count, beside 1 for
    the absolute difference of the pixels, the sum over four resolutions. The style weights multiply each layer's
    distance from the teacher's picture in relation to that picture. The content weight is for ImageNet's VGG-16.

    Args:
        content_weights: weights of the content loss by end point of VGG; {'vgg_16/conv3': 2e-6} by default.
        style_weights: weights of the relative style loss by end point of VGG; 0.15 for each of vgg_16/conv1 to conv4 by
            default.
        teacher: the wide network, anything that `magstyle.load_model` opens.
        train_steps: steps to train, including those of earlier starts.
        decay_steps: over this number of steps at the end, the learning rate falls to 0, along a cosine; train_steps by
            default.
        alpha: width of the narrow network, as for `train`; it also has no more than three residual blocks, half the
            filters in its first layer, and kernels of 5 x 5 in place of 9 x 9.
    """

    _: dataclasses.KW_ONLY
    batch_size: BatchSize = 4
    image_size: CropSize = 192
    learning_rate: LearningRate = 2e-3
    style_learning_rate_scale: LearningRate = 3.0
    clip_gradient_norm: Weight = 1.0
    augment: bool = True
    teacher: Checkpoint = "painters"
    train_steps: Count = 20000
    decay_steps: CountFromZero | None = None
    alpha: NarrowAlpha = 0.25

    starts_from: ClassVar[str] = "teacher"
    beta_2: ClassVar[float] = 0.99
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 2e-6}
    default_style_weights: ClassVar[Mapping[str, float]] = {f"conv{block}": 0.15 for block in (1, 2, 3, 4)}

    def schedule(self, num_paintings: int) -> Schedule:
        decay_steps = self.train_steps if self.decay_steps is None else self.decay_steps
        return Schedule(self.learning_rate, self.train_steps, decay_steps)


@dataclasses.dataclass(frozen=True)
class StyleDatasetJob:
    """Makes a style dataset of paintings.

    Args:
        style_files: paintings: image files, globs and folders with everything below them, one or several. Their names
            become those of the styles, their order that of the labels.
        output_file: TFRecord file to write; it appears complete or not at all.
        vgg_checkpoint: the loss network: imagenet, a Keras .h5 file, a slim checkpoint, an .npz file, or random:SEED.
        image_size: scale the shorter side of each painting to this number of pixels, the size at which its strokes are
            learned; not scaled by default.
        compute_gram_matrices: store the Gram matrices; otherwise each training computes those that it needs.
    """

    style_files: Files
    output_file: options.OutputPath
    _: dataclasses.KW_ONLY
    vgg_checkpoint: FilePath = "imagenet"
    image_size: PaintingSize | None = None
    compute_gram_matrices: bool = True

    def __post_init__(self) -> None:
        options.check(self)
