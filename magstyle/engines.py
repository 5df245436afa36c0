"""What computes a network: LiteRT on a CPU, Keras on a GPU or where it is asked for.

An engine is built from a network, paints images whose sides are multiples of 4 from 8, and says what memory that takes.
"""

import glob
import importlib.util
import math
import os
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

from magstyle import memory
from magstyle.errors import InputError
from magstyle.networks import Network

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

ENGINES = ("auto", "litert", "keras")
# Of GPUs and TPUs that Keras's backends compute on: NVIDIA's, AMD's, those of Windows seen from Linux, Google's.
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg", "/dev/accel*")


def choose(engine: str) -> str:
    """What `engine` means on this machine: "litert" or "keras".

    Raises:
        InputError: for an engine that is none of ENGINES.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine} must be one of {', '.join(ENGINES)}", "engine")
    if engine != "auto":
        return engine
    return "keras" if may_have_a_gpu() and memory.on_a_gpu() else "litert"


def may_have_a_gpu() -> bool:
    """Whether it is worth asking Keras for GPUs, which imports it; where this is false, there are none."""
    # Apple's are a plug-in of TensorFlow's.
    return (
        "keras" in sys.modules
        or any(map(glob.glob, _DEVICES))
        or importlib.util.find_spec("tensorflow-plugins") is not None
    )


class LiteRTEngine:
    """Computes on all cores of the CPU; neither TensorFlow nor Keras is imported.

    One graph computes all sizes. It keeps the memory of the largest image, to which a larger one would only add, so
    a new graph takes its place then.

    Args:
        network: to compute.
    """

    def __init__(self, network: Network):
        self._network = network
        self._runner, self._largest = None, (0, 0)
        self._lock = threading.Lock()  # An interpreter computes one image at a time, on all cores.

    def paint(self, image: np.ndarray, style_weights: np.ndarray) -> np.ndarray:
        """The picture, float32 [H, W, 3] in [0, 1], of an image, float32 [H, W, 3], by weights [num_styles]."""
        with self._lock:
            height, width, _ = image.shape
            if height * width > math.prod(self._largest):
                self._runner, self._largest = None, (0, 0)  # First, so that its memory is free.
                self._runner, self._largest = self._prepare(), (height, width)
            return self._runner(input_image=image[None], style_weights=style_weights)["stylized_image"][0]

    def check(self, height: int, width: int, keeps: int = 0) -> None:
        """Raises an InputError if an image of this size does not fit into memory, as `memory.check` does."""
        # What is held already is used again, or given back first.
        held = memory.needed(self._network.convolutions, "litert", *self._largest) if self._runner else 0
        memory.check(self._network.convolutions, "litert", height, width, keeps - held)

    def _prepare(self):
        from ai_edge_litert.interpreter import Interpreter

        from magstyle.litert import network

        content = network.build(self._network.convolutions, self._network.parameters, height=0, width=0)
        return Interpreter(model_content=content, num_threads=_cores()).get_signature_runner()


class KerasEngine:
    """Computes with Keras's backend, on whatever device that takes.

    Args:
        model: to compute.
    """

    def __init__(self, model: "StyleTransformer"):
        self.model = model

    def paint(self, image: np.ndarray, style_weights: np.ndarray) -> np.ndarray:
        """The picture, float32 [H, W, 3] in [0, 1], of an image, float32 [H, W, 3], by weights [num_styles]."""
        return np.asarray(self.model.predict_on_batch([image[None], style_weights[None]]))[0]

    def check(self, height: int, width: int, keeps: int = 0) -> None:
        """Raises an InputError if an image of this size does not fit into memory, as `memory.check` does."""
        memory.check(self.model.convolutions, "keras", height, width, keeps)


def _cores() -> int:
    """How many this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
