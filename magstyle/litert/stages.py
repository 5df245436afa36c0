"""Graphs of a part of the network, for a part of an image, where the moments of the layers before are known.

With these, the network is local: a tile needs no more of the image than a border. The network falls into stages,
between which `tiles` keeps the results: the contracting convolutions, each residual one, and the expanding ones. A
graph holds the first convolutions of a stage, and gives the result of the last of them or its moments, or both.

Every graph has the inputs `{scope}/scale` and `{scope}/shift` [1, 1, 1, C] of each instance normalisation in it,
x scale - shift; drawn per pixel, it wants them as large as x. Its outputs are `result` [1, h, w, C], if it gives that,
and `mean` and `variance` [1, 1, 1, C], if it measures that; of few channels, 16 pixels are measured as channels of one.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.litert.network import LANES, Sides, convolve, reflect, spatial_mean
from magstyle.models.architecture import Convolution

Kernels = Mapping[str, np.ndarray]
# From where to where, vertically and horizontally.
Window = tuple[tuple[int, int], tuple[int, int]]


class Tile(NamedTuple):
    """A part of an image, in pixels of the features at a quarter of the size.

    Attributes:
        height, width: at least 2, which the reflections at borders need.
        first, last: whether it is the first from above, and from the left, and the last.
        top, left: where it begins.
    """

    height: int
    width: int
    first: Sides
    last: Sides
    top: int
    left: int

    @property
    def kind(self) -> tuple:
        """All that its graphs depend on."""
        return self[:4]


def window_of_image(rows: Sequence[Convolution], tile: Tile) -> Window:
    """What of the image the first contracting convolutions need for a tile; some of it may lie beyond its borders."""

    def along(start: int, length: int, first: bool) -> tuple[int, int]:
        if len(rows) == 1:
            return 4 * start - 4, 4 * (start + length) + 4
        # Three pixels sooner for the convolutions after the first; and a fourth at the end, to have blocks of 4.
        return (-4, 4 * length + 4) if first else (4 * start - 7, 4 * (start + length) + 5)

    return along(tile.top, tile.height, tile.first[0]), along(tile.left, tile.width, tile.first[1])


def window_of_features(rows: Sequence[Convolution], tile: Tile) -> Window:
    """What of the features the first expanding convolutions need for a tile; some may lie beyond their borders."""
    # The last convolution sees 4 pixels around, which are reflected at the borders of the image.
    before, after = (
        [2 if rows[-1].upsampling == 1 and not end else 1 for end in ends] for ends in (tile.first, tile.last)
    )
    return (
        (tile.top - before[0], tile.top + tile.height + after[0]),
        (tile.left - before[1], tile.left + tile.width + after[1]),
    )


def windows_of_contracting(rows: Sequence[Convolution], tile: Tile) -> list[Window]:
    """Where the results of all but the last of some contracting convolutions lie, in pixels of these results."""
    if len(rows) == 1:
        return []

    def along(start: int, length: int, first: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        # Also what the convolutions after it see around; there is nothing before the first pixel.
        seen = (3, 1) if not first else (0, 0)
        return (4 * start - seen[0], 4 * (start + length) + seen[1]), (2 * start - (not first), 2 * (start + length))

    vertically = along(tile.top, tile.height, tile.first[0])
    horizontally = along(tile.left, tile.width, tile.first[1])
    return list(zip(vertically, horizontally, strict=True))[: len(rows) - 1]


def windows_of_expanding(rows: Sequence[Convolution], tile: Tile) -> list[Window]:
    """Where the results of all but the last of some expanding convolutions lie, in pixels of these results."""
    window, windows = window_of_features(rows, tile), []
    for _ in rows[:-1]:
        window = tuple((2 * start + 1, 2 * stop - 1) for start, stop in window)
        windows.append(window)
    return windows


def contracting(
    rows: Sequence[Convolution], kernels: Kernels, tile: Tile, measured: bool, given: bool, per_pixel: bool
) -> bytes:
    """The first convolutions, of which all but the first have a stride of 2.

    Its input is `image` [1, h, w, 3], the window of the image.

    Args:
        rows: their rows of the table, up to three.
        kernels: of every scope.
        tile: one of those that it is for.
        measured, given: whether it measures the result, and gives it.
        per_pixel: whether pixels have styles of their own.
    """
    graph = Graph()
    x = graph.input("image", _shape(window_of_image(rows, tile), 3))
    y = convolve(rows[0], x, kernels[rows[0].scope])
    for before, row in itertools.pairwise(rows):
        # The last row and column are not seen with their border: the sides of the image are even.
        x = reflect(_normalized(graph, before, y, per_pixel), 1, tile.first, last=(False, False))
        y = convolve(row, x, kernels[row.scope])
    if len(rows) == 2:
        # Without what is there for the next convolution.
        y = y[:, None if tile.first[0] else 1 :, None if tile.first[1] else 1 :]
    return _finished(graph, y, measured, given)


def residual(
    row: Convolution,
    kernels: Kernels,
    before: Convolution,
    height: int,
    width: int,
    measured: bool,
    kept: bool,
    per_pixel: bool,
) -> bytes:
    """A convolution of a residual block. It gives its result.

    Its input is `before` [1, height + 2, width + 2, C], the result of the row before, with a border; and `shortcut`, of
    the same shape, if that row has one.

    Args:
        row: of the table.
        kernels: of every scope.
        before: the row before.
        height, width: of the result.
        measured: whether it measures the result.
        kept: whether it also gives the input of the convolution, `features` [1, height, width, C].
        per_pixel: whether pixels have styles of their own.
    """
    graph = Graph()
    shape = (1, height + 2, width + 2, before.filters)
    x = _normalized(graph, before, graph.input("before", shape), per_pixel)
    if before.shortcut:
        x = graph.input("shortcut", shape) + x
    outputs = {"features": x[:, 1:-1, 1:-1]} if kept else {}
    return _finished(graph, convolve(row, x, kernels[row.scope]), measured, given=True, **outputs)


def expanding(
    rows: Sequence[Convolution], kernels: Kernels, tile: Tile, measured: bool, given: bool, per_pixel: bool
) -> bytes:
    """The convolutions that up-sample, and the last one.

    Its input is `features` [1, h, w, C], the window of the features.

    Args:
        rows: their rows of the table, up to three.
        kernels, tile, measured, given, per_pixel: as of `contracting`.
    """
    graph = Graph()
    x = graph.input("features", _shape(window_of_features(rows, tile), kernels[rows[0].scope].shape[2]))
    for row in rows:
        if row.upsampling == 1:
            x = reflect(x[:, 1:-1, 1:-1], row.kernel_size // 2, tile.first, tile.last)
        y = convolve(row, x, kernels[row.scope])
        if row is not rows[-1]:
            x = _normalized(graph, row, y, per_pixel)
    return _finished(graph, y if row.upsampling == 1 else y[:, 1:-1, 1:-1], measured, given)


def activating(row: Convolution, pixels: int, per_pixel: bool) -> bytes:
    """A normalisation and its activation, of a result of few channels.

    Its input is `before` [1, 1, pixels / 16, 16 C], as is its result; scale and shift have so many channels, too.

    Args:
        row: of the table.
        pixels: a multiple of 16.
        per_pixel: whether they have styles of their own.
    """
    graph = Graph()
    y = graph.input("before", (1, 1, pixels // LANES, LANES * row.filters))
    return _finished(graph, _normalized(graph, row, y, per_pixel), measured=False, given=True)


def _shape(window: Window, channels: int) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = window
    return 1, bottom - top, right - left, channels


def _normalized(graph: Graph, row: Convolution, y: Tensor, per_pixel: bool) -> Tensor:
    shape = y.shape if per_pixel else (1, 1, 1, y.shape[3])
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
