"""Opens and builds the objective of a training or an evaluation: photos, paintings, VGG and the weighted losses."""

import math
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from magstyle import losses
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import photos, styles
from magstyle.errors import InputError
from magstyle.models.predictor import ArbitraryStyleTransformer
from magstyle.models.transformer import StyleTransformer
from magstyle.names import counted
from magstyle.training import gram_matrices
from magstyle.training.distillation import Distillation
from magstyle.training.jobs import DistillationJob, Objective, PredictorTrainingJob, StylesObjective
from magstyle.training.model import LossWeights, PredictorTraining, StyleTraining


def open_photos(objective: Objective) -> photos.Source:
    """The photos of the one source that is given; an InputError if it is not exactly one."""
    return photos.open_source(
        content_files=objective.content_files,
        imagenet_data_dir=objective.imagenet_data_dir,
        tfds_name=objective.tfds_name,
        tfds_data_dir=objective.tfds_data_dir,
    )


def read_paintings(style_dataset_file: str | os.PathLike, objective: StylesObjective) -> list[styles.Style]:
    """The paintings of a style dataset; an InputError if their number is not num_styles."""
    paintings = styles.read(style_dataset_file)
    if objective.num_styles not in (None, len(paintings)):
        raise InputError(
            f"{style_dataset_file} has {counted(len(paintings), 'style')}, not num_styles={objective.num_styles}",
            "num_styles",
        )
    return paintings


def build(
    objective: StylesObjective,
    transformer: StyleTransformer,
    paintings: Sequence[styles.Style],
    *,
    content_blocks: Sequence[int] = (),
    style_blocks: Sequence[int] = (),
    style_ramp_steps: int = 0,
) -> StyleTraining:
    """A network with its losses; not compiled.

    Args:
        objective: the loss network, and the weights.
        transformer: the network.
        paintings: its styles, or some of them: those of the same names; if it has other names, in its order.
        content_blocks, style_blocks: blocks of VGG whose losses are computed in any case, with a weight of 0 if the
            objective gives none.
        style_ramp_steps: as `StyleTraining` takes it.

    Raises:
        InputError: for a VGG that cannot be opened, an end point that it does not have, or values that are not weights.
    """
    vgg, content, style = _open_vgg(objective, content_blocks, style_blocks)
    numbers = _numbers(transformer, paintings)
    coefficients = _coefficients(objective.style_coefficients, [transformer.style_names[number] for number in numbers])
    weights = _loss_weights(objective, content, style, coefficients)
    grams = gram_matrices.of_styles(paintings, vgg, list(style))
    palettes = None
    if objective.palette_weight:
        palettes = np.concatenate([losses.palette(painting.image[None]) for painting in paintings])
    return StyleTraining(
        transformer, vgg, grams, weights, style_ramp_steps=style_ramp_steps, styles=numbers, palettes=palettes
    )


def build_for_any_painting(job: PredictorTrainingJob, transformer: ArbitraryStyleTransformer) -> PredictorTraining:
    """A network for any painting with its losses; not compiled.

    Raises:
        InputError: as `build`.
    """
    vgg, content, style = _open_vgg(job)
    weights = _loss_weights(job, content, style)
    return PredictorTraining(transformer, vgg, weights, style_ramp_steps=job.style_ramp_steps)


def build_distillation(job: DistillationJob, transformer: StyleTransformer, teacher: StyleTransformer) -> Distillation:
    """A network with its teacher and its losses; not compiled.

    Raises:
        InputError: as `build`.
    """
    vgg, content, style = _open_vgg(job)
    weights = _loss_weights(job, content, style)
    return Distillation(transformer, teacher, vgg, weights, style_ramp_steps=job.style_ramp_steps)


def _open_vgg(
    objective: Objective, content_blocks: Sequence[int] = (), style_blocks: Sequence[int] = ()
) -> tuple[keras.Model, dict[str, float], dict[str, float]]:
    """VGG with the end points that have a weight, and the weights of the content and of the style loss."""
    vgg = load_vgg(objective.vgg_checkpoint)
    depth = next(iter(vgg.output)).split("/")[0]
    content = _weights("content_weights", objective.content_weights, depth, objective.default_content_weights)
    style = _weights("style_weights", objective.style_weights, depth, objective.default_style_weights)
    content = {**{f"{depth}/conv{block}": 0.0 for block in content_blocks}, **content}
    style = {**{f"{depth}/conv{block}": 0.0 for block in style_blocks}, **style}
    for name in (*content, *style):
        if name not in vgg.output:
            raise InputError(f"{objective.vgg_checkpoint} has no end point {name!r}; it has {', '.join(vgg.output)}")
    return keras.Model(vgg.input, {name: vgg.output[name] for name in {**content, **style}}), content, style


def _loss_weights(
    objective: Objective,
    content: Mapping[str, float],
    style: Mapping[str, float],
    style_coefficients: Sequence[float] | None = None,
) -> LossWeights:
    return LossWeights(
        content,
        style,
        style_coefficients=style_coefficients,
        total_variation=objective.total_variation_weight,
        checkerboard=objective.checkerboard_weight,
        mesh=objective.mesh_weight,
        palette=objective.palette_weight,
    )


def _weights(
    argument: str, given: Mapping[str, float] | None, depth: str, default: Mapping[str, float]
) -> dict[str, float]:
    """Weights by end point: those that are given, else the defaults, which are by block."""
    defaults = {f"{depth}/{block}": weight for block, weight in default.items()}
    if given is None:
        return defaults
    if not (isinstance(given, Mapping) and given and all(map(_is_weight, given.values()))):
        raise InputError(f'{argument}={given} must be weights by end point, such as "{defaults}"', argument)
    return {name: float(weight) for name, weight in given.items()}


def _coefficients(given: Sequence[float] | Mapping[int | str, float] | None, style_names: Sequence[str]) -> list[float]:
    """A coefficient for each style."""
    if given is None:
        return [1.0] * len(style_names)
    found: object = given
    if isinstance(given, Mapping) and all(str(name) in style_names for name in given):
        by_name = {str(name): coefficient for name, coefficient in given.items()}
        found = [by_name.get(name, 1.0) for name in style_names]
    if not (isinstance(found, list | tuple) and len(found) == len(style_names) and all(map(_is_weight, found))):
        raise InputError(
            f"style_coefficients={given} must be a list of one number per style, or a dictionary by style; the "
            f"styles are {', '.join(style_names)}",
            "style_coefficients",
        )
    return [float(coefficient) for coefficient in found]


def _numbers(transformer: StyleTransformer, paintings: Sequence[styles.Style]) -> list[int]:
    """The number of the style of the network that each painting stands for."""
    names = [painting.name for painting in paintings]
    if set(names) <= set(transformer.style_names):
        return [transformer.style_names.index(name) for name in names]
    return list(range(len(names)))


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
