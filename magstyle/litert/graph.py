"""LiteRT graphs (formerly TensorFlow Lite), written operation by operation.

It has only the operations that the style transformer needs, and knows the shape of every result beforehand. Code that
draws a graph reads like arithmetic: `graph.maximum(x * scale, shift)`.

Reference:
    The schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

# None stands for a side that the program chooses, by resizing the inputs.
Shape = tuple[int | None, ...]
# The length of such a side in the file, that of the smallest image. With 1, the length of sides that are broadcast,
# XNNPACK takes a quarter more memory for all images that follow.
_PLACEHOLDER = 8


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a graph, with NumPy's arithmetic and slices.

    Attributes:
        graph: the graph.
        index: its number in the graph.
        shape: its shape.
    """

    graph: "Graph"
    index: int
    shape: Shape

    @property
    def known_shape(self) -> tuple[int, ...]:
        """The shape, none of whose sides is left open."""
        known = [side for side in self.shape if side is not None]
        assert len(known) == len(self.shape), self.shape
        return tuple(known)

    def __add__(self, other: "Tensor") -> "Tensor":
        return self.graph._elementwise("ADD", schema.AddOptionsT(), self, other)

    def __sub__(self, other: "Tensor") -> "Tensor":
        return self.graph._elementwise("SUB", schema.SubOptionsT(), self, other)

    def __mul__(self, other: "Tensor") -> "Tensor":
        return self.graph._elementwise("MUL", schema.MulOptionsT(), self, other)

    def __getitem__(self, key: slice | tuple[slice, ...]) -> "Tensor":
        return self.graph._strided_slice(self, key if isinstance(key, tuple) else (key,))


class Graph:
    """A graph that grows with every call.

    Attributes:
        model: the schema's objects, complete after `finish`.
    """

    def __init__(self) -> None:
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._inputs: dict[str, Tensor] = {}
        self._scope = ""
        self._constants: dict[tuple[np.dtype, tuple[int, ...], bytes], Tensor] = {}
        self._codes: dict[int, int] = {}
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"magstyle"
        # All tensors without content share the first buffer.
        self.model.subgraphs, self.model.buffers = [self._graph], [schema.BufferT()]
        self.model.operatorCodes, self.model.metadata = [], []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes the names of all results in the block with `name/`."""
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        yield
        self._scope = outer

    def input(self, name: str, shape: Shape) -> Tensor:
        """A float32 input."""
        self._inputs[name] = self._add_tensor(name, shape)
        return self._inputs[name]

    def constant(self, values: np.ndarray | int | Sequence[int]) -> Tensor:
        """A constant, float32 or int32; equal constants are stored once."""
        values = np.asarray(values)
        values = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
        content = values.tobytes()
        key = (values.dtype, values.shape, content)
        if key not in self._constants:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self.model.buffers.append(buffer)
            self._constants[key] = self._add_tensor(None, values.shape)
            entry = self._graph.tensors[-1]
            entry.buffer = len(self.model.buffers) - 1
            entry.type = schema.TensorType.FLOAT32 if values.dtype == np.float32 else schema.TensorType.INT32
        return self._constants[key]

    def conv2d(
        self,
        x: Tensor,
        kernel: np.ndarray,
        strides: int | tuple[int, int] = 1,
        bias: np.ndarray | None = None,
    ) -> Tensor:
        """The convolution of x [B, H, W, C_in] with a kernel [k, l, C_in, C_out], without padding.

        Args:
            x: the input.
            kernel: the kernel.
            strides: in both directions, or of rows and of columns.
            bias: [C_out], added to the result; zeros by default.
        """
        rows, columns, _, channels = kernel.shape
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH, options.strideW = (strides, strides) if isinstance(strides, int) else strides
        options.dilationHFactor = options.dilationWFactor = 1
        batch, height, width, _ = x.shape
        # A side that is left open stays so.
        sides = [
            side and (side - k) // stride + 1
            for side, k, stride in ((height, rows, options.strideH), (width, columns, options.strideW))
        ]
        constants = [
            self.constant(kernel.transpose(3, 0, 1, 2)),
            self.constant(np.zeros(channels, np.float32) if bias is None else bias),
        ]
        return self._operation("CONV_2D", options, [x, *constants], (batch, *sides, channels))

    def concatenate(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        shape = list(tensors[0].shape)
        sides = [x.shape[axis] for x in tensors]
        known = [side for side in sides if side is not None]
        shape[axis] = sum(known) if len(known) == len(sides) else None
        return self._operation("CONCATENATION", options, tensors, tuple(shape))

    def mean(self, x: Tensor, axis: int) -> Tensor:
        """The mean along an axis, which keeps its place with length 1."""
        options = schema.ReducerOptionsT()
        options.keepDims = True
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        return self._operation("MEAN", options, [x, self.constant(axis)], shape)

    def maximum(self, x: Tensor, y: Tensor) -> Tensor:
        return self._elementwise("MAXIMUM", schema.MaximumMinimumOptionsT(), x, y)

    def squared_difference(self, x: Tensor, y: Tensor) -> Tensor:
        return self._elementwise("SQUARED_DIFFERENCE", schema.SquaredDifferenceOptionsT(), x, y)

    def relu(self, x: Tensor) -> Tensor:
        return self._operation("RELU", None, [x], x.shape)

    def gelu(self, x: Tensor) -> Tensor:
        options = schema.GeluOptionsT()
        options.approximate = False
        return self._operation("GELU", options, [x], x.shape)

    def rsqrt(self, x: Tensor) -> Tensor:
        return self._operation("RSQRT", None, [x], x.shape)

    def sigmoid(self, x: Tensor) -> Tensor:
        return self._operation("LOGISTIC", None, [x], x.shape)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same numbers in another shape, none of whose sides is left open."""
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self._operation("RESHAPE", options, [x, self.constant(shape)], shape)

    def depth_to_space(self, x: Tensor, block: int) -> Tensor:
        """[B, H, W, block^2 C] to [B, block H, block W, C]."""
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = block
        batch, height, width, channels = x.shape
        sides = [side and block * side for side in (height, width)]
        return self._operation("DEPTH_TO_SPACE", options, [x], (batch, *sides, channels and channels // block**2))

    def space_to_depth(self, x: Tensor, block: int) -> Tensor:
        """[B, block H, block W, C] to [B, H, W, block^2 C]."""
        options = schema.SpaceToDepthOptionsT()
        options.blockSize = block
        batch, height, width, channels = x.shape
        sides = [side and side // block for side in (height, width)]
        return self._operation("SPACE_TO_DEPTH", options, [x], (batch, *sides, channels and channels * block**2))

    def finish(self, outputs: Mapping[str, Tensor]) -> schema.ModelT:
        """The model of this graph, with one signature, which names the inputs and outputs.

        Args:
            outputs: by name; each is the result of an operation and has one name.
        """
        for name, tensor in outputs.items():
            self._graph.tensors[tensor.index].name = name.encode()
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.inputs, signature.outputs = map(_tensor_map, (self._inputs, outputs))
        self._graph.inputs = np.array([tensor.index for tensor in self._inputs.values()], np.int32)
        self._graph.outputs = np.array([tensor.index for tensor in outputs.values()], np.int32)
        self.model.signatureDefs = [signature]
        return self.model

    def _elementwise(self, name: str, options: object, x: Tensor, y: Tensor) -> Tensor:
        shape = tuple(b if a == 1 else a for a, b in zip(x.shape, y.shape, strict=True))
        return self._operation(name, options, [x, y], shape)

    def _strided_slice(self, x: Tensor, key: tuple[slice, ...]) -> Tensor:
        slices = [*key, *[slice(None)] * (len(x.shape) - len(key))]
        options = schema.StridedSliceOptionsT()
        options.beginMask = sum((part.start is None) << axis for axis, part in enumerate(slices))
        options.endMask = sum((part.stop is None) << axis for axis, part in enumerate(slices))
        bounds = [[part.start or 0 for part in slices], [part.stop or 0 for part in slices], [1] * len(slices)]
        shape = tuple(map(_sliced, x.shape, slices))
        return self._operation("STRIDED_SLICE", options, [x, *map(self.constant, bounds)], shape)

    def _operation(self, name: str, options: object, inputs: Sequence[Tensor], shape: Shape) -> Tensor:
        output = self._add_tensor(f"{self._scope}{name.lower()}", shape)
        entry = schema.OperatorT()
        entry.opcodeIndex = self._code(getattr(schema.BuiltinOperator, name))
        entry.inputs = np.array([tensor.index for tensor in inputs], np.int32)
        entry.outputs = np.array([output.index], np.int32)
        if options is not None:
            entry.builtinOptions = options
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._graph.operators.append(entry)
        return output

    def _code(self, builtin: int) -> int:
        if builtin not in self._codes:
            self._codes[builtin] = len(self._codes)
            self.model.operatorCodes.append(operator_code(builtin, version=1))
        return self._codes[builtin]

    def _add_tensor(self, name: str | None, shape: Shape) -> Tensor:
        entry = schema.TensorT()
        entry.name, entry.hasRank = name and name.encode(), True
        entry.type, entry.buffer = schema.TensorType.FLOAT32, 0
        entry.shape = np.array([side or _PLACEHOLDER for side in shape], np.int32)
        if None in shape:
            entry.shapeSignature = np.array([side or -1 for side in shape], np.int32)
        self._graph.tensors.append(entry)
        return Tensor(self, len(self._graph.tensors) - 1, shape)


def operator_code(builtin: int, version: int) -> schema.OperatorCodeT:
    """An entry in a model's list of operations."""
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = builtin, version
    code.deprecatedBuiltinCode = min(builtin, 127)  # Where old readers look.
    return code


def serialize(model: schema.ModelT) -> bytes:
    """The content of a LiteRT file, with its constants aligned for float32."""
    builder = _Builder(sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None) + 2**16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """Aligns long vectors of bytes, which hold the constants, to 16 bytes: LiteRT maps float32 numbers there."""

    def StartVector(self, element_size: int, count: int, alignment: int) -> int:  # noqa: N802
        return super().StartVector(element_size, count, 16 if element_size == 1 and count >= 16 else alignment)


def _tensor_map(tensors: Mapping[str, Tensor]) -> list[schema.TensorMapT]:
    entries = []
    for name, tensor in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), tensor.index
        entries.append(entry)
    return entries


def _sliced(side: int | None, part: slice) -> int | None:
    """The length of a part of a side; of an unknown side, only if both ends are counted from the same end."""
    if side is not None:
        return len(range(side)[part])
    if part.stop is not None and part.stop > 0 and (part.start or 0) >= 0:
        return part.stop - (part.start or 0)
    if part.start is not None and part.start < 0 and (part.stop or 0) <= 0:
        return (part.stop or 0) - part.start
    return None
