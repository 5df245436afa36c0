"""Graphs of a part of the network, for a part of an image, given the moments of the layers before.

With these moments, the network is local: a tile needs only a border of the image around it. The network falls into
stages, between which `tiles` keeps the results: the contracting convolutions, each residual one, and the expanding
ones. A graph holds the first convolutions of a stage, and gives the moments of the last result, or that as well.

Every graph has the inputs `{scope}/scale` and `{scope}/shift` [1, 1, 1, C] of each instance normalisation in it,
x scale - shift; drawn per pixel, they are as large as x. Its outputs are `result` [1, h, w, C], if it gives that, and
`mean` and `variance` [1, 1, 1, C], if it measures that; a result of few channels is measured with 16 pixels as channels
of one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.litert.network import LANES, Padding, activated, convolve, is_in_blocks, reflect, spatial_mean
from magstyle.models.architecture import Convolution

Kernels = Mapping[str, np.ndarray]
# Start and stop along an axis.
Span = tuple[int, int]
# A vertical and a horizontal span.
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
        parts: its vertical and its horizontal part; its graphs depend on nothing else.
        top, left: where it begins, in pixels of the smallest features.
    """

    parts: tuple[Part, Part]
    top: int
    left: int

    @property
    def area(self) -> int:
        """The area, in pixels of the smallest features."""
        return self.parts[0].length * self.parts[1].length


class _Step(NamedTuple):
    """A convolution of a graph, along an axis.

    Attributes:
        seen: the range that it reads of the available input.
        reflected: pixels of reflection added before and after it.
        result: where the result lies, in its own pixels, from the start of the part.
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
        """The windows of the input of a tile's graph, and of the result of each convolution in it.

        Each is in pixels of the whole tensor; some reach beyond its borders.
        """
        vertical, horizontal = (
            [(step.scale * offset + step.result[0], step.scale * offset + step.result[1]) for step in self._along(part)]
            for part, offset in zip(tile.parts, (tile.top, tile.left), strict=True)
        )
        return list(zip(vertical, horizontal, strict=True))

    def draw(self, kernels: Kernels, tile: Tile, *, given: bool, per_pixel: bool) -> bytes:
        """The graph, whose input is `before` [1, h, w, C], the first of the windows. It measures its result.

        Args:
            kernels: of every scope.
            tile: any of those with the same parts.
            given: whether it gives the result, too.
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
        y = _cropped(x, *spans)
        return serialize(graph.finish({**({"result": y} if given else {}), **_moments(y)}))

    def _along(self, part: Part) -> list[_Step]:
        """The input and the convolutions along an axis."""
        # Backwards: each convolution needs a part of the result before it.
        scale, wanted = self.scale, (0, self.scale * part.length)
        backwards = []
        for row in reversed(self.rows):
            result_scale, needed = scale, _needed(row, wanted, scale)
            scale = scale * row.strides // row.upsampling
            # The first input comes with the pixels beyond the borders.
            wanted = needed if row is self.rows[0] else _inside(row, needed, scale, part)
            backwards.append((row, needed, wanted, result_scale))
        steps = [_Step((0, 0), (0, 0), wanted, scale)]
        for row, needed, inside, result_scale in reversed(backwards):
            there, reflected = steps[-1].result, (inside[0] - needed[0], needed[1] - inside[1])
            # A stride of 2 may skip the last pixel that is there: it needs no cropping.
            end = there[1] if row.strides > 1 and not reflected[1] else inside[1]
            seen = inside[0] - there[0], end - there[0]
            steps.append(_Step(seen, reflected, _given(row, needed), result_scale))
        return steps


def residual(
    row: Convolution, before: Convolution, kernel: np.ndarray, size: tuple[int, int], *, kept: bool, per_pixel: bool
) -> bytes:
    """A convolution of a residual block. It gives its result, and measures it.

    Its input is `before` [1, height + k - 1, width + k - 1, C], the result of the row before, with the border that a
    kernel of k x k sees; and `shortcut`, of the same shape, if that row has one.

    Args:
        row: of the table.
        before: the row before.
        kernel: of the row.
        size: height and width of the result.
        kept: whether it also gives the input of the convolution, `features` [1, height, width, C].
        per_pixel: whether every pixel has its own scales and shifts.
    """
    graph = Graph()
    border, (height, width) = row.kernel_size // 2, size
    shape = (1, height + 2 * border, width + 2 * border, before.filters)
    x = _normalized(graph, before, graph.input("before", shape), per_pixel)
    if before.shortcut:
        x = graph.input("shortcut", shape) + x
    outputs = {"features": _cropped(x, (border, border + height), (border, border + width))} if kept else {}
    y = convolve(row, x, kernel, scale=1)
    return serialize(graph.finish({**outputs, "result": y, **_moments(y)}))


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
    return serialize(graph.finish({"result": _normalized(graph, row, y, per_pixel)}))


def _needed(row: Convolution, result: Span, scale: int) -> Span:
    """The part of its input that a convolution needs for a part of its result of this scale, along an axis."""
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
    """The part of a convolution's input within the image; all of it when up-sampling, whose border exists already.

    Args:
        row: of the table.
        seen: the input, which may reach beyond the image.
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


def _moments(y: Tensor) -> dict[str, Tensor]:
    """The moments of a result, by the names that its graph gives them."""
    _, height, width, channels = y.known_shape
    pixels = height * width
    if channels < LANES and pixels % LANES == 0:
        y = y.graph.reshape(y, (1, 1, pixels // LANES, LANES * channels))
    mean = spatial_mean(y)
    return {"mean": mean, "variance": spatial_mean(y.graph.squared_difference(y, mean))}
