"""What a network is trained for and judged by: photos, paintings, VGG, and the losses with their weights."""

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import keras

from magstyle import limits, losses, sizes
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import photos, styles
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer
from magstyle.training import gram_matrices
from magstyle.training.model import StyleTraining


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The keyword arguments that `train`, `finetune` and `evaluate` have in common.

    The photos come from just one of content_files, imagenet_data_dir and tfds_name.

    Args:
        content_files: image files, globs and folders with all below, one or several.
        imagenet_data_dir: a folder with ImageNet's TFRecord shards `train-00000-of-01024`, ...
        tfds_name: an image dataset of TensorFlow Datasets, such as `imagenet2012`.
        tfds_data_dir: where the datasets of TensorFlow Datasets are, if not at its default place.
        vgg_checkpoint: the loss network, as `magstyle.load_vgg` opens it.
        content_weights: by end point of VGG; 1 for conv3 by default.
        style_weights: by end point of VGG; 1e-4 for each of conv1 to conv4 by default.
        style_coefficients: multiplies the style weights per style: one number for each, or by name; 1 by default.
        total_variation_weight: of the total variation of the pictures.
        checkerboard_weight: of what repeats every 4 pixels all over a picture.
        mesh_weight: of the lattice that a long training weaves over what is flat.
        batch_size: photos per step, on all devices together.
        image_size: side of the crops of the photos, in pixels; a multiple of 4.
        seed: of the order of the photos and their styles, and of the weights that a training starts with.
        num_styles: nobody has to give it; if given, the style dataset must have as many.
    """

    content_files: str | os.PathLike | Sequence[str | os.PathLike] | None = None
    imagenet_data_dir: str | os.PathLike | None = None
    tfds_name: str | None = None
    tfds_data_dir: str | os.PathLike | None = None
    vgg_checkpoint: str | os.PathLike = "imagenet"
    content_weights: Mapping[str, float] | None = None
    style_weights: Mapping[str, float] | None = None
    style_coefficients: Sequence[float] | Mapping[int | str, float] | None = None
    total_variation_weight: float = 0.0
    checkerboard_weight: float = 0.0
    mesh_weight: float = 0.0
    batch_size: int = 16
    image_size: int = 256
    seed: int = 0
    num_styles: int | None = None

    # By block of VGG, where none are given.
    default_content_weights: ClassVar[Mapping[str, float]] = {"conv3": 1.0}
    default_style_weights: ClassVar[Mapping[str, float]] = {f"conv{block}": 1e-4 for block in (1, 2, 3, 4)}

    def __post_init__(self):
        limits.check(vars(self), smallest_side=sizes.SMALLEST_FOR_VGG)
        if self.image_size % sizes.MULTIPLE:
            raise InputError(f"image_size={self.image_size} must be a multiple of {sizes.MULTIPLE}", "image_size")
        if self.mesh_weight and self.image_size < losses.MESH_TILE:
            raise InputError(
                f"image_size={self.image_size} must be at least {losses.MESH_TILE} unless mesh_weight is 0",
                "image_size",
                "mesh_weight",
            )

    def open_photos(self) -> photos.Source:
        """The photos of the one source that is given; an InputError if it is not just one."""
        return photos.open_source(
            content_files=self.content_files,
            imagenet_data_dir=self.imagenet_data_dir,
            tfds_name=self.tfds_name,
            tfds_data_dir=self.tfds_data_dir,
        )

    def read_paintings(self, style_dataset_file: str | os.PathLike) -> list[styles.Style]:
        """The paintings of a style dataset; an InputError if there are not num_styles."""
        paintings = styles.read(style_dataset_file)
        if self.num_styles not in (None, len(paintings)):
            raise InputError(
                f"{style_dataset_file} has {len(paintings)} styles, not num_styles={self.num_styles}", "num_styles"
            )
        return paintings

    def build(
        self,
        transformer: StyleTransformer,
        paintings: Sequence[styles.Style],
        content_blocks: Sequence[int] = (),
        style_blocks: Sequence[int] = (),
        style_ramp_steps: int = 0,
    ) -> StyleTraining:
        """A network with its losses; not compiled.

        Args:
            transformer: the network.
            paintings: its styles, or some of them: those of the same names; if it has other names, in its order.
            content_blocks, style_blocks: of VGG, whose losses are to be there too, if need be with a weight of 0.
            style_ramp_steps: as `StyleTraining` takes it.

        Raises:
            InputError: for a VGG that cannot be opened, an end point that it does not have, or weights that are none.
        """
        vgg = load_vgg(self.vgg_checkpoint)
        depth = next(iter(vgg.output)).split("/")[0]
        content_weights = self._weights("content_weights", depth)
        style_weights = self._weights("style_weights", depth)
        content_weights = {**{f"{depth}/conv{i}": 0.0 for i in content_blocks}, **content_weights}
        style_weights = {**{f"{depth}/conv{i}": 0.0 for i in style_blocks}, **style_weights}
        end_points = {**content_weights, **style_weights}
        for name in end_points:
            if name not in vgg.output:
                raise InputError(f"{self.vgg_checkpoint} has no end point {name!r}; it has {', '.join(vgg.output)}")
        vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in end_points})
        numbers = _numbers(transformer, paintings)
        return StyleTraining(
            transformer,
            vgg,
            gram_matrices.of_styles(paintings, vgg, list(style_weights)),
            content_weights,
            style_weights,
            self._coefficients([transformer.style_names[number] for number in numbers]),
            self.total_variation_weight,
            self.checkerboard_weight,
            self.mesh_weight,
            style_ramp_steps,
            numbers,
        )

    def _weights(self, argument: str, depth: str) -> dict[str, float]:
        weights = getattr(self, argument)
        default = {f"{depth}/{block}": weight for block, weight in getattr(self, f"default_{argument}").items()}
        if weights is None:
            return default
        if not (isinstance(weights, Mapping) and weights and all(map(_is_weight, weights.values()))):
            raise InputError(f'{argument}={weights} must be weights by end point, such as "{default}"', argument)
        return {name: float(weight) for name, weight in weights.items()}

    def _coefficients(self, names: Sequence[str]) -> list[float]:
        given = self.style_coefficients
        if given is None:
            return [1.0] * len(names)
        found = given
        if isinstance(given, Mapping) and all(str(name) in names for name in given):
            by_name = {str(name): coefficient for name, coefficient in given.items()}
            found = [by_name.get(name, 1.0) for name in names]
        if not (isinstance(found, list | tuple) and len(found) == len(names) and all(map(_is_weight, found))):
            raise InputError(
                f"style_coefficients={given} must be a list of one number per style, or a dictionary by style; the "
                f"styles are {', '.join(names)}",
                "style_coefficients",
            )
        return [float(coefficient) for coefficient in found]


def _numbers(transformer: StyleTransformer, paintings: Sequence[styles.Style]) -> list[int]:
    """Which style of the network each painting is."""
    names = [painting.name for painting in paintings]
    if set(names) <= set(transformer.style_names):
        return [transformer.style_names.index(name) for name in names]
    return list(range(len(names)))


def shows(options: type) -> Callable[[Callable], Callable]:
    """Decorates a function whose last parameter is `**options`, so that its signature shows them one by one."""

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)
        *own, _ = signature.parameters.values()
        function.__signature__ = signature.replace(parameters=[*own, *inspect.signature(options).parameters.values()])
        return function

    return decorate


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
