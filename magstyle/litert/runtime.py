"""A LiteRT graph for images of any size, run by XNNPACK on the cores of the CPU.

For a convolution, XNNPACK stores the address of every pixel under its kernel, for every pixel of the result. For the
whole network, these take nearly half of the memory, and Linux takes longer to hand it out than XNNPACK to fill it.
XNNPACK can also compute them afresh before each convolution, in one place for all. LiteRT's CompiledModel can ask for
that; its Interpreter cannot.
"""

import functools
import os
from collections.abc import Mapping

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import CpuOptions, Options
from ai_edge_litert.tensor_buffer import TensorBuffer

from magstyle.litert.graph import Graph, serialize
from magstyle.silence import silence_the_end, silent_stderr

# From LiteRT's xnnpack_delegate.h: TFLITE_XNNPACK_DELEGATE_FLAG_TRANSIENT_INDIRECTION_BUFFER, with the default flags
# that it would replace, ..._QS8 and ..._QU8, which are for eight bits.
_COMPUTE_ADDRESSES_AFRESH = 0x20 | 0x1 | 0x2

Shapes = Mapping[str, tuple[int, ...]]


class Runner:
    """A graph, ready to run.

    Args:
        content: the content of a LiteRT file with one signature.
        threads: the number of threads.
        keep_addresses: whether XNNPACK keeps the addresses for more images of the same size, which takes more memory.
    """

    def __init__(self, content: bytes, threads: int, keep_addresses: bool):
        environment = start()
        cpu = CpuOptions(num_threads=threads, xnnpack_flags=None if keep_addresses else _COMPUTE_ADDRESSES_AFRESH)
        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)
        with silent_stderr():
            self._model = CompiledModel.from_buffer(content, environment=environment, options=options)
        self._content = content  # LiteRT may read the weights from there.
        (self._signature,) = self._model.get_signature_list()
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._inputs: dict[str, TensorBuffer] = {}
        self._outputs: dict[str, TensorBuffer] = {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, given all inputs by name; all are float32."""
        self._resize({name: values.shape for name, values in inputs.items()})
        for name, values in inputs.items():
            self._inputs[name].write(values)
        self._model.run_by_name(self._signature, self._inputs, self._outputs)
        return {name: self._read(name) for name in self._outputs}

    def make_room(self, shapes: Shapes) -> None:
        """Takes the memory that inputs of these shapes need; smaller ones then use it, too."""
        self._resize(shapes)

    def _resize(self, shapes: Shapes) -> None:
        if shapes == self._shapes:
            return
        model, signature = self._model, self._signature
        details = model.get_input_tensor_details(signature)
        for name, shape in shapes.items():
            if tuple(details[name]["shape"]) != shape:
                model.resize_input_tensor_by_name(signature, name, shape)
        outputs = model.get_signature_list()[signature]["outputs"]
        self._inputs = {name: model.create_input_buffer_by_name(signature, name) for name in shapes}
        self._outputs = {name: model.create_output_buffer_by_name(signature, name) for name in outputs}
        self._shapes = dict(shapes)

    def _read(self, name: str) -> np.ndarray:
        shape = self._model.get_output_tensor_details(self._signature)[name]["shape"]
        return self._outputs[name].read(int(np.prod(shape)), np.float32).reshape(shape)


@functools.cache
def start() -> Environment:
    """Starts LiteRT, without the dozens of lines that it logs at the start and at the end."""
    graph = Graph()
    number = graph.input("number", (1,))
    content = serialize(graph.finish({"sum": number + number}))
    # No search for plug-ins for other processors.
    nowhere = os.path.join(os.path.dirname(__file__), "no-plug-ins")
    silence_the_end()
    with silent_stderr():
        environment = Environment.create(dispatch_library_path=nowhere, compiler_plugin_path=nowhere)
        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=1))
        model = CompiledModel.from_buffer(content, environment=environment, options=options)
        model.create_input_buffers(0)[0].write(np.zeros(1, np.float32))
    return environment


def cores() -> int:
    """How many threads can run at a time."""
    # Only those this process may use, if the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
