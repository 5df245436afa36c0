"""Images of any size, painted tile by tile, in little memory, and exactly as in one piece.

Instance normalisation needs the moments of a whole layer, and nothing else in the network needs more of an image than a
few pixels around. So the layers are measured one after the other, tile by tile, those before them being computed
anew; only those at a quarter of the size are kept, where an image has 1/16 of its pixels. Where the moments are known,
from an image before, an image is painted in one go.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from magstyle import sizes
from magstyle.litert import runtime, stages
from magstyle.litert.network import EPSILON, LANES, Parameters
from magstyle.models.architecture import Convolution

_FLOAT = 4
# Sides of tiles, in pixels of the features at a quarter of the size.
_TILE, _SMALLEST_TILE = 64, 4
# As measured, a tile takes the memory of so many tensors as wide as the widest.
_COPIES = 12
# And of so many more where pixels have scales and shifts of their own.
_COPIES_PER_PIXEL = 4
# At least as far as windows reach beyond what they are of.
_BORDER = 8
# Pixels that are activated at a time, a multiple of 16.
_ACTIVATED = 2**18


class Moments(NamedTuple):
    """Of the result of a convolution, over height and width.

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
    memory_limit: int | None = None,
    moments: Mapping[str, Moments] | None = None,
    threads: int | None = None,
    progress: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """Paints an image.

    Args:
        convolutions: of the network, `StyleTransformer.convolutions`.
        parameters: of every scope: `kernel` [k, k, C_in, C_out], `gamma` and `beta` [num_styles, C_out].
        image: [H, W, 3], RGB in [0, 1]. It is reflected at its lower and right borders to multiples of 4, from 8.
        style_weights: [num_styles], or those of every pixel, [H, W, num_styles], whose means smaller layers take.
        memory_limit: bytes to take beside the image; where it is too low for anything, the tiles are as small as can
            be. None for tiles of the size that is fastest.
        moments: of every scope, if they are known; the image is measured otherwise.
        threads: to compute with; as many as there are cores by default.
        progress: called now and then with the share of the work done since, which adds up to 1.

    Returns:
        float32 [H, W, 3], in [0, 1].
    """
    network = _Network(convolutions, parameters, style_weights, moments, threads, progress)
    return network.paint(image, memory_limit)


def measure(
    convolutions: Sequence[Convolution],
    parameters: Parameters,
    image: np.ndarray,
    style_weights: np.ndarray,
    memory_limit: int | None = None,
    threads: int | None = None,
    progress: Callable[[float], object] = lambda share: None,
) -> dict[str, Moments]:
    """The moments of an image in all layers, by scope, which `paint` takes; the arguments are those of `paint`."""
    network = _Network(convolutions, parameters, style_weights, None, threads, progress)
    network.paint(image, memory_limit)
    return network.moments


def needed(convolutions: Sequence[Convolution], height: int, width: int, regions: int = 0) -> int:
    """The bytes that `paint` takes for an image of this size, beside the image, with the smallest tiles.

    Args:
        convolutions: of the network.
        height, width: of the image, in pixels.
        regions: of how many styles pixels have weights of their own, which come on top; 0 if none has.
    """
    height, width = (sizes.padded(side) // 4 for side in (height, width))
    # Strips between the stages have four rows with their borders, but only one number for four of a tile's.
    tile = max(_SMALLEST_TILE**2, width) * _per_pixel(convolutions, regions)
    return _kept(convolutions, height, width, regions) + tile


class _Graph:
    """A graph, ready to run. What `input` and `output` return must be gone before it runs."""

    def __init__(self, content: bytes, threads: int):
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
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


class _Weights:
    """The weights of the styles, of all pixels or of each, in layers of all sizes.

    Args:
        weights: [num_styles], or [H, W, num_styles].
        size: of the features at a quarter of the size.
    """

    def __init__(self, weights: np.ndarray, size: tuple[int, int]):
        self.of_image = np.asarray(weights, np.float32)
        self.per_pixel = self.of_image.ndim == 3
        if not self.per_pixel:
            return
        padding = [(0, 4 * quarter - side) for side, quarter in zip(self.of_image.shape, size, strict=False)]
        maps = [np.pad(self.of_image, [*padding, (0, 0)], "reflect") if np.any(padding) else self.of_image]
        for _ in range(2):
            (even, odd) = maps[-1][::2], maps[-1][1::2]
            maps.append((even[:, ::2] + even[:, 1::2] + odd[:, ::2] + odd[:, 1::2]) / 4)
        # By how much smaller the layer is. Borders are as those of what is normalised there.
        self._maps = dict(zip((1, 2, 4), maps, strict=True))
        self._places = {
            k: [np.pad(np.arange(side), _BORDER, "reflect" if k == 4 else "edge") for side in values.shape[:2]]
            for k, values in self._maps.items()
        }

    def window(self, reduction: int, window: stages.Window) -> np.ndarray:
        """[h, w, num_styles] of a window of a layer that is so much smaller than the image."""
        return _part(self._maps[reduction], self._places[reduction], window)


class _Network:
    """A network in one style, or one per pixel, on its way through one image.

    Attributes:
        moments: that are known so far, by scope.
    """

    def __init__(self, convolutions, parameters, style_weights, moments, threads, progress):
        self.moments = dict(moments or {})
        self._parameters, self._style_weights, self._weights = parameters, style_weights, None
        self._kernels = {scope: values["kernel"] for scope, values in parameters.items()}
        # Where images are smallest, a quarter of the size, is the middle.
        self._table = table = list(convolutions)
        smallest = max(k for k, row in enumerate(table) if row.strides > 1)
        largest = min(k for k, row in enumerate(table) if row.upsampling > 1)
        self._contracting, self._expanding = table[: smallest + 1], table[largest:]
        self._residual = table[smallest + 1 : largest]
        # By how much smaller than the image the results of each convolution are.
        steps = itertools.accumulate((row.strides / row.upsampling for row in table), lambda k, step: int(k * step))
        self._reductions = dict(zip((row.scope for row in table), steps, strict=True))
        self._threads = threads or runtime.cores()
        work = sum(map(self._work, [*self._passes(self._contracting), *self._passes(self._expanding)]))
        work += sum(self._work([row]) for row in self._residual)
        self._report = lambda rows, pixels: progress(self._work(rows) / work * pixels)

    def paint(self, image: np.ndarray, memory_limit: int | None) -> np.ndarray:
        size = tuple(sizes.padded(side) // 4 for side in image.shape[:2])
        side, self._weights = _TILE, _Weights(self._style_weights, size)
        if memory_limit is not None:
            regions = self._weights.of_image.shape[-1] if self._weights.per_pixel else 0
            free = max(memory_limit - _kept(self._table, *size, regions), 0)
            side = int(np.clip((free / _per_pixel(self._table, regions)) ** 0.5, _SMALLEST_TILE, _TILE))
        features = self._contract(image, size, side)
        self._transform(features, max(2, side**2 // size[1]))
        return self._expand(features, image.shape, side)

    def _contract(self, image: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
        """The result [H / 4, W / 4, C] of the last contracting convolution."""
        kept = np.empty((*size, self._contracting[-1].filters), np.float32)
        # The image, padded to four times this size, and around it what its first convolution sees.
        places = [
            np.pad(np.pad(np.arange(side), (0, 4 * quarter - side), "reflect"), _BORDER, "reflect")
            for side, quarter in zip(image.shape, size, strict=False)
        ]

        def read(graph: _Graph, rows: Sequence[Convolution], tile: stages.Tile) -> None:
            graph.input("image")[:] = _part(image, places, stages.window_of_image(rows, tile))

        def write(tile: stages.Tile, result: np.ndarray) -> None:
            kept[tile.top :, tile.left :][: tile.height, : tile.width] = result

        self._sweep(
            self._contracting, stages.contracting, stages.windows_of_contracting, _tiles(size, side), read, write
        )
        return kept

    def _transform(self, kept: np.ndarray, height: int) -> None:
        """Makes of the result of the contracting convolutions the input of the expanding ones, strip by strip.

        Every result takes the place of the one before.
        """
        shortcuts = {row.shortcut for row in self._residual}
        shortcut = np.empty_like(kept) if self._residual else None
        before = self._contracting[-1]
        for row in self._residual:
            measured, moments = row.scope not in self.moments, _Measurement(row.filters)
            inputs = {"before": kept, **({"shortcut": shortcut} if before.shortcut else {})}
            graph, length, above = None, 0, {}
            for top, bottom in _parts(len(kept), height):
                if bottom - top != length:
                    graph, length = None, bottom - top
                    content = stages.residual(
                        row,
                        self._kernels,
                        before,
                        length,
                        kept.shape[1],
                        measured,
                        kept=row.scope in shortcuts,
                        per_pixel=self._weights.per_pixel,
                    )
                    graph = self._open(content, [before])
                if self._weights.per_pixel:
                    window = (top - 1, bottom + 1), (-1, kept.shape[1] + 1)
                    self._set_style(graph, before, self._weights.window(4, window))
                for name, values in inputs.items():
                    _fill(graph.input(name), values, top, bottom, above.get(name))
                above = {name: values[bottom - 1].copy() for name, values in inputs.items()}
                graph.run()
                kept[top:bottom] = graph.output("result")
                if row.scope in shortcuts:
                    shortcut[top:bottom] = graph.output("features")
                if measured:
                    moments.add(graph, bottom - top)
                self._report([row], (bottom - top) / len(kept))
            if measured:
                self.moments[row.scope] = moments.moments()
            before = row
        scales, shifts = self._scales_and_shifts(before)
        for top, bottom in _parts(len(kept), height):
            strip = kept[top:bottom]
            weights = self._weights.of_image
            if self._weights.per_pixel:
                weights = self._weights.window(4, ((top, bottom), (0, kept.shape[1])))
            strip *= weights @ scales
            strip -= weights @ shifts
            if before.activation == "relu":
                np.maximum(strip, 0, out=strip)
            if before.shortcut:
                strip += shortcut[top:bottom]

    def _expand(self, features: np.ndarray, shape: tuple[int, int, int], side: int) -> np.ndarray:
        """The picture."""
        picture = np.empty(shape, np.float32)
        places = [np.pad(np.arange(side), _BORDER, "edge") for side in features.shape[:2]]

        def read(graph: _Graph, rows: Sequence[Convolution], tile: stages.Tile) -> None:
            graph.input("features")[:] = _part(features, places, stages.window_of_features(rows, tile))

        def write(tile: stages.Tile, result: np.ndarray) -> None:
            part = picture[4 * tile.top :, 4 * tile.left :][: 4 * tile.height, : 4 * tile.width]
            part[:] = result[: part.shape[0], : part.shape[1]]

        tiles = _tiles(features.shape[:2], side)
        self._sweep(self._expanding, stages.expanding, stages.windows_of_expanding, tiles, read, write)
        self._activate(self._expanding[-1], picture.reshape(-1))
        return picture

    def _sweep(
        self,
        stage: Sequence[Convolution],
        draw: Callable[..., bytes],
        windows: Callable[[Sequence[Convolution], stages.Tile], list[stages.Window]],
        tiles: Sequence[stages.Tile],
        read: Callable[[_Graph, Sequence[Convolution], stages.Tile], None],
        write: Callable[[stages.Tile, np.ndarray], None],
    ) -> None:
        """Computes a stage tile by tile, again and again until all its convolutions are measured.

        Args:
            stage: its rows of the table.
            draw: what draws its graphs.
            windows: where, for a tile, the results lie that a graph normalises.
            tiles: of the image, those of one kind together.
            read: fills the input of a graph of these rows for a tile.
            write: takes the result of the whole stage.
        """
        area = sum(tile.height * tile.width for tile in tiles)
        for rows in self._passes(stage):
            scope, whole = rows[-1].scope, len(rows) == len(stage)
            options = {"given": whole, "per_pixel": self._weights.per_pixel}
            measured, moments = scope not in self.moments, _Measurement(rows[-1].filters)
            for _, alike in itertools.groupby(tiles, key=lambda tile: tile.kind):
                graph = None
                for tile in alike:
                    graph = graph or self._open(draw(rows, self._kernels, tile, measured, **options), rows[:-1])
                    read(graph, rows, tile)
                    if self._weights.per_pixel:
                        for row, window in zip(rows, windows(rows, tile), strict=False):
                            weights = self._weights.window(self._reductions[row.scope], window)
                            self._set_style(graph, row, weights)
                    graph.run()
                    if whole:
                        write(tile, graph.output("result"))
                    if measured:
                        moments.add(graph, tile.height * tile.width)
                    self._report(rows, tile.height * tile.width / area)
            if measured:
                self.moments[scope] = moments.moments()

    def _activate(self, row: Convolution, numbers: np.ndarray) -> None:
        """Normalises a result, in place."""
        pixels = min(_ACTIVATED, -(-numbers.size // row.filters // LANES) * LANES)
        graph = self._open(stages.activating(row, pixels, self._weights.per_pixel), [row])
        weights = self._weights.of_image.reshape(-1, self._weights.of_image.shape[-1])
        for start in range(0, numbers.size, pixels * row.filters):
            part = numbers[start : start + pixels * row.filters]
            graph.input("before").reshape(-1)[: part.size] = part
            if self._weights.per_pixel:
                first = start // row.filters
                self._set_style(graph, row, weights[first : first + pixels])
            graph.run()
            part[:] = graph.output("result").reshape(-1)[: part.size]

    def _passes(self, stage: list[Convolution]) -> list[list[Convolution]]:
        """The convolutions of a stage that are computed together, again and again until all are measured."""
        counts = [count for count in range(1, len(stage)) if stage[count - 1].scope not in self.moments]
        return [stage[:count] for count in (*counts, len(stage))]

    def _work(self, rows: Sequence[Convolution]) -> float:
        """The multiplications of some convolutions for a pixel at a quarter of the size."""
        area, work = 16 if rows[0] == self._contracting[0] else 1, 0
        for row in rows:
            area *= (row.upsampling / row.strides) ** 2
            work += area * self._kernels[row.scope].size
        return work

    def _open(self, content: bytes, normalized: Sequence[Convolution]) -> _Graph:
        """A graph, with the scales and shifts of what it normalises, unless these differ from pixel to pixel."""
        graph = _Graph(content, self._threads)
        if not self._weights.per_pixel:
            for row in normalized:
                self._set_style(graph, row, self._weights.of_image)
        return graph

    def _set_style(self, graph: _Graph, row: Convolution, weights: np.ndarray) -> None:
        """Sets the scale and the shift of a normalisation, given weights [num_styles] or those of all its pixels."""
        for name, table in zip(("scale", "shift"), self._scales_and_shifts(row), strict=True):
            values, entry = (weights @ table).reshape(-1), graph.input(f"{row.scope}/{name}").reshape(-1)
            count = entry.size // values.size * values.size
            entry[:count] = np.tile(values, count // values.size)

    def _scales_and_shifts(self, row: Convolution) -> tuple[np.ndarray, np.ndarray]:
        """Of an instance normalisation x scale - shift, those of every style, each [num_styles, C]."""
        gammas, betas = (self._parameters[row.scope][name] for name in ("gamma", "beta"))
        mean, variance = self.moments[row.scope]
        scales = gammas / np.sqrt(variance + np.float32(EPSILON))
        return scales, mean * scales - betas


class _Measurement:
    """Moments of a layer [C], from those of its parts."""

    def __init__(self, channels: int):
        self._channels, self._parts = channels, []

    def add(self, graph: _Graph, pixels: int) -> None:
        """Of a part, in the outputs of its graph.

        Args:
            graph: that has run.
            pixels: of the part, or any multiple of them that is the same for all parts.
        """
        means, variances = (
            graph.output(name).reshape(-1, self._channels).astype(np.float64) for name in ("mean", "variance")
        )
        # A part may have been measured in groups of equal size.
        self._parts.append((pixels, means.mean(axis=0), (variances + np.square(means)).mean(axis=0)))

    def moments(self) -> Moments:
        pixels, means, squares = (np.array(values) for values in zip(*self._parts, strict=True))
        mean, square = (np.average(values, axis=0, weights=pixels) for values in (means, squares))
        return Moments(mean.astype(np.float32), (square - np.square(mean)).astype(np.float32))


def _kept(convolutions: Sequence[Convolution], height: int, width: int, regions: int) -> int:
    """The bytes of two results at a quarter of the size, [height, width, C], or of one and the picture.

    And of the weights of so many styles, for the image and for smaller layers.
    """
    channels = [row.filters for row in convolutions if row.strides > 1][-1]
    return height * width * (channels + max(channels, 4**2 * 3) + (4**2 + 2**2 + 1) * regions) * _FLOAT


def _per_pixel(convolutions: Sequence[Convolution], regions: int) -> int:
    """The bytes that a tile takes per pixel at a quarter of the size."""
    copies = _COPIES + (_COPIES_PER_PIXEL if regions else 0)
    return 4**2 * max(convolutions[0].filters, convolutions[-2].filters) * copies * _FLOAT


def _tiles(size: tuple[int, int], side: int) -> list[stages.Tile]:
    """All tiles, those of one kind together."""
    (height, width) = size
    return sorted(
        stages.Tile(bottom - top, right - left, (top == 0, left == 0), (bottom == height, right == width), top, left)
        for top, bottom in _parts(height, side)
        for left, right in _parts(width, side)
    )


def _parts(side: int, length: int) -> list[tuple[int, int]]:
    """Starts and stops of parts of about this length, at least 2, which the reflections at their borders need."""
    length = -(-side // max(1, round(side / length)))
    starts = list(range(0, side, max(length, 2)))
    if side - starts[-1] < 2:
        starts.pop()
    return list(itertools.pairwise([*starts, side]))


def _part(values: np.ndarray, places: Sequence[np.ndarray], window: stages.Window) -> np.ndarray:
    """What lies in a window of `values`.

    Args:
        values: [H, W, C].
        places: which row is where, and which column, from _BORDER before the first one.
        window: of what `places` say.
    """
    rows, columns = (
        index[start + _BORDER : stop + _BORDER] for index, (start, stop) in zip(places, window, strict=True)
    )
    if all(index[-1] - index[0] == len(index) - 1 for index in (rows, columns)):
        return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return values[np.ix_(rows, columns)]


def _fill(strip: np.ndarray, values: np.ndarray, top: int, bottom: int, above: np.ndarray | None) -> None:
    """Copies a strip of `values` [H, W, C], with a border of 1, which is reflected at the borders of `values`.

    Args:
        strip: where to, [bottom - top + 2, W + 2, C].
        values: where from.
        top, bottom: of the strip, without its border.
        above: the row above, where `values` has another by now.
    """
    strip[1:-1, 1:-1] = values[top:bottom]
    strip[0, 1:-1] = values[1] if above is None else above
    strip[-1, 1:-1] = values[bottom if bottom < len(values) else bottom - 2]
    strip[:, 0], strip[:, -1] = strip[:, 2], strip[:, -3]
