"""The style transformer once more, in the few operations that phones run fast.

It computes the same numbers as `magstyle.models.transformer`, from the same table of convolutions and the same
parameters, for LiteRT's delegates: XNNPACK on CPUs takes the whole graph, GPU and NNAPI could. Every tensor has four
dimensions. The differences from the Keras model, and the reasons:

- Reflection padding is made of slices and concatenations: XNNPACK does not have LiteRT's MIRROR_PAD, which takes longer
  than the convolution after it.
- A 3 x 3 convolution of an image up-sampled by 2 sees 2 x 2 different pixels. So it is one 2 x 2 convolution of the
  small image to four times as many channels, laid out by DEPTH_TO_SPACE: 4/9 of the multiplications.
- For each of the 81 pixels under a 9 x 9 kernel, at every pixel of the image, XNNPACK stores an address before it
  paints for the first time: 680 MB for 1024 x 1024, which takes longer than painting. So a large kernel computes blocks
  of 2 x 2 pixels as channels of one pixel (SPACE_TO_DEPTH, 5 x 5 for 9 x 9, DEPTH_TO_SPACE): 6 addresses per pixel, in
  about the same time, because more channels fill the lanes of a vector unit. (Blocks of 4 x 4 need 0.6 addresses, but
  are slower, and their kernels make the file half as large again.)
- In these blocks, the last convolution has 12 channels for 16 lanes. So its five columns of 5 x 1 are computed as 60
  channels at once, and added up by a convolution of 1 x 5 with zeros and ones.
- The last normalisation takes 4 x 4 pixels of 3 channels at a time.
- Normalisation cancels per-channel constants; with reflection padding, a convolution maps constants to constants. So
  before a convolution max(x scale, shift) does as well as relu(x scale - shift), and passes over the image twice
  instead of three times.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.models.architecture import Convolution, kernel_before_up_sampling, reductions

EPSILON = 1e-5
# Output channels that XNNPACK computes at once, with AVX2.
LANES = 16
# Side of the blocks in which a result of few channels is normalised.
_BLOCK = 4

Parameters = Mapping[str, Mapping[str, np.ndarray]]
# Pixels before and after.
Padding = tuple[int, int]
# Mean and variance, [1, 1, 1, C] each.
Moments = tuple[Tensor, Tensor]


def build(
    convolutions: Sequence[Convolution], parameters: Parameters, height: int, width: int, *, per_pixel: bool = False
) -> bytes:
    """The network as the content of a LiteRT file, in float32, without the names of its styles.

    Its inputs are `input_image` [1, H, W, 3], RGB in [0, 1], and `style_weights` [num_styles], its output is
    `stylized_image` [1, H, W, 3], all float32.

    Args:
        convolutions: of the network, `StyleTransformer.convolutions`.
        parameters: of every scope: `kernel` [k, k, C_in, C_out], `gamma` and `beta` [num_styles, C_out].
        height, width: of the images, multiples of 4 from 8; both 0 if the program chooses them, by resizing the input
            to such numbers.
        per_pixel: whether every pixel has its own weights, `style_weights` [1, H, W, num_styles].
    """
    return serialize(draw(convolutions, parameters, height, width, per_pixel=per_pixel))


def draw(
    convolutions: Sequence[Convolution],
    parameters: Parameters,
    height: int,
    width: int,
    *,
    style: np.ndarray | None = None,
    per_pixel: bool = False,
    shifts: bool = False,
    watched: Collection[str] = (),
) -> schema.ModelT:
    """The same as `build`, as objects of LiteRT's schema.

    Args:
        convolutions, height, width, per_pixel: as for `build`.
        parameters: as for `build`; also `epsilon`, a number or [C_out], if it is not 1e-5.
        style: weights [num_styles] to bake in; the graph then has no input `style_weights`.
        shifts: subtracts the shift of every normalisation: the picture is the same, but the numbers on the way have
            smaller ranges, which eight-bit numbers need.
        watched: scopes whose convolutions get their own outputs: `{scope}/input`, with its border, and
            `{scope}/result`, as in the Keras model, except that an up-sampled result has a border of one pixel and,
            without `shifts`, each channel may differ by a constant.
    """
    graph = Graph()
    image = graph.input("input_image", (1, height or None, width or None, 3))
    num_styles = len(parameters[convolutions[0].scope]["gamma"])
    drawing: Drawing
    if per_pixel:
        weights = graph.input("style_weights", (1, height or None, width or None, num_styles))
        drawing = DrawingPerPixel(graph, convolutions, parameters, weights)
    else:
        if style is None:
            weights = graph.reshape(graph.input("style_weights", (num_styles,)), (1, 1, 1, num_styles))
        else:
            weights = graph.constant(np.asarray(style, np.float32).reshape(1, 1, 1, -1))
        drawing = Drawing(graph, convolutions, parameters, weights, shifts)
    return graph.finish({"stylized_image": drawing.paint(image), **drawing.outputs(watched)})


class Drawing:
    """The network on a graph, painting all pixels in one style or one mixture of styles.

    Args:
        graph: where it is drawn.
        convolutions, parameters, shifts: as for `draw`.
        style_weights: [1, 1, 1, num_styles], on the graph.
    """

    def __init__(
        self,
        graph: Graph,
        convolutions: Sequence[Convolution],
        parameters: Parameters,
        style_weights: Tensor,
        shifts: bool = False,
    ):
        self._graph, self._convolutions, self._parameters = graph, convolutions, parameters
        self._style_weights, self._shifts = style_weights, shifts
        self._reductions = reductions(convolutions)
        self._shortcuts = {row.shortcut for row in convolutions}
        self._seen: dict[str, Tensor] = {}
        self._results: dict[str, Tensor] = {}

    def paint(self, image: Tensor) -> Tensor:
        """The picture [1, H, W, 3] of an image [1, H, W, 3]."""
        x, bordered, inputs = image, False, {}
        for row, following in itertools.pairwise(self._convolutions):
            inputs[row.scope] = x
            y = self._convolved(row, x, bordered)
            x, shift, bordered = self._normalized(row, following, y)
            x = self._activated(row, x, shift, before_shortcut=following.scope in self._shortcuts)
            if row.shortcut:
                x = inputs[row.shortcut] + x
        last = self._convolutions[-1]
        y = self._convolved(last, x, bordered)
        x, shift = self._normalized_in_blocks(last, y)
        return self._graph.depth_to_space(self._activated(last, x, shift), _BLOCK)

    def outputs(self, watched: Collection[str]) -> dict[str, Tensor]:
        """The inputs and results of some convolutions, after `paint`, by the names that `draw` gives them."""
        return {
            f"{scope}/{name}": found[scope]
            for scope in self._results
            if scope in watched
            for name, found in (("input", self._seen), ("result", self._results))
        }

    def _convolved(self, row: Convolution, x: Tensor, bordered: bool) -> Tensor:
        """The convolution of x, which has its border already or gets it here."""
        if not bordered:
            x = reflect_all(x, row.kernel_size // 2) if row.upsampling == 1 else _repeat_border(x)
        with self._graph.scope(row.scope):
            scale = max(self._reductions.values()) // self._reductions[row.scope]
            y = convolve(row, x, self._parameters[row.scope]["kernel"], scale)
        self._seen[row.scope], self._results[row.scope] = x, y
        return y

    def _normalized(self, row: Convolution, following: Convolution, y: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Product and shift of an instance normalisation, and whether the product has the following row's border."""
        inner = y if row.upsampling == 1 else y[:, 1:-1, 1:-1]
        # The next up-sampling wants the border repeated, and y has it.
        repeated = row.upsampling > 1 and following.upsampling > 1
        weights = self._weights(row, repeated)
        mean = spatial_mean(inner)
        variance = spatial_mean(self._graph.squared_difference(inner, mean))
        x, shift = self._scaled(row.scope, weights, y if repeated else inner, (mean, variance))
        return self._reflected_early(following, x, shift, repeated)

    def _normalized_in_blocks(self, row: Convolution, y: Tensor) -> tuple[Tensor, Tensor]:
        """Product and shift of 4 x 4 pixels as channels of one, [1, H / 4, W / 4, 16 C]; they share their moments."""
        weights = self._weights_of_blocks()
        x = self._graph.space_to_depth(y, _BLOCK)
        pixels = _BLOCK**2
        average = np.tile(np.eye(row.filters, dtype=np.float32) / pixels, (pixels, pixels))[None, None]
        mean = self._graph.conv2d(spatial_mean(x), average)
        variance = self._graph.conv2d(spatial_mean(self._graph.squared_difference(x, mean)), average)
        return self._scaled(row.scope, weights, x, (mean, variance), pixels)

    def _inverse_deviation(self, scope: str, variance: Tensor) -> Tensor:
        epsilon = np.float32(self._parameters[scope].get("epsilon", EPSILON))
        return self._graph.rsqrt(variance + self._graph.constant(epsilon.reshape(1, 1, 1, -1)))

    def _weights(self, row: Convolution, repeated: bool) -> Tensor:
        """The weights of the styles for the result of a row, whose border may be repeated."""
        return self._style_weights

    def _weights_of_blocks(self) -> Tensor:
        """The weights of the styles for blocks of 4 x 4 pixels of the picture."""
        return self._style_weights

    def _scaled(
        self, scope: str, weights: Tensor, x: Tensor, moments: Moments, pixels: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Product and shift of an instance normalisation x scale - shift; x has this many pixels as channels of one."""
        mean, variance = moments
        gamma, beta = (
            self._graph.conv2d(weights, np.tile(self._parameters[scope][name], pixels)[None, None])
            for name in ("gamma", "beta")
        )
        scale = gamma * self._inverse_deviation(scope, variance)
        shift = mean * scale - beta
        return x * scale, shift

    def _reflected_early(
        self, following: Convolution, x: Tensor, shift: Tensor, repeated: bool
    ) -> tuple[Tensor, Tensor, bool]:
        # XNNPACK lays tensors out one by one, the largest first. With the border made amid the normalisation, not after
        # it, all that is alive at a time fits into two tensors of the first layer's size; into three otherwise.
        if following.strides > 1:
            return reflect_all(x, following.kernel_size // 2), shift, True
        return x, shift, repeated

    def _activated(self, row: Convolution, x: Tensor, shift: Tensor, before_shortcut: bool = False) -> Tensor:
        """The activation of x - shift, up to a constant per channel if a convolution comes next."""
        if row.activation == "relu":
            x = self._graph.maximum(x, shift)
            # Where results are added up, the shifts are subtracted first: digits would be lost otherwise.
            return x - shift if self._shifts or before_shortcut else x
        return activated(row, x - shift)


class DrawingPerPixel(Drawing):
    """The network on a graph, with weights of the styles for every pixel.

    Args:
        graph, convolutions, parameters: as for `Drawing`.
        style_weights: [1, H, W, num_styles], on the graph.
    """

    def __init__(
        self, graph: Graph, convolutions: Sequence[Convolution], parameters: Parameters, style_weights: Tensor
    ):
        super().__init__(graph, convolutions, parameters, style_weights)
        num_styles = style_weights.shape[3]
        assert num_styles is not None
        average = np.broadcast_to(np.eye(num_styles, dtype=np.float32) / 4, (2, 2, num_styles, num_styles))
        # The keys say how many times smaller than the image a layer is.
        self._maps, reduction = {1: style_weights}, 1
        while reduction < max(self._reductions.values()):
            self._maps[2 * reduction] = graph.conv2d(self._maps[reduction], average, strides=2)
            reduction *= 2

    def _weights(self, row: Convolution, repeated: bool) -> Tensor:
        weights = self._maps[self._reductions[row.scope]]
        return _repeat_border(weights) if repeated else weights

    def _weights_of_blocks(self) -> Tensor:
        return self._graph.space_to_depth(self._style_weights, _BLOCK)

    def _scaled(
        self, scope: str, weights: Tensor, x: Tensor, moments: Moments, pixels: int = 1
    ) -> tuple[Tensor, Tensor]:
        mean, variance = moments

        def mixed(table: np.ndarray) -> Tensor:
            return self._graph.conv2d(weights, np.kron(np.eye(pixels), table)[None, None])

        gammas, betas = (self._parameters[scope][name] for name in ("gamma", "beta"))
        # One after the other: each takes the memory of the image.
        return (x - mean) * self._inverse_deviation(scope, variance) * mixed(gammas), mixed(-betas)

    def _reflected_early(
        self, following: Convolution, x: Tensor, shift: Tensor, repeated: bool
    ) -> tuple[Tensor, Tensor, bool]:
        return x, shift, repeated  # The shift is as large as x, and has no border.

    def _activated(self, row: Convolution, x: Tensor, shift: Tensor, before_shortcut: bool = False) -> Tensor:
        return activated(row, x - shift)  # Shifts of single pixels are not constant per channel.


def is_in_blocks(row: Convolution, scale: int) -> bool:
    """Whether a convolution computes blocks of 2 x 2 pixels, for which its result must have even sides.

    Args:
        row: of the table.
        scale: how many times larger than the smallest features, whose sides may be odd, the result is.
    """
    return row.upsampling == row.strides == 1 and row.kernel_size > 3 and scale > 1


def convolve(row: Convolution, x: Tensor, kernel: np.ndarray, scale: int) -> Tensor:
    """The convolution of an input that has its border; the result has a border, too, if it is up-sampled.

    Args:
        row, scale: as for `is_in_blocks`.
        x: the input.
        kernel: [k, k, C_in, C_out].
    """
    if row.upsampling > 1:
        return _expand(x, kernel)
    if is_in_blocks(row, scale):
        return _convolve_in_blocks(x, kernel)
    return x.graph.conv2d(x, kernel, row.strides)


def activated(row: Convolution, x: Tensor) -> Tensor:
    """The activation of a normalised result."""
    return {"relu": x.graph.relu, "sigmoid": x.graph.sigmoid, None: lambda x: x}[row.activation](x)


def spatial_mean(x: Tensor) -> Tensor:
    """[1, H, W, C] to [1, 1, 1, C]."""
    # One axis after the other, which makes XNNPACK a third faster.
    return x.graph.mean(x.graph.mean(x, 2), 1)


def _convolve_in_blocks(x: Tensor, kernel: np.ndarray) -> Tensor:
    """The convolution of x [1, H, W, C_in] with a kernel [k, k, C_in, C_out]; H, W and k - 1 are even."""
    graph, kernel = x.graph, _in_blocks(kernel)
    y = graph.space_to_depth(x, 2)
    if kernel.shape[3] < LANES:
        columns, sum_of_columns = _by_columns(kernel)
        y = graph.conv2d(graph.conv2d(y, columns), sum_of_columns)
    else:
        y = graph.conv2d(y, kernel)
    return graph.depth_to_space(y, 2)


def _in_blocks(kernel: np.ndarray) -> np.ndarray:
    """A kernel [k, k, C_in, C_out], k odd, for blocks of 2 x 2: [(k + 1) / 2, (k + 1) / 2, 4 C_in, 4 C_out]."""
    size, _, channels_in, channels_out = kernel.shape
    # Indexed by the place of the input pixel, then by that of the output pixel in its block.
    places = np.zeros((size + 1, size + 1, channels_in, 2, 2, channels_out), np.float32)
    for i, j in np.ndindex(2, 2):
        places[i : i + size, j : j + size, :, i, j] = kernel
    blocks = (size + 1) // 2
    places = places.reshape(blocks, 2, blocks, 2, channels_in, 4 * channels_out)
    return places.transpose(0, 2, 1, 3, 4, 5).reshape(blocks, blocks, 4 * channels_in, 4 * channels_out)


def reflect_all(x: Tensor, padding: int) -> Tensor:
    """Mirrors an image [1, H, W, C] at its four borders, by this many pixels, without repeating the border itself."""
    return reflect(x, (padding, padding), (padding, padding))


def reflect(x: Tensor, rows: Padding, columns: Padding) -> Tensor:
    """Mirrors an image [1, H, W, C] at its borders, without repeating the border itself.

    Args:
        x: the image.
        rows: how many are added above and below.
        columns: how many are added on the left and on the right.
    """
    # One axis after the other: XNNPACK concatenates at most five tensors.
    for axis, (before, after) in ((1, rows), (2, columns)):
        edges = [[slice(k, k + 1) for k in range(before, 0, -1)], [slice(-k - 1, -k) for k in range(1, after + 1)]]
        first, last = (
            [_joined([x[(slice(None),) * axis + (k,)] for k in edge], axis)] if edge else [] for edge in edges
        )
        x = _joined([*first, x, *last], axis)
    return x


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else parts[0].graph.concatenate(parts, axis)


def _repeat_border(x: Tensor) -> Tensor:
    """[1, H, W, C] to [1, H + 2, W + 2, C]."""
    x = x.graph.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
    return x.graph.concatenate([x[:, :, :1], x, x[:, :, -1:]], axis=2)


def _expand(x: Tensor, kernel: np.ndarray) -> Tensor:
    """Up-samples an image by 2, reflects its border and convolves it with a 3 x 3 kernel.

    Args:
        x: [1, H + 2, W + 2, C_in], an image with its border repeated.
        kernel: [3, 3, C_in, C_out].

    Returns:
        [1, 2 H + 2, 2 W + 2, C_out]: the convolution, with its border repeated once too.
    """
    return x.graph.depth_to_space(x.graph.conv2d(x, kernel_before_up_sampling(kernel)), 2)


def _by_columns(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel [k, k, C_in, C_out] as one of [k, 1, C_in, k C_out], then one of [1, k, k C_out, C_out]."""
    size, _, channels_in, channels_out = kernel.shape
    columns = kernel.transpose(0, 2, 1, 3).reshape(size, 1, channels_in, size * channels_out)
    sums = np.eye(size * channels_out, dtype=np.float32).reshape(1, size, channels_out, -1)
    return columns, sums.transpose(0, 1, 3, 2)
