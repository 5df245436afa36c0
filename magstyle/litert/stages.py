"""Graphs of a part of the network, for a part of an image, where the moments of the layers before are known.

With these, the network is local: a tile needs no more of the image than a border. The network falls into stages,
between which `tiles` keeps the results: the contracting convolutions, each residual one, and the expanding ones. A
graph holds the first convolutions of a stage, and gives the result of the last of them or its moments, or both.

Every graph has the inputs `{scope}/scale` and `{scope}/shift` [1, 1, 1, C] of each instance normalisation in it,
x scale - shift, and the outputs `result` [1, h, w, C], or `mean` and `variance` [1, 1, 1, C] of it, each for itself
where there are several times as many channels as those of the layer.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.litert.network import LANES, Sides, convolve, reflect, spatial_mean
from magstyle.models.architecture import Convolution

Kernels = Mapping[str, np.ndarray]


def contracting(
    rows: Sequence[Convolution], kernels: Kernels, height: int, width: int, first: Sides, measured: bool, given: bool
) -> bytes:
    """The first convolutions, of which all but the first have a stride of 2.

    Args:
        rows: their rows of the table, up to three.
        kernels: of every scope.
        height, width: of the input `image` [1, height, width, 3], multiples of 4, with a border of 4 pixels; where it
            is not the first, it begins so many pixels sooner as the convolutions after the first see.
        first: whether it is the first from above, and from the left.
        measured: whether the moments of the result are outputs.
        given: whether the result is.
    """
    graph = Graph()
    x = graph.input("image", (1, height, width, 3))
    y = convolve(rows[0], x, kernels[rows[0].scope])
    for before, row in itertools.pairwise(rows):
        # The last row and column see none of their border: the sides of the image are even.
        x = reflect(_normalized(graph, before, y), 1, first, last=(False, False))
        y = convolve(row, x, kernels[row.scope])
    if len(rows) == 2:
        # A row and a column that are there for the next convolution.
        y = y[:, None if first[0] else 1 :, None if first[1] else 1 :]
    return _finished(graph, y, measured, given)


def residual(
    row: Convolution, kernels: Kernels, before: Convolution, height: int, width: int, measured: bool, kept: bool
) -> bytes:
    """A convolution of a residual block.

    Args:
        row: of the table.
        kernels: of every scope.
        before: the row before, whose result [1, height, width, C], with a border of 1, is the input `before`. If it
            has a shortcut, that is the input `shortcut`, of the same shape.
        height, width: of the inputs.
        measured: whether the moments of the result are outputs.
        kept: whether the input of the convolution is the output `features` [1, height - 2, width - 2, C].
    """
    graph = Graph()
    shape = (1, height, width, before.filters)
    x = _normalized(graph, before, graph.input("before", shape))
    if before.shortcut:
        x = graph.input("shortcut", shape) + x
    outputs = {"features": x[:, 1:-1, 1:-1]} if kept else {}
    return _finished(graph, convolve(row, x, kernels[row.scope]), measured, given=True, **outputs)


def expanding(
    rows: Sequence[Convolution],
    kernels: Kernels,
    channels: int,
    height: int,
    width: int,
    first: Sides,
    last: Sides,
    measured: bool,
    given: bool,
) -> bytes:
    """The convolutions that up-sample, and the last one.

    Args:
        rows: their rows of the table, up to three.
        kernels: of every scope.
        channels: of the input.
        height, width: of the input `features` [1, height, width, channels], with a border of 1 pixel; with all rows,
            of 2, where it is no border of the image.
        first, last: whether it is the first from above and from the left, and the last.
        measured, given: as of `contracting`.
    """
    graph = Graph()
    x = graph.input("features", (1, height, width, channels))
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if row.upsampling == 1:
            x = reflect(x[:, 1:-1, 1:-1], row.kernel_size // 2, first, last)
        y = convolve(row, x, kernels[row.scope])
        if following:
            x = _normalized(graph, row, y)
        elif row.upsampling > 1:
            y = y[:, 1:-1, 1:-1]
    return _finished(graph, y, measured, given)


def activating(row: Convolution, pixels: int) -> bytes:
    """A normalisation and its activation, of a result of few channels.

    Args:
        row: of the table.
        pixels: of the input `before` and the output `result` [1, 1, pixels / 16, 16 C], a multiple of 16. Scale and
            shift have so many channels, too.
    """
    graph = Graph()
    y = graph.input("before", (1, 1, pixels // LANES, LANES * row.filters))
    return _finished(graph, _normalized(graph, row, y), measured=False, given=True)


def _normalized(graph: Graph, row: Convolution, y: Tensor) -> Tensor:
    shape = (1, 1, 1, y.shape[3])
    x = y * graph.input(f"{row.scope}/scale", shape) - graph.input(f"{row.scope}/shift", shape)
    # XNNPACK makes one operation of a difference and a RELU.
    return {"relu": graph.relu, "sigmoid": graph.sigmoid, None: lambda x: x}[row.activation](x)


def _finished(graph: Graph, y: Tensor, measured: bool, given: bool, **outputs: Tensor) -> bytes:
    if given:
        outputs["result"] = y
    if measured:
        _, height, width, channels = y.shape
        if channels < LANES and height * width % LANES == 0:
            y = graph.reshape(y, (1, 1, height * width // LANES, LANES * channels))
        outputs["mean"] = spatial_mean(y)
        outputs["variance"] = spatial_mean(graph.squared_difference(y, outputs["mean"]))
    return serialize(graph.finish(outputs))
