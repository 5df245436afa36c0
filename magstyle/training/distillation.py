"""A narrow network that learns to paint like a wide one: its start, and the model that `fit` trains.

Reference:
    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network. arXiv 1503.02531.
"""

import itertools
from collections.abc import Sequence

import keras
import numpy as np

from magstyle import losses
from magstyle.checkpoints.networks import Network
from magstyle.errors import InputError
from magstyle.models.architecture import EXPAND_FILTERS, Architecture, Convolution, residual_scopes
from magstyle.models.transformer import StyleTransformer
from magstyle.training.model import LossWeights, Targets, Tensor, Training, features, in_full_precision

# Of the narrow network. On a CPU, layers at the size of the image take most of the time of such a network, so the first
# one has half as many filters as in the published network, and the first and last kernel a third of the weights.
FILTERS = (16, 64, 128)
RESIDUAL_BLOCKS = 3
KERNEL_SIZE = 5


class Distillation(Training):
    """A network that learns to paint like its teacher, beside the frozen teacher and loss network.

    Pixels alone would leave it with the mean of all strokes that are likely, which is a blur. So its pictures should
    have the features and the Gram matrices of the teacher's, too. The style loss of each end point is divided by the
    mean square of the teacher's Gram matrix.

    Args:
        transformer: the network to train.
        teacher: the network that shows how, with the same styles.
        vgg, loss_weights, style_ramp_steps: as for `Training`; loss_weights without style_coefficients.

    Call arguments:
        inputs: as for `Training`, with `label` [B], integers, the style for each image.
    """

    goal = "label"

    def __init__(
        self,
        transformer: StyleTransformer,
        teacher: StyleTransformer,
        vgg: keras.Model,
        loss_weights: LossWeights,
        *,
        style_ramp_steps: int = 0,
    ):
        super().__init__(transformer, vgg, loss_weights, style_ramp_steps=style_ramp_steps)
        self.teacher = teacher
        self.teacher.trainable = False

    def stylized(self, images: Tensor, goals: Tensor, training: bool | None = None) -> Tensor:
        style_weights = keras.ops.one_hot(goals, self.transformer.num_styles, dtype=keras.config.floatx())
        return self.transformer([images, style_weights], training=training)

    def targets(self, images: Tensor, goals: Tensor) -> Targets:
        style_weights = keras.ops.one_hot(goals, self.teacher.num_styles, dtype=keras.config.floatx())
        pictures = in_full_precision(self.teacher([images, style_weights], training=False))
        seen = features(self.vgg, pictures)
        grams = {name: losses.gram_matrix(seen[name]) for name in self.loss_weights.style}
        coefficients = {name: 1 / keras.ops.mean(keras.ops.square(gram), axis=(1, 2)) for name, gram in grams.items()}
        content = {name: seen[name] for name in self.loss_weights.content}
        palettes = losses.palette(pictures) if self.loss_weights.palette else None
        return Targets(content, grams, coefficients, palettes, pictures=pictures)


def narrowed(teacher: Network, alpha: float) -> Network:
    """Makes a network of the most important channels and residual blocks of a wide one.

    A channel is important if its scales are large, and the kernels that read it; a residual block, if the scales of its
    result are.

    Args:
        teacher: the wide network.
        alpha: the width of the narrow one, a multiplier of FILTERS and EXPAND_FILTERS.

    Raises:
        InputError: if the teacher has fewer channels somewhere.
    """
    blocks = min(RESIDUAL_BLOCKS, teacher.architecture.residual_blocks)
    kernel_size = min(KERNEL_SIZE, teacher.architecture.kernel_size)
    narrow = Architecture(teacher.num_styles, alpha, FILTERS, EXPAND_FILTERS, blocks, kernel_size)
    rows = _rows_to_keep(teacher, blocks)
    if any(row.filters < new.filters for row, new in zip(rows, narrow.convolutions, strict=True)):
        raise InputError(f"alpha={alpha} makes a network wider than the teacher", "alpha", "teacher")
    importance = _importance(teacher, rows)
    parameters, read = {}, np.arange(3)
    for row, new in zip(rows, narrow.convolutions, strict=True):
        values = teacher.parameters[row.scope]
        kept = np.sort(np.argsort(-importance[_stream(row)], kind="stable")[: new.filters])
        border = (row.kernel_size - new.kernel_size) // 2
        middle = slice(border, border + new.kernel_size)
        parameters[new.scope] = {
            "kernel": values["kernel"][middle, middle][:, :, read][..., kept],
            **{name: values[name][:, kept] for name in ("gamma", "beta")},
        }
        read = kept
    return Network(narrow, teacher.style_names, parameters)


def _rows_to_keep(teacher: Network, blocks: int) -> list[Convolution]:
    """The convolutions of a network, with only the most important of its residual blocks."""
    scopes = [residual_scopes(block) for block in range(1, teacher.architecture.residual_blocks + 1)]
    scopes.sort(key=lambda of_block: np.abs(teacher.parameters[of_block[1]]["gamma"]).mean())
    left_out = set(itertools.chain(*scopes[: len(scopes) - blocks]))
    return [row for row in teacher.convolutions if row.scope not in left_out]


def _importance(teacher: Network, rows: Sequence[Convolution]) -> dict[str, np.ndarray]:
    """The importance [C] of each channel of the results, by the name of their stream."""
    found = {_stream(rows[-1]): np.ones(rows[-1].filters)}
    for row, following in itertools.pairwise(rows):
        scales = np.abs(teacher.parameters[row.scope]["gamma"]).mean(axis=0)
        readers = np.sqrt(np.square(teacher.parameters[following.scope]["kernel"]).sum(axis=(0, 1, 3)))
        found[_stream(row)] = found.get(_stream(row), 0) + scales * readers
    return found


def _stream(row: Convolution) -> str:
    """The name of what a result is part of: residual blocks add theirs to that of the last contracting convolution."""
    return "contract/conv3" if row.shortcut else row.scope
