"""A LiteRT graph for images of any size, run by XNNPACK on the cores of the CPU.

For a convolution, XNNPACK notes the address of every pixel under its kernel, for every pixel of the result. Those of
the whole network are nearly half of the memory, which Linux takes longer to hand out than XNNPACK to fill. It can also
note them anew for each convolution, when its turn comes, in one place for all. LiteRT's CompiledModel can ask for that;
its Interpreter cannot.
"""

import functools
import os
from collections.abc import Mapping

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import CpuOptions, Options

from magstyle.litert.graph import Graph, serialize
from magstyle.silence import silence_the_end, silent_stderr

# Of LiteRT's xnnpack_delegate.h: TFLITE_XNNPACK_DELEGATE_FLAG_TRANSIENT_INDIRECTION_BUFFER, with the defaults that it
# replaces, which are for eight bits, ..._QS8 and ..._QU8.
_NOTE_ADDRESSES_ANEW = 0x20 | 0x1 | 0x2

Shapes = Mapping[str, tuple[int, ...]]


class Runner:
    """A graph, ready to run.

    Args:
        content: of a LiteRT file with one signature.
        threads: to compute with.
        keep_addresses: whether XNNPACK notes the addresses once for all images of a size, which takes more memory.
    """

    def __init__(self, content: bytes, threads: int, keep_addresses: bool):
        environment = start()
        cpu = CpuOptions(num_threads=threads, xnnpack_flags=None if keep_addresses else _NOTE_ADDRESSES_ANEW)
        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)
        with silent_stderr():
            self._model = CompiledModel.from_buffer(content, environment=environment, options=options)
        self._content = content  # LiteRT may read the weights from there.
        (self._signature,) = self._model.get_signature_list()
        self._shapes, self._inputs, self._outputs = {}, {}, {}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, of all inputs by name; all are float32."""
        self._resize({name: values.shape for name, values in inputs.items()})
        for name, values in inputs.items():
            self._inputs[name].write(values)
        self._model.run_by_name(self._signature, self._inputs, self._outputs)
        return {name: self._read(name) for name in self._outputs}

    def make_room(self, shapes: Shapes) -> None:
        """Takes the memory that inputs of these shapes need, which smaller ones find then."""
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
    """Gets LiteRT ready, without the dozens of lines that it logs then, and in the end."""
    graph = Graph()
    number = graph.input("number", (1,))
    content = serialize(graph.finish({"sum": number + number}))
    # Plug-ins for other processors need not be looked for.
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
    # What this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
