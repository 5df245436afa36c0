"""Images of any size, painted tile by tile in little memory, to the same picture as in one piece.

Instance normalisation needs the moments of a whole layer; everything else in the network sees only a few pixels around
each pixel. So the layers are measured one after the other, tile by tile, and the layers before are computed again each
time; only the smallest features are kept, which have 1/16 of the image's pixels.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from magstyle import sizes
from magstyle.litert import runtime, stages
from magstyle.litert.network import EPSILON, LANES, Parameters
from magstyle.models.architecture import Convolution, reductions

_FLOAT = 4
# Sides of tiles, in pixels of the smallest features.
_TILE, _SMALLEST_TILE = 64, 4
# A tile is taken to need the memory of 12 tensors as large as the largest, and of 4 more if every pixel has its own
# scales and shifts. These are upper bounds, found by hand: the graphs of a tile of 64 x 64 in the middle of a photo
# took up to 3 of these tensors if they have 32 channels, and 5 if they have 8 (6 and 8 with own scales and shifts).
_COPIES, _COPIES_PER_PIXEL = 12, 4
# How many pixels are activated at a time, a multiple of 16.
_ACTIVATED = 2**18

Progress = Callable[[float], object]


class _Moments(NamedTuple):
    """The moments of the result of a convolution, over height and width.

    Attributes:
        mean: float32 [C].
        variance: float32 [C], biased.
    """

    mean: np.ndarray
    variance: np.ndarray


def paint(
    convolutions: Sequence[Convolution],
    parameters: Parameters,
    image: np.ndarray,
    style_weights: np.ndarray,
    *,
    margin: int = 0,
    memory_limit: int | None = None,
    progress: Progress = lambda share: None,
) -> np.ndarray:
    """Paints an image.

    Args:
        convolutions: of the network, `StyleTransformer.convolutions`.
        parameters: of every scope: `kernel` [k, k, C_in, C_out], `gamma` and `beta` [num_styles, C_out].
        image: [H, W, 3], RGB in [0, 1]. It is reflected at its lower and right borders to multiples of 4, from 8.
        style_weights: [num_styles], or [H, W, num_styles] for every pixel, averaged for smaller layers.
        margin: how many pixels beyond every border the image, and weights of its pixels, are reflected as well; they
            are painted, but not returned.
        memory_limit: bytes to take besides the image; if that is too little, the tiles are as small as possible. None
            for tiles of the fastest size.
        progress: called now and then with the share of the work done since the last call; the shares add up to 1.

    Returns:
        float32 [H, W, 3], in [0, 1].
    """
    painting = _Painting(convolutions, parameters, image.shape[:2], style_weights, margin, progress)
    return painting.paint(image, memory_limit)


def needed(convolutions: Sequence[Convolution], height: int, width: int, regions: int = 0) -> int:
    """The bytes that `paint` takes for an image of this size, besides the image, with the smallest tiles.

    Args:
        convolutions: of the network.
        height, width: of the image, in pixels.
        regions: how many styles have a weight for each pixel; 0 if the whole image has the same weights.
    """
    height, width = _features_size(convolutions, height, width)
    # A strip of the residual convolutions has four rows with its borders, but a quarter of a tile's numbers per pixel.
    tile = max(_SMALLEST_TILE**2, width) * _per_pixel(convolutions, regions)
    return _kept(convolutions, height, width, regions) + tile


class _Graph:
    """A graph, ready to run. The arrays that `input` and `output` return must be gone before it runs."""

    def __init__(self, content: bytes):
        self._interpreter = Interpreter(model_content=content, num_threads=runtime.cores())
        self._interpreter.allocate_tensors()
        self._inputs, self._outputs = (
            {entry["name"]: entry["index"] for entry in details}
            for details in (self._interpreter.get_input_details(), self._interpreter.get_output_details())
        )

    def input(self, name: str) -> np.ndarray:
        return self._interpreter.tensor(self._inputs[name])()[0]

    def run(self) -> None:
        self._interpreter.invoke()

    def output(self, name: str) -> np.ndarray:
        return self._interpreter.tensor(self._outputs[name])()[0]


class _Layer:
    """An array [H, W, C] from which windows are taken that reach beyond its borders.

    Args:
        values: the array.
        border: how far a window reaches beyond a border at most.
        mode: how the values go on there, as for `numpy.pad`.
        size: height and width, if the array is first reflected at its borders up to these.
        margin: how much of that lies before its upper and left borders.
    """

    def __init__(
        self,
        values: np.ndarray,
        border: int,
        mode: Literal["reflect", "edge"],
        size: Sequence[int] | None = None,
        margin: int = 0,
    ):
        self._values, self._border = values, border
        # Source index of each padded row and column.
        self._places = [
            np.pad(np.pad(np.arange(there), (margin, side - there - margin), "reflect"), border, mode)
            for there, side in zip(values.shape[:2], size or values.shape[:2], strict=True)
        ]

    def window(self, window: stages.Window) -> np.ndarray:
        """The values in a window."""
        rows, columns = (
            places[start + self._border : stop + self._border]
            for places, (start, stop) in zip(self._places, window, strict=True)
        )
        if all(index[-1] - index[0] == len(index) - 1 for index in (rows, columns)):
            return self._values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return self._values[np.ix_(rows, columns)]


class _Weights:
    """The weights of the styles in layers of all sizes.

    Args:
        weights: [num_styles].
    """

    per_pixel = False
    # How many styles have a weight for each pixel.
    regions = 0

    def __init__(self, weights: np.ndarray):
        self._weights = np.asarray(weights, np.float32)

    def window(self, reduction: int, window: stages.Window) -> np.ndarray:
        """[num_styles], or [h, w, num_styles], of a window of a layer this many times smaller than the image."""
        return self._weights

    def pixels(self, start: int, stop: int) -> np.ndarray:
        """[num_styles], or [n, num_styles], of some of the pixels of the image, row by row."""
        return self._weights


class _WeightsPerPixel(_Weights):
    """The weights of the styles for every pixel, in layers of all sizes.

    Args:
        weights: [H, W, num_styles].
        size: of the smallest features.
        reduction: how many times smaller than the image they are.
        border: how far windows reach beyond the borders of a layer at most.
        margin: how far the layers reach beyond the upper and left borders of the image, in its pixels.
    """

    per_pixel = True

    def __init__(self, weights: np.ndarray, size: tuple[int, int], reduction: int, border: int, margin: int):
        super().__init__(weights)
        self.regions = weights.shape[2]
        padding = [
            (margin, reduction * side - there - margin) for side, there in zip(size, weights.shape[:2], strict=True)
        ]
        whole = np.pad(self._weights, [*padding, (0, 0)], "reflect") if np.any(padding) else self._weights
        maps, k = {1: whole}, 1
        while k < reduction:
            even, odd = maps[k][::2], maps[k][1::2]
            k *= 2
            maps[k] = np.float32(0.25) * (even[:, ::2] + even[:, 1::2] + odd[:, ::2] + odd[:, 1::2])
        # A layer has the border of the result that is normalised there.
        self._layers = {
            k: _Layer(values, border, "reflect" if k == reduction else "edge") for k, values in maps.items()
        }

    def window(self, reduction: int, window: stages.Window) -> np.ndarray:
        return self._layers[reduction].window(window)

    def pixels(self, start: int, stop: int) -> np.ndarray:
        return self._weights.reshape(-1, self.regions)[start:stop]


class _Features(NamedTuple):
    """The smallest features, computed strip by strip in place.

    Attributes:
        kept: [h, w, C], the result of the last row.
        shortcut: [h, w, C], the tensor to add if that row has a shortcut.
        height: of the strips.
    """

    kept: np.ndarray
    shortcut: np.ndarray
    height: int


class _Painting:
    """An image on its way through the network.

    Args:
        convolutions, parameters, style_weights, margin, progress: as for `paint`.
        image_size: height and width.
    """

    def __init__(
        self,
        convolutions: Sequence[Convolution],
        parameters: Parameters,
        image_size: tuple[int, int],
        style_weights: np.ndarray,
        margin: int,
        progress: Progress,
    ):
        # By scope, as they become known.
        self._moments: dict[str, _Moments] = {}
        self._table, self._parameters = list(convolutions), parameters
        self._kernels = {scope: values["kernel"] for scope, values in parameters.items()}
        self._reductions, self._smallest = reductions(convolutions), _smallest(convolutions)
        self._contracting, self._residual, self._expanding = _stages(convolutions)
        # No window reaches further beyond a border than this.
        self._border = max(row.kernel_size for row in convolutions)
        self._margin = margin
        self._size = _features_size(convolutions, *(side + 2 * margin for side in image_size))
        self._weights = (
            _WeightsPerPixel(style_weights, self._size, self._smallest, self._border, margin)
            if np.ndim(style_weights) == 3
            else _Weights(style_weights)
        )
        passes = [*self._passes(self._contracting), *self._passes(self._expanding)]
        work = sum(self._work(local.rows) for local in passes) + sum(self._work([row]) for row in self._residual)
        self._report = lambda rows, share: progress(self._work(rows) / work * share)

    def paint(self, image: np.ndarray, memory_limit: int | None) -> np.ndarray:
        """The picture, float32 [H, W, 3]."""
        side = _TILE
        if memory_limit is not None:
            regions = self._weights.regions
            free = max(memory_limit - _kept(self._table, *self._size, regions), 0)
            side = int(np.clip((free / _per_pixel(self._table, regions)) ** 0.5, _SMALLEST_TILE, _TILE))
        features = self._contract(image, side)
        self._transform(features, max(2, side**2 // self._size[1]))
        return self._expand(features, image.shape, side)

    def _contract(self, image: np.ndarray, side: int) -> np.ndarray:
        """The result [h, w, C] of the last contracting convolution."""
        kept = np.empty((*self._size, self._contracting[-1].filters), np.float32)
        size = [self._smallest * length for length in self._size]

        def write(tile: stages.Tile, result: np.ndarray) -> None:
            height, width = (part.length for part in tile.parts)
            kept[tile.top :, tile.left :][:height, :width] = result

        self._sweep(self._contracting, side, _Layer(image, self._border, "reflect", size, self._margin), write)
        return kept

    def _transform(self, kept: np.ndarray, height: int) -> None:
        """Turns the result of the contracting convolutions into the input of the expanding ones, in place."""
        features = _Features(kept, np.empty_like(kept if self._residual else kept[:0]), height)
        before = self._contracting[-1]
        for row in self._residual:
            self._convolve_in_place(row, before, features)
            before = row
        self._normalize_in_place(before, features)

    def _convolve_in_place(self, row: Convolution, before: Convolution, features: _Features) -> None:
        """Puts the result of a residual convolution in the place of the result of the row before."""
        kept, shortcut, height = features
        begins = row.scope in {other.shortcut for other in self._residual}
        moments = _Measurement(row.filters)
        border, width = row.kernel_size // 2, kept.shape[1]
        inputs = {"before": kept, **({"shortcut": shortcut} if before.shortcut else {})}
        above = {name: values[:0] for name, values in inputs.items()}
        for length, strips in itertools.groupby(
            _parts(len(kept), height, border + 1), lambda strip: strip[1] - strip[0]
        ):
            options = {"kept": begins, "per_pixel": self._weights.per_pixel}
            graph = _Graph(stages.residual(row, before, self._kernels[row.scope], (length, width), **options))
            for top, bottom in strips:
                window = (top - border, bottom + border), (-border, width + border)
                self._set_style(graph, before, self._weights.window(self._smallest, window))
                for name, values in inputs.items():
                    _fill(graph.input(name), values, top, bottom, above[name])
                    above[name] = values[bottom - border : bottom].copy()
                graph.run()
                kept[top:bottom] = graph.output("result")
                if begins:
                    shortcut[top:bottom] = graph.output("features")
                moments.add(graph, bottom - top)
                self._report([row], (bottom - top) / len(kept))
            del graph  # Before there is another, so that its memory is free.
        self._moments[row.scope] = moments.moments()

    def _normalize_in_place(self, before: Convolution, features: _Features) -> None:
        """Normalises and activates the result of the last row before the expanding ones."""
        kept, shortcut, height = features
        scales, shifts = self._scales_and_shifts(before)
        for top, bottom in _parts(len(kept), height):
            strip = kept[top:bottom]
            weights = self._weights.window(self._smallest, ((top, bottom), (0, kept.shape[1])))
            strip *= weights @ scales
            strip -= weights @ shifts
            if before.activation == "relu":
                np.maximum(strip, 0, out=strip)
            if before.shortcut:
                strip += shortcut[top:bottom]

    def _expand(self, features: np.ndarray, shape: tuple[int, ...], side: int) -> np.ndarray:
        """The picture."""
        picture = np.empty(shape, np.float32)

        def write(tile: stages.Tile, result: np.ndarray) -> None:
            top, left = (self._smallest * start - self._margin for start in (tile.top, tile.left))
            result = result[max(-top, 0) :, max(-left, 0) :]
            part = picture[max(top, 0) :, max(left, 0) :][: result.shape[0], : result.shape[1]]
            part[:] = result[: part.shape[0], : part.shape[1]]

        self._sweep(self._expanding, side, _Layer(features, self._border, "edge"), write)
        self._activate(self._expanding[-1], picture.reshape(-1))
        return picture

    def _sweep(
        self,
        stage: Sequence[Convolution],
        side: int,
        layer: _Layer,
        write: Callable[[stages.Tile, np.ndarray], None],
    ) -> None:
        """Computes a stage tile by tile, once to measure each of its convolutions.

        Args:
            stage: its rows of the table.
            side: of the tiles, in pixels of the smallest features.
            layer: the stage's input.
            write: takes the result of the whole stage.
        """
        tiles = _tiles(self._size, side)
        for local in self._passes(stage):
            scope, whole = local.rows[-1].scope, len(local.rows) == len(stage)
            moments = _Measurement(local.rows[-1].filters)
            for _, alike in itertools.groupby(tiles, key=lambda tile: tile.parts):
                graph = None
                for tile in alike:
                    if graph is None:
                        options = {"given": whole, "per_pixel": self._weights.per_pixel}
                        graph = _Graph(local.draw(self._kernels, tile, **options))
                    self._compute(graph, local, tile, layer)
                    if whole:
                        write(tile, graph.output("result"))
                    moments.add(graph, tile.area)
                    self._report(local.rows, tile.area / math.prod(self._size))
            self._moments[scope] = moments.moments()

    def _compute(self, graph: _Graph, local: stages.Local, tile: stages.Tile, layer: _Layer) -> None:
        """Runs the graph of the first convolutions of a stage for a tile."""
        window, *results = local.windows(tile)
        graph.input("before")[:] = layer.window(window)
        for row, result in zip(local.rows[:-1], results, strict=False):
            self._set_style(graph, row, self._weights.window(self._reductions[row.scope], result))
        graph.run()

    def _activate(self, row: Convolution, numbers: np.ndarray) -> None:
        """Normalises a result, in place."""
        pixels = min(_ACTIVATED, -(-numbers.size // row.filters // LANES) * LANES)
        graph = _Graph(stages.activating(row, pixels, self._weights.per_pixel))
        for first in range(0, numbers.size // row.filters, pixels):
            part = numbers[first * row.filters :][: pixels * row.filters]
            graph.input("before").reshape(-1)[: part.size] = part
            self._set_style(graph, row, self._weights.pixels(first, first + pixels))
            graph.run()
            part[:] = graph.output("result").reshape(-1)[: part.size]

    def _passes(self, stage: Sequence[Convolution]) -> list[stages.Local]:
        """The first convolution of a stage, the first two, and so on: each pass measures the last one."""
        return [
            stages.Local(stage[: k + 1], self._smallest // self._reductions[row.scope]) for k, row in enumerate(stage)
        ]

    def _work(self, rows: Sequence[Convolution]) -> float:
        """The multiplications of some convolutions for a pixel of the smallest features."""
        return sum((self._smallest / self._reductions[row.scope]) ** 2 * self._kernels[row.scope].size for row in rows)

    def _set_style(self, graph: _Graph, row: Convolution, weights: np.ndarray) -> None:
        """Sets the scale and the shift of a normalisation, given weights [num_styles] or those of all its pixels."""
        for name, table in zip(("scale", "shift"), self._scales_and_shifts(row), strict=True):
            values, entry = (weights @ table).reshape(-1), graph.input(f"{row.scope}/{name}").reshape(-1)
            count = entry.size // values.size * values.size
            entry[:count] = np.tile(values, count // values.size)

    def _scales_and_shifts(self, row: Convolution) -> tuple[np.ndarray, np.ndarray]:
        """The scales and shifts of an instance normalisation x scale - shift, for every style, each [num_styles, C]."""
        gammas, betas = (self._parameters[row.scope][name] for name in ("gamma", "beta"))
        mean, variance = self._moments[row.scope]
        scales = gammas / np.sqrt(variance + np.float32(EPSILON))
        return scales, mean * scales - betas


class _Measurement:
    """The moments of a layer [C], computed from those of its parts."""

    def __init__(self, channels: int):
        self._channels = channels
        self._parts: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, graph: _Graph, pixels: int) -> None:
        """Adds a part.

        Args:
            graph: whose outputs are the moments of the part.
            pixels: of the part, or any multiple of them that is the same for all parts.
        """
        means, variances = (
            graph.output(name).reshape(-1, self._channels).astype(np.float64) for name in ("mean", "variance")
        )
        # A part may have been measured in groups of equal size.
        self._parts.append((pixels, means.mean(axis=0), (variances + np.square(means)).mean(axis=0)))

    def moments(self) -> _Moments:
        """The moments of all parts together."""
        pixels, means, squares = (np.array(values) for values in zip(*self._parts, strict=True))
        mean, square = (np.average(values, axis=0, weights=pixels) for values in (means, squares))
        return _Moments(mean.astype(np.float32), (square - np.square(mean)).astype(np.float32))


def _stages(convolutions: Sequence[Convolution]) -> tuple[Sequence[Convolution], ...]:
    """The contracting, the residual and the expanding convolutions."""
    smallest = max(k for k, row in enumerate(convolutions) if row.strides > 1)
    largest = min(k for k, row in enumerate(convolutions) if row.upsampling > 1)
    return convolutions[: smallest + 1], convolutions[smallest + 1 : largest], convolutions[largest:]


def _smallest(convolutions: Sequence[Convolution]) -> int:
    """How many times smaller than the image the smallest features are."""
    return max(reductions(convolutions).values())


def _features_size(convolutions: Sequence[Convolution], height: int, width: int) -> tuple[int, int]:
    """Height and width of the smallest features of an image."""
    smallest = _smallest(convolutions)
    return sizes.padded(height) // smallest, sizes.padded(width) // smallest


def _kept(convolutions: Sequence[Convolution], height: int, width: int, regions: int) -> int:
    """The bytes that are kept for smallest features of this height and width.

    They hold two results of the residual convolutions, or one and the picture, and the weights of the regions for
    layers of all sizes.
    """
    smallest = _smallest(convolutions)
    channels, picture = _stages(convolutions)[0][-1].filters, convolutions[-1].filters * smallest**2
    weights = sum((smallest // reduction) ** 2 for reduction in {*reductions(convolutions).values()})
    return height * width * (channels + max(channels, picture) + weights * regions) * _FLOAT


def _per_pixel(convolutions: Sequence[Convolution], regions: int) -> int:
    """The bytes that a tile takes per pixel of the smallest features."""
    copies = _COPIES + (_COPIES_PER_PIXEL if regions else 0)
    smallest, found = _smallest(convolutions), reductions(convolutions)
    return max(row.filters * (smallest // found[row.scope]) ** 2 for row in convolutions) * copies * _FLOAT


def _tiles(size: tuple[int, int], side: int) -> list[stages.Tile]:
    """All tiles, those with the same graphs together."""
    vertical, horizontal = (
        [(stages.Part(stop - start, start == 0, stop == length), start) for start, stop in _parts(length, side)]
        for length in size
    )
    return sorted(
        stages.Tile((rows, columns), top, left)
        for (rows, top), (columns, left) in itertools.product(vertical, horizontal)
    )


def _parts(side: int, length: int, least: int = 2) -> list[tuple[int, int]]:
    """Starts and stops of parts of about this length.

    Args:
        side: the sum of their lengths.
        length: of most of them.
        least: of any; reflections at borders need one more pixel than they add.
    """
    length = -(-side // max(1, round(side / length)))
    starts = list(range(0, side, max(length, least)))
    if side - starts[-1] < least:
        starts.pop()
    return list(itertools.pairwise([*starts, side]))


def _fill(strip: np.ndarray, values: np.ndarray, top: int, bottom: int, above: np.ndarray) -> None:
    """Copies a strip of `values` with a border, which is reflected at the borders of `values`.

    Args:
        strip: the destination, [bottom - top + 2 border, W + 2 border, C].
        values: [H, W, C].
        top, bottom: of the strip, without its border.
        above: [border, W, C], the rows above, which `values` no longer holds; empty at the top.
    """
    height, width, _ = strip.shape
    border = (height - (bottom - top)) // 2
    rows = strip[:, border : width - border]
    rows[border : height - border] = values[top:bottom]
    rows[:border] = above if len(above) else values[border:0:-1]
    rows[height - border :] = values[bottom:][:border] if bottom < len(values) else values[-border - 1 : -1][::-1]
    strip[:, :border] = strip[:, 2 * border : border : -1]
    strip[:, width - border :] = strip[:, width - 2 * border - 1 : width - border - 1][:, ::-1]
