"""The style transformer as an ONNX graph, in operators that old runtimes know, too.

It computes the same numbers as `magstyle.models.transformer`, from the same table of convolutions and the same
parameters, for any batch of images of any size. The differences from the Keras model, and the reasons:

- The image is transposed at both ends, because ONNX's convolutions take [B, C, H, W].
- The picture is cropped to the size of the image, whose sides need not be multiples of 4.
- Instance normalisation is ONNX's own operator, which every runtime computes in one step. It has one scale and one
  offset for the whole batch, so those of the styles follow as a product and a sum. (They could be its inputs if the
  batch were laid out as channels: a twelfth less time on a CPU, but some runtimes want constants there.)
- A 3 x 3 convolution of an image up-sampled by 2 sees 2 x 2 different pixels. So it is one 2 x 2 convolution of the
  small image to four times as many channels, laid out by DepthToSpace: 4/9 of the multiplications.
- The last convolution has 3 channels, which leaves most lanes of a vector unit empty. So it computes blocks of 2 x 2
  pixels as 12 channels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

import magstyle
from magstyle.checkpoints.networks import Network, Predictor
from magstyle.errors import InputError
from magstyle.export import LICENCE_TEXT
from magstyle.models.architecture import MOMENTS_EPSILON, Convolution, kernel_before_up_sampling

_EPSILON = 1e-5
# The shape of images, in which words stand for sides that the caller chooses.
_IMAGES: list[int | str] = ["batch", "height", "width", 3]
_BLOCK = 2


def build(network: Network, precision: str = "float32", opset: int = 11) -> bytes:
    """A network as the content of an ONNX file.

    Its inputs are `input_image` [B, H, W, 3], RGB in [0, 1], H and W at least 5, and `style_weights` [B, num_styles];
    its output is `stylized_image` [B, H, W, 3]. All are float32. The metadata has `style_names`, one name a line, and
    `model_license`.

    Args:
        network: the network.
        precision: float32, or float16 for weights of 16 bits, which the graph makes float32 again.
        opset: the version of ONNX's operators, at least 11.

    Raises:
        InputError: for weights that 16 bits cannot hold.
    """
    graph = _Graph(half=precision == "float16")
    _paint(graph, network)
    style_weights = _float32("style_weights", ["batch", network.num_styles])
    inputs, outputs = [_float32("input_image", _IMAGES), style_weights], [_float32("stylized_image", _IMAGES)]
    names = {"style_names": "\n".join(network.style_names)}
    return _finished(graph, "style_transformer", inputs, outputs, opset, names)


def build_predictor(predictor: Predictor, precision: str = "float32", opset: int = 11) -> bytes:
    """A style predictor as the content of an ONNX file.

    Its input is `painting` [B, H, W, 3], RGB in [0, 1], its output is `style_weights` [B, num_styles], for the network
    that it belongs to. Both are float32.

    Args:
        predictor: the predictor.
        precision, opset: as for `build`.

    Raises:
        InputError: for weights that 16 bits cannot hold.
    """
    graph = _Graph(half=precision == "float16")
    _predict(graph, predictor)
    outputs = [_float32("style_weights", ["batch", predictor.architecture.num_weights + 1])]
    return _finished(graph, "style_predictor", [_float32("painting", _IMAGES)], outputs, opset, {})


def _finished(
    graph: "_Graph",
    name: str,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    opset: int,
    properties: Mapping[str, str],
) -> bytes:
    """The content of the file of a graph, which ONNX's checker has passed."""
    drawn = helper.make_graph(graph.nodes, name, inputs, outputs, list(graph.constants.values()))
    operators = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        drawn,
        opset_imports=operators,
        ir_version=helper.find_min_ir_version_for(operators),
        producer_name="magstyle",
        producer_version=magstyle.__version__,
    )
    helper.set_model_props(model, {**properties, "model_license": LICENCE_TEXT})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Graph:
    """An ONNX graph that grows with every call. Tensors are known by their names.

    Args:
        half: whether to store weights with 16 bits.

    Attributes:
        nodes: its operations, in order.
        constants: by name.
    """

    def __init__(self, half: bool):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._half = half

    def add(self, operator: str, name: str, *inputs: str, **attributes: int | float | str | Sequence[int]) -> str:
        """The result of an operator, which gets this name."""
        node = helper.make_node(operator, inputs, [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def weights(self, name: str, values: np.ndarray) -> str:
        """A float32 constant."""
        if not self._half:
            return self._constant(name, values.astype(np.float32))
        with np.errstate(over="ignore"):
            stored = values.astype(np.float16)
        if not np.isfinite(stored).all():
            raise InputError(f"precision=float16 cannot hold the weights of {name}, as they are too large", "precision")
        return self.add("Cast", name, self._constant(f"{name}/float16", stored), to=onnx.TensorProto.FLOAT)

    def repeated(self, value: float, count: int) -> str:
        """A float32 constant [count] of one value; equal ones are stored once."""
        return self._constant(f"{value:g}/{count}", np.full(count, value, np.float32))

    def integers(self, *values: int) -> str:
        """An int64 constant; equal ones are stored once."""
        return self._constant(f"integers/{','.join(map(str, values))}", np.array(values, np.int64))

    def _constant(self, name: str, values: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name


def _paint(graph: _Graph, network: Network) -> None:
    """Draws the network between its inputs and its output."""
    x = graph.add("Transpose", "image", "input_image", perm=[0, 3, 1, 2])
    inputs = {}
    for row in network.convolutions:
        parameters = network.parameters[row.scope]
        inputs[row.scope] = x
        y = _convolved(graph, row, x, parameters["kernel"], in_blocks=row == network.convolutions[-1])
        x = _normalized(graph, row.scope, y, parameters["gamma"], parameters["beta"])
        if row.activation:
            x = graph.add(row.activation.capitalize(), f"{row.scope}/{row.activation}", x)
        if row.shortcut:
            x = graph.add("Add", f"{row.scope}/shortcut", inputs[row.shortcut], x)
    size = graph.add("Slice", "size", graph.add("Shape", "shape", "input_image"), *map(graph.integers, (1, 3)))
    picture = graph.add("Slice", "picture", x, graph.integers(0, 0), size, graph.integers(2, 3))
    graph.add("Transpose", "stylized_image", picture, perm=[0, 2, 3, 1])


def _predict(graph: _Graph, predictor: Predictor) -> None:
    """Draws a style predictor between its input and its output."""
    x, moments = graph.add("Transpose", "transposed", "painting", perm=[0, 3, 1, 2]), []
    for row in predictor.architecture.convolutions:
        name, parameters = row.scope, predictor.parameters[row.scope]
        x = _conv2d(graph, name, x, parameters["kernel"], row.strides)
        mean = graph.add("GlobalAveragePool", f"{name}/mean", x)
        centred = graph.add("Sub", f"{name}/centred", x, mean)
        squares = graph.add("Mul", f"{name}/squares", centred, centred)
        variance = graph.add("GlobalAveragePool", f"{name}/variance", squares)
        above = graph.add("Add", f"{name}/variance_and_epsilon", variance, graph.repeated(MOMENTS_EPSILON, 1))
        root = graph.add("Sqrt", f"{name}/root", above)
        moments += [mean, graph.add("Div", f"{name}/deviation", variance, root)]
        if "gamma" in parameters:
            scales = [graph.weights(f"{name}/{part}", parameters[part]) for part in ("gamma", "beta")]
            x = graph.add("InstanceNormalization", f"{name}/normalized", x, *scales, epsilon=_EPSILON)
            x = graph.add("Relu", f"{name}/relu", x)
    x = graph.add("Flatten", "moments", graph.add("Concat", "all_moments", *moments, axis=1))
    *hidden, last = predictor.architecture.dense
    for name, _ in hidden:
        kernel, bias = (predictor.parameters[name][part] for part in ("kernel", "bias"))
        x = _gelu(graph, name, _dense(graph, name, x, kernel, bias))
    kernel, bias = (predictor.parameters[last[0]][part] for part in ("kernel", "bias"))
    # The first weight is always 1.
    _dense(graph, "style_weights", x, np.pad(kernel, ((0, 0), (1, 0))), np.append(np.float32(1), bias), "style_weights")


def _dense(graph: _Graph, name: str, x: str, kernel: np.ndarray, bias: np.ndarray, result: str = "") -> str:
    weights = [graph.weights(f"{name}/{part}", values) for part, values in (("kernel", kernel), ("bias", bias))]
    return graph.add("Gemm", result or f"{name}/product", x, *weights)


def _gelu(graph: _Graph, name: str, x: str) -> str:
    """x (1 + erf(x / sqrt 2)) / 2, for which ONNX has an operator of its own only since opset 20."""
    scaled = graph.add("Mul", f"{name}/scaled", x, graph.repeated(0.5**0.5, 1))
    gate = graph.add("Add", f"{name}/gate", graph.add("Erf", f"{name}/erf", scaled), graph.repeated(1, 1))
    return graph.add("Mul", f"{name}/gelu", graph.add("Mul", f"{name}/gated", x, gate), graph.repeated(0.5, 1))


def _convolved(graph: _Graph, row: Convolution, x: str, kernel: np.ndarray, in_blocks: bool) -> str:
    """The convolution of x [B, C_in, H, W], computed in blocks of pixels or one by one."""
    name, padding = row.scope, row.kernel_size // 2
    if in_blocks:
        y = _conv2d(graph, name, _padded(graph, name, x, padding, "reflect"), _in_blocks(kernel), strides=_BLOCK)
        return graph.add("DepthToSpace", f"{name}/result", y, blocksize=_BLOCK)
    if row.upsampling == 1:
        return _conv2d(graph, name, _padded(graph, name, x, padding, "reflect"), kernel, row.strides)
    # Up-sampling doubles every border pixel, so a reflection is a copy of the small image's border.
    y = _conv2d(graph, name, _padded(graph, name, x, 1, "edge"), kernel_before_up_sampling(kernel))
    y = graph.add("DepthToSpace", f"{name}/with_border", y, blocksize=2)
    return graph.add("Slice", f"{name}/result", y, *(graph.integers(*pair) for pair in ((1, 1), (-1, -1), (2, 3))))


def _padded(graph: _Graph, scope: str, x: str, padding: int, mode: str) -> str:
    """An image [B, C, H, W] with a border of this many pixels."""
    border = (0, 0, padding, padding)
    return graph.add("Pad", f"{scope}/padded", x, graph.integers(*border, *border), mode=mode)


def _conv2d(graph: _Graph, scope: str, x: str, kernel: np.ndarray, strides: int = 1) -> str:
    """The convolution with a kernel [k, l, C_in, C_out], without padding."""
    weights = graph.weights(f"{scope}/kernel", kernel.transpose(3, 2, 0, 1))
    sides = list(kernel.shape[:2])
    return graph.add("Conv", f"{scope}/convolution", x, weights, kernel_shape=sides, strides=[strides, strides])


def _normalized(graph: _Graph, scope: str, x: str, gammas: np.ndarray, betas: np.ndarray) -> str:
    """Conditional instance normalisation of x [B, C, H, W]; the tables of scales and offsets are [num_styles, C]."""
    channels = gammas.shape[1]
    neutral = graph.repeated(1, channels), graph.repeated(0, channels)
    x = graph.add("InstanceNormalization", f"{scope}/normalized", x, *neutral, epsilon=_EPSILON)
    mixed = []
    for name, table in (("gamma", gammas), ("beta", betas)):
        weights = graph.weights(f"{scope}/{name}s", table)
        vectors = graph.add("MatMul", f"{scope}/{name}_of_batch", "style_weights", weights)
        mixed.append(graph.add("Reshape", f"{scope}/{name}", vectors, graph.integers(0, channels, 1, 1)))
    return graph.add("Add", f"{scope}/shifted", graph.add("Mul", f"{scope}/scaled", x, mixed[0]), mixed[1])


def _in_blocks(kernel: np.ndarray) -> np.ndarray:
    """A kernel [k, k, C_in, C_out] as one for blocks of pixels, [k + 1, k + 1, C_in, 4 C_out]."""
    size, _, channels_in, channels_out = kernel.shape
    blocks = np.zeros((size + _BLOCK - 1, size + _BLOCK - 1, channels_in, _BLOCK, _BLOCK, channels_out), np.float32)
    for i, j in np.ndindex(_BLOCK, _BLOCK):
        blocks[i : i + size, j : j + size, :, i, j] = kernel
    return blocks.reshape(*blocks.shape[:3], -1)


def _float32(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or an output; words stand for sides that the caller chooses."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
