"""The style transformer once more, in the few operations that phones run fast.

The same numbers as `magstyle.models.transformer`, from its table of convolutions and the same parameters, for LiteRT's
delegates: XNNPACK on CPUs takes the whole graph, GPU and NNAPI could. Every tensor has four dimensions. What differs
from the Keras model, and why:

- Reflection padding is made of slices and concatenations: LiteRT's MIRROR_PAD is no operation of XNNPACK's, and takes
  longer than the convolution after it.
- A 3 x 3 convolution of an image up-sampled by 2 sees 2 x 2 different pixels. So it is one 2 x 2 convolution of the
  small image to four times as many channels, laid out by DEPTH_TO_SPACE: 4/9 of the multiplications.
- XNNPACK notes an address for each of the 81 pixels under a kernel of 9 x 9, for every pixel of the image, before it
  paints for the first time: 680 MB for 1024 x 1024, which take longer than a picture. So a 9 x 9 convolution computes
  blocks of 2 x 2 pixels as channels of one (SPACE_TO_DEPTH, 5 x 5, DEPTH_TO_SPACE): 6 addresses a pixel, and in about
  the same time, as there are more channels for the lanes of a vector unit. (Blocks of 4 x 4 need 0.6 addresses, but are
  slower, and their kernels make a file half as large again.)
- In these blocks, the last convolution has 12 channels, of 16 lanes. So its five columns of 5 x 1 are computed as 60
  channels at once, and added up by a convolution of 1 x 5 with zeros and ones.
- The last normalisation takes 4 x 4 pixels of 3 channels at a time.
- A normalisation takes away what all pixels of a channel have in common, and with these borders a convolution makes of
  that something that all pixels have in common. So max(x scale, shift) is as good before a convolution as
  relu(x scale - shift), and takes two passes over the image instead of three.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.models.architecture import Convolution

EPSILON = 1e-5
# Output channels that XNNPACK computes at once, with AVX2.
LANES = 16
# Side of the blocks of pixels of few channels.
_BLOCK = 4

Parameters = Mapping[str, Mapping[str, np.ndarray]]
# Vertically, horizontally.
Sides = tuple[bool, bool]


def build(
    convolutions: Sequence[Convolution],
    parameters: Parameters,
    height: int,
    width: int,
    style: np.ndarray | None = None,
    per_pixel: bool = False,
) -> bytes:
    """The network as the content of a LiteRT file, in float32, without the names of its styles.

    Its inputs are `input_image` [1, H, W, 3], RGB in [0, 1], and `style_weights` [num_styles], its output is
    `stylized_image` [1, H, W, 3], all float32.

    Args:
        convolutions: of the network, `StyleTransformer.convolutions`.
        parameters: of every scope: `kernel` [k, k, C_in, C_out], `gamma` and `beta` [num_styles, C_out].
        height, width: of the images, multiples of 4 from 8; both 0 for what the program chooses, by resizing the input
            to such numbers.
        style: weights [num_styles] to bake in; the file then has no input `style_weights`.
        per_pixel: whether every pixel has weights of its own, `style_weights` [1, H, W, num_styles].
    """
    return serialize(draw(convolutions, parameters, height, width, style, per_pixel))


def draw(
    convolutions: Sequence[Convolution],
    parameters: Parameters,
    height: int,
    width: int,
    style: np.ndarray | None = None,
    per_pixel: bool = False,
    shifts: bool = False,
    watched: Collection[str] = (),
) -> schema.ModelT:
    """The same as `build`, as objects of LiteRT's schema.

    Args:
        convolutions, height, width, style, per_pixel: as of `build`.
        parameters: as of `build`; and `epsilon`, if it is another than 1e-5, a number or [C_out].
        shifts: subtracts the shift of every normalisation: the picture is the same, but numbers on the way have smaller
            ranges, which those of eight bits need.
        watched: scopes whose convolutions have outputs of their own: `{scope}/input`, with its border, and
            `{scope}/result`, as in the Keras model, but that of an up-sampling one has a border of one pixel and,
            without `shifts`, all may differ by a number per channel.
    """
    graph = Graph()
    image = graph.input("input_image", (1, height or None, width or None, 3))
    num_styles = len(parameters[convolutions[0].scope]["gamma"])
    if per_pixel:
        style_weights = graph.input("style_weights", (1, height or None, width or None, num_styles))
    elif style is None:
        style_weights = graph.reshape(graph.input("style_weights", (num_styles,)), (1, 1, 1, num_styles))
    else:
        style_weights = graph.constant(np.asarray(style, np.float32).reshape(1, 1, 1, -1))
    # By how much smaller the layer is than the image; weights of the whole image fit all layers.
    weights = {1: style_weights, 2: style_weights, 4: style_weights}
    if per_pixel:
        average = np.broadcast_to(np.eye(num_styles, dtype=np.float32) / 4, (2, 2, num_styles, num_styles))
        weights[2] = graph.conv2d(weights[1], average, strides=2)
        weights[4] = graph.conv2d(weights[2], average, strides=2)

    def scaled(scope, weights, x, mean, variance, pixels=1):
        """The product and the shift of an instance normalisation x scale - shift; of pixels as channels of one."""

        def mixed(table):
            kernel = np.kron(np.eye(pixels), table) if per_pixel else np.tile(table, pixels)
            return graph.conv2d(weights, kernel[None, None])

        def inverse_deviation():
            epsilon = np.float32(parameters[scope].get("epsilon", EPSILON))
            return graph.rsqrt(variance + graph.constant(epsilon.reshape(1, 1, 1, -1)))

        gammas, betas = (parameters[scope][name] for name in ("gamma", "beta"))
        if per_pixel:
            # One after the other: each takes the memory of the image.
            return (x - mean) * inverse_deviation() * mixed(gammas), mixed(-betas)
        gamma, beta = mixed(gammas), mixed(betas)
        scale = gamma * inverse_deviation()
        shift = mean * scale - beta
        return x * scale, shift

    def normalize(scope, weights, x, inner):
        """The product and the shift of instance normalisation, by the moments of `inner`, which the rest repeats."""
        mean = spatial_mean(inner)
        return scaled(scope, weights, x, mean, spatial_mean(graph.squared_difference(inner, mean)))

    def normalize_blocks(scope, weights, x):
        """The same, of 4 x 4 pixels as channels of one [1, H / 4, W / 4, 16 C], which all have the same moments."""
        pixels = _BLOCK**2
        channels = x.shape[3] // pixels
        average = np.tile(np.eye(channels, dtype=np.float32) / pixels, (pixels, pixels))[None, None]
        mean = graph.conv2d(spatial_mean(x), average)
        variance = graph.conv2d(spatial_mean(graph.squared_difference(x, mean)), average)
        return scaled(scope, weights, x, mean, variance, pixels)

    outputs = {}
    shortcuts = {row.shortcut for row in convolutions}
    x, inputs, reflected, bordered, reduction = image, {}, False, False, 1
    for row, following in zip(convolutions, [*convolutions[1:], None], strict=True):
        inputs[row.scope] = x
        if row.upsampling > 1 and not bordered:
            x = _repeat_border(x)
        elif row.upsampling == 1 and not reflected:
            x = reflect(x, row.kernel_size // 2)
        with graph.scope(row.scope):
            y = convolve(row, x, parameters[row.scope]["kernel"])
        if row.scope in watched:
            outputs |= {f"{row.scope}/input": x, f"{row.scope}/result": y}
        # The next up-sampling wants the border repeated, and is given it.
        bordered = row.upsampling > 1 and following.upsampling > 1
        inner = y if row.upsampling == 1 else y[:, 1:-1, 1:-1]
        reduction = reduction * row.strides // row.upsampling
        shares = weights[reduction]
        if following is None:
            shares = graph.space_to_depth(shares, _BLOCK) if per_pixel else shares
            x, shift = normalize_blocks(row.scope, shares, graph.space_to_depth(y, _BLOCK))
        else:
            shares = _repeat_border(shares) if per_pixel and bordered else shares
            x, shift = normalize(row.scope, shares, y if bordered else inner, inner)
        # XNNPACK lays tensors out one by one, the largest first. With the border made amid the normalisation, not after
        # it, what is alive at a time finds room in two tensors of the first layer's size; in three otherwise.
        reflected = following is not None and following.strides > 1 and not per_pixel
        if reflected:
            x = reflect(x, following.kernel_size // 2)
        if row.activation == "relu" and not per_pixel:
            x = graph.maximum(x, shift)
        # Where results are added up, the shifts are subtracted first: it would lose digits otherwise. And those of
        # single pixels are nothing that all pixels have in common.
        if row.activation != "relu" or shifts or per_pixel or following.scope in shortcuts:
            x = x - shift
        if row.activation == "relu" and per_pixel:
            x = graph.relu(x)
        if row.activation == "sigmoid":
            x = graph.sigmoid(x)
        if row.shortcut:
            x = inputs[row.shortcut] + x
    return graph.finish({"stylized_image": graph.depth_to_space(x, _BLOCK), **outputs})


def convolve(row: Convolution, x: Tensor, kernel: np.ndarray) -> Tensor:
    """The convolution of a row of the table, of an input with its border; with a border of its own if it up-samples."""
    if row.upsampling > 1:
        return _expand(x, kernel)
    if row.strides > 1:
        return x.graph.conv2d(x, kernel, row.strides)
    if row.kernel_size > 3:
        return _convolve_in_blocks(x, kernel)
    return x.graph.conv2d(x, kernel)


def spatial_mean(x: Tensor) -> Tensor:
    """[1, H, W, C] to [1, 1, 1, C]."""
    # One direction after the other: XNNPACK is a third faster then.
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
    """A kernel [k, k, C_in, C_out], k odd, as one of [(k + 1) / 2, (k + 1) / 2, 4 C_in, 4 C_out], of blocks."""
    size, _, channels_in, channels_out = kernel.shape
    # By the place of the input pixel, then by that of the output pixel in its block.
    places = np.zeros((size + 1, size + 1, channels_in, 2, 2, channels_out), np.float32)
    for i, j in np.ndindex(2, 2):
        places[i : i + size, j : j + size, :, i, j] = kernel
    blocks = (size + 1) // 2
    places = places.reshape(blocks, 2, blocks, 2, channels_in, 4 * channels_out)
    return places.transpose(0, 2, 1, 3, 4, 5).reshape(blocks, blocks, 4 * channels_in, 4 * channels_out)


def reflect(x: Tensor, padding: int, first: Sides = (True, True), last: Sides = (True, True)) -> Tensor:
    """Mirrors an image [1, H, W, C] at its borders, without repeating the border itself.

    Args:
        x: the image.
        padding: how many pixels are added to a side.
        first, last: whether rows are added above and below, and columns on the left and on the right.
    """
    # One after the other: XNNPACK concatenates at most five tensors.
    for axis, before, after in ((1, first[0], last[0]), (2, first[1], last[1])):
        at = [(slice(None),) * axis + (slice(k, k + 1),) for k in range(padding, 0, -1)]
        ends = [(slice(None),) * axis + (slice(-k - 1, -k),) for k in range(1, padding + 1)]
        parts = [_joined([x[key] for key in at], axis)] if before else []
        parts += [x, *([_joined([x[key] for key in ends], axis)] if after else [])]
        x = _joined(parts, axis)
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
    # Two rows i, i + 1 of the small image give the rows 2 i + 1 and 2 i + 2 of the large one. The former sees
    # up-sampled copies of i, i, i + 1, the latter of i, i + 1, i + 1: [output row, input row, kernel row].
    taps = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)
    kernel = np.einsum("pik,qjl,klco->ijcpqo", taps, taps, kernel)
    return x.graph.depth_to_space(x.graph.conv2d(x, kernel.reshape(*kernel.shape[:3], -1)), 2)


def _by_columns(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel [k, k, C_in, C_out] as one of [k, 1, C_in, k C_out], then one of [1, k, k C_out, C_out]."""
    size, _, channels_in, channels_out = kernel.shape
    columns = kernel.transpose(0, 2, 1, 3).reshape(size, 1, channels_in, size * channels_out)
    return columns, np.eye(size * channels_out, dtype=np.float32).reshape(1, size, channels_out, -1).transpose(
        0, 1, 3, 2
    )
