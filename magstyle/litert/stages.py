"""Graphs of a part of the network, for a part of an image, given the moments of the layers before.

With these moments, the network is local: a tile needs only a border of the image around it. The network falls into
stages, between which `tiles` keeps the results: the contracting convolutions, each residual one, and the expanding
ones. A graph holds the first convolutions of a stage, and gives the result of the last of them or its moments, or both.

Every graph has the inputs `{scope}/scale` and `{scope}/shift` [1, 1, 1, C] of each instance normalisation in it,
x scale - shift; drawn per pixel, they are as large as x. Its outputs are `result` [1, h, w, C], if it gives that, and
`mean` and `variance` [1, 1, 1, C], if it measures that; of few channels, 16 pixels are measured as channels of one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.litert.network import LANES, Padding, activated, convolve, is_in_blocks, reflect, spatial_mean
from magstyle.models.architecture import Convolution

Kernels = Mapping[str, np.ndarray]
# From where to where along an axis.
Span = tuple[int, int]
# Vertically and horizontally.
Window = tuple[Span, Span]


class Part(NamedTuple):
    """A part of an axis.

    Attributes:
        length: in pixels of the smallest features; more than a reflection at a border takes.
        first, last: whether it begins, and ends, where the image does.
    """

    length: int
    first: bool
    last: bool


class Tile(NamedTuple):
    """A part of an image.

    Attributes:
        parts: vertically and horizontally; its graphs depend on nothing else.
        top, left: where it begins, in pixels of the smallest features.
    """

    parts: tuple[Part, Part]
    top: int
    left: int

    @property
    def area(self) -> int:
        """In pixels of the smallest features."""
        return self.parts[0].length * self.parts[1].length


class _Step(NamedTuple):
    """A convolution of a graph, along an axis.

    Attributes:
        seen: from where to where it sees its input, in pixels of what is there of it.
        reflected: by how many pixels this is reflected then.
        result: where the result lies, in pixels of it from where the part begins.
        scale: how many times larger than the smallest features the result is.
    """

    seen: Span
    reflected: Padding
    result: Span
    scale: int


class Local(NamedTuple):
    """The first convolutions of a stage.

    Attributes:
        rows: of the table.
        scale: how many times larger than the smallest features the result of the last one is.
    """

    rows: Sequence[Convolution]
    scale: int

    def windows(self, tile: Tile) -> list[Window]:
        """Where the input of the graph for a tile lies, and the result of each convolution in it.

        Each is in pixels of the whole tensor; some reach beyond its borders.
        """
        vertical, horizontal = (
            [(step.scale * offset + step.result[0], step.scale * offset + step.result[1]) for step in self._along(part)]
            for part, offset in zip(tile.parts, (tile.top, tile.left), strict=True)
        )
        return list(zip(vertical, horizontal, strict=True))

    def draw(self, kernels: Kernels, tile: Tile, measured: bool, given: bool, per_pixel: bool) -> bytes:
        """The graph, whose input is `before` [1, h, w, C], the first of the windows.

        Args:
            kernels: of every scope.
            tile: one of those that it is for.
            measured, given: whether it measures the result, and gives it.
            per_pixel: whether every pixel has its own scales and shifts.
        """
        graph = Graph()
        steps = list(zip(*map(self._along, tile.parts), strict=True))
        sides = [stop - start for start, stop in (step.result for step in steps[0])]
        x = graph.input("before", (1, sides[0], sides[1], kernels[self.rows[0].scope].shape[2]))
        before = None
        for row, (vertical, horizontal) in zip(self.rows, steps[1:], strict=True):
            x = x if before is None else _normalized(graph, before, x, per_pixel)
            x = reflect(_cropped(x, vertical.seen, horizontal.seen), vertical.reflected, horizontal.reflected)
            x, before = convolve(row, x, kernels[row.scope], vertical.scale), row
        spans = [
            (-step.result[0], self.scale * part.length - step.result[0])
            for step, part in zip(steps[-1], tile.parts, strict=True)
        ]
        return _finished(graph, _cropped(x, *spans), measured, given)

    def _along(self, part: Part) -> list[_Step]:
        """The input and the convolutions along an axis."""
        # Backwards: what each convolution needs to see for the next.
        scale, wanted = self.scale, (0, self.scale * part.length)
        needed = []
        for row in reversed(self.rows):
            needed.append(_needed(row, wanted, scale))
            scale = scale * row.strides // row.upsampling
            wanted = _inside(row, needed[-1], scale, part)
        steps = [_Step((0, 0), (0, 0), needed[-1], scale)]
        for row, (start, stop) in zip(self.rows, reversed(needed), strict=True):
            there, inside = steps[-1].result, _inside(row, (start, stop), scale, part)
            if row is self.rows[0]:
                inside = start, stop  # The input comes with what lies beyond the borders.
            reflected = inside[0] - start, stop - inside[1]
            # A stride of 2 does not see one pixel too many at the end.
            end = there[1] if row.strides > 1 and not reflected[1] else inside[1]
            scale = scale * row.upsampling // row.strides
            steps.append(_Step((inside[0] - there[0], end - there[0]), reflected, _given(row, (start, stop)), scale))
        return steps


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

    Its input is `before` [1, height + k - 1, width + k - 1, C], the result of the row before, with the border that a
    kernel of k x k sees; and `shortcut`, of the same shape, if that row has one.

    Args:
        row: of the table.
        kernels: of every scope.
        before: the row before.
        height, width: of the result.
        measured: whether it measures the result.
        kept: whether it also gives the input of the convolution, `features` [1, height, width, C].
        per_pixel: whether every pixel has its own scales and shifts.
    """
    graph = Graph()
    border = row.kernel_size // 2
    shape = (1, height + 2 * border, width + 2 * border, before.filters)
    x = _normalized(graph, before, graph.input("before", shape), per_pixel)
    if before.shortcut:
        x = graph.input("shortcut", shape) + x
    outputs = {"features": _cropped(x, (border, border + height), (border, border + width))} if kept else {}
    return _finished(graph, convolve(row, x, kernels[row.scope], scale=1), measured, given=True, **outputs)


def activating(row: Convolution, pixels: int, per_pixel: bool) -> bytes:
    """A normalisation and its activation, of a result of few channels.

    Its input is `before` [1, 1, pixels / 16, 16 C], as is its result; scale and shift have 16 C channels, too.

    Args:
        row: of the table.
        pixels: a multiple of 16.
        per_pixel: whether every pixel has its own scale and shift.
    """
    graph = Graph()
    y = graph.input("before", (1, 1, pixels // LANES, LANES * row.filters))
    return _finished(graph, _normalized(graph, row, y, per_pixel), measured=False, given=True)


def _needed(row: Convolution, result: Span, scale: int) -> Span:
    """What a convolution sees for a part of its result, of this scale, in pixels of its input, along an axis."""
    start, stop = result
    if is_in_blocks(row, scale):
        stop += (stop - start) % 2
    border = row.kernel_size // 2
    return (row.strides * start - border) // row.upsampling, (row.strides * (stop - 1) + border) // row.upsampling + 1


def _given(row: Convolution, seen: Span) -> Span:
    """The result of a convolution that sees this part of its input, without further borders."""
    start, stop = (row.upsampling * end for end in seen)
    border = row.kernel_size // 2
    return (start + border) // row.strides, (stop - border - 1) // row.strides + 1


def _inside(row: Convolution, seen: Span, scale: int, part: Part) -> Span:
    """What lies within the image of all that a convolution sees, or all: an up-sampled border is there already.

    Args:
        row: of the table.
        seen: from where to where.
        scale: of its input.
        part: the part.
    """
    start, stop = seen
    if row.upsampling == 1:
        start = max(start, 0) if part.first else start
        stop = min(stop, scale * part.length) if part.last else stop
    return start, stop


def _cropped(x: Tensor, rows: Span, columns: Span) -> Tensor:
    if x.shape[1:3] == (rows[1], columns[1]) and rows[0] == columns[0] == 0:
        return x
    return x[:, slice(*rows), slice(*columns)]


def _normalized(graph: Graph, row: Convolution, y: Tensor, per_pixel: bool) -> Tensor:
    shape = y.shape if per_pixel else (1, 1, 1, y.shape[3])
    x = y * graph.input(f"{row.scope}/scale", shape) - graph.input(f"{row.scope}/shift", shape)
    # XNNPACK makes one operation of a difference and a RELU.
    return activated(row, x)


def _finished(graph: Graph, y: Tensor, measured: bool, given: bool, **outputs: Tensor) -> bytes:
    if given:
        outputs["result"] = y
    if measured:
        pixels, channels = y.known_shape[1] * y.known_shape[2], y.known_shape[3]
        if channels < LANES and pixels % LANES == 0:
            y = graph.reshape(y, (1, 1, pixels // LANES, LANES * channels))
        outputs["mean"] = spatial_mean(y)
        outputs["variance"] = spatial_mean(graph.squared_difference(y, outputs["mean"]))
    return serialize(graph.finish(outputs))
