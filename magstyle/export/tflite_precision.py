"""Fewer bits for the numbers of a LiteRT model.

This edits the model itself, convolution by convolution; TensorFlow's converter quantises all operations or none, and
instance normalisation in eight bits would ruin the picture. (ai-edge-quantizer 0.10 does as well for float16 and
dynamic_int8. But its int8 files for any size do not load, its ranges cost up to 4.7 dB, and it pins one version of
ai-edge-litert.)
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from magstyle.litert.graph import operator_code

# The least size of a constant that is worth an operation to unpack it.
_SMALLEST = 256


class Editor:
    """Changes the storage of constants, and the arithmetic of convolutions.

    Args:
        model: a float32 model with one graph; it is changed in place.
    """

    def __init__(self, model: schema.ModelT):
        self.model = model
        self._graph = model.subgraphs[0]

    def halve_kernels(self) -> None:
        """Stores the float32 kernels with 16 bits; they are float32 again when the model is loaded."""
        unpacked = []
        for index, tensor in enumerate(list(self._graph.tensors)):
            values = self._constant(tensor)
            # Biases stay as they are: XNNPACK refuses packed ones if a kernel has eight bits.
            if values is None or values.ndim < 4 or values.size < _SMALLEST:
                continue
            half = self._add_constant(values.astype(np.float16))
            unpacked.append(self._operation(schema.BuiltinOperator.DEQUANTIZE, [half], [index], version=3))
            tensor.buffer = 0
        self._graph.operators = unpacked + self._graph.operators
        self._forget_constants()

    def quantize_kernels(self, ranges: Mapping[str, tuple[float, float, float] | None]) -> None:
        """Lets convolutions compute with eight bits.

        Args:
            ranges: the ranges of the convolutions, by the scope in the name of their result. None for those that
                measure the range of their input for every image and give float32 results; otherwise the range is fixed:
                the least and the greatest input and the greatest absolute result.
        """
        operators: list[schema.OperatorT] = []
        for operator in self._graph.operators:
            name = self._graph.tensors[operator.outputs[0]].name.decode()
            scopes = [scope for scope in ranges if f"{scope}/" in f"{name}/"]
            if self._code(operator) != schema.BuiltinOperator.CONV_2D or not scopes:
                operators.append(operator)
                continue
            fixed = ranges[scopes[0]]
            if fixed:
                operators += self._quantized(operator, *fixed)
            else:
                self._quantize_kernel(operator)
                operators.append(operator)
        self._graph.operators = operators
        self._forget_constants()

    def _forget_constants(self) -> None:
        """Empties the constants that no operation reads any more."""
        read = {index for operator in self._graph.operators for index in operator.inputs}
        for index, tensor in enumerate(self._graph.tensors):
            if index not in read:
                tensor.buffer = 0
        kept = {tensor.buffer for tensor in self._graph.tensors} | {entry.buffer for entry in self.model.metadata}
        for index, buffer in enumerate(self.model.buffers):
            if index not in kept:
                buffer.data = None

    def _quantize_kernel(self, operator: schema.OperatorT) -> np.ndarray:
        """Stores a kernel with eight bits and a scale per output channel; returns the scales [C_out]."""
        values = self._float32(operator.inputs[1])
        scale = np.maximum(np.abs(values).max(axis=(1, 2, 3)), 1e-12) / 127
        quantized = np.rint(values / scale[:, None, None, None]).astype(np.int8)
        operator.inputs = operator.inputs.copy()
        operator.inputs[1] = self._add_constant(quantized, scale)
        operator.opcodeIndex = self._operator_code(schema.BuiltinOperator.CONV_2D, version=5)
        return scale

    def _quantized(
        self, operator: schema.OperatorT, least: float, greatest: float, result: float
    ) -> list[schema.OperatorT]:
        """A convolution of eight-bit numbers, between operations that turn float32 into them and back."""
        image, _, bias = operator.inputs
        (output,) = operator.outputs
        scale = max(greatest - least, 1e-12) / 255
        zero = int(np.clip(np.rint(-128 - least / scale), -128, 127))
        kernel_scale = self._quantize_kernel(operator)
        values = np.rint(self._float32(bias) / (scale * kernel_scale)).astype(np.int32)
        integers = [
            self._add_tensor(self._graph.tensors[like], schema.TensorType.INT8, *quantization)
            for like, quantization in ((image, (scale, zero)), (output, (max(result, 1e-12) / 127, 0)))
        ]
        operator.inputs[0], operator.outputs = integers[0], np.array(integers[1:], np.int32)
        operator.inputs[2] = self._add_constant(values, scale * kernel_scale)
        return [
            self._operation(schema.BuiltinOperator.QUANTIZE, [image], integers[:1], version=1),
            operator,
            self._operation(schema.BuiltinOperator.DEQUANTIZE, integers[1:], [output], version=2),
        ]

    def _float32(self, index: int) -> np.ndarray:
        """The numbers of a tensor that is a float32 constant."""
        values = self._constant(self._graph.tensors[index])
        assert values is not None
        return values

    def _constant(self, tensor: schema.TensorT) -> np.ndarray | None:
        """The numbers of a tensor, if it is a float32 constant."""
        data = self.model.buffers[tensor.buffer].data
        if data is None or tensor.type != schema.TensorType.FLOAT32:
            return None
        return np.asarray(data, np.uint8).view(np.float32).reshape(tensor.shape)

    def _add_constant(self, values: np.ndarray, scale: np.ndarray | None = None) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.buffer = len(self.model.buffers) - 1
        tensor.shape = np.array(values.shape, np.int32)
        tensor.type = getattr(schema.TensorType, values.dtype.name.upper())
        if scale is not None:
            tensor.quantization = _quantization(scale, np.zeros(len(scale)))
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _add_tensor(self, like: schema.TensorT, dtype: int, scale: float, zero: int) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = like.name + b"/int8", dtype, 0
        tensor.shape, tensor.shapeSignature = like.shape, like.shapeSignature
        tensor.quantization = _quantization([scale], [zero])
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operation(self, code: int, inputs: list[int], outputs: list[int], version: int) -> schema.OperatorT:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._operator_code(code, version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return operator

    def _operator_code(self, code: int, version: int) -> int:
        for index, found in enumerate(self.model.operatorCodes):
            if (found.builtinCode, found.version) == (code, version):
                return index
        self.model.operatorCodes.append(operator_code(code, version))
        return len(self.model.operatorCodes) - 1

    def _code(self, operator: schema.OperatorT) -> int:
        return self.model.operatorCodes[operator.opcodeIndex].builtinCode


def _quantization(scale: npt.ArrayLike, zero: npt.ArrayLike) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array(scale, np.float32)
    parameters.zeroPoint = np.array(zero, np.int64)
    parameters.quantizedDimension = 0
    return parameters
