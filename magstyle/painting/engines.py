"""What computes a network: LiteRT on a CPU, Keras on a GPU or where it is asked for.

An engine is built from a network, paints images of any size, and says what memory that takes.
"""

import glob
import importlib.util
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from magstyle import project, sizes
from magstyle.checkpoints.networks import Network
from magstyle.errors import InputError
from magstyle.painting import memory

if TYPE_CHECKING:
    import keras

    from magstyle.models.transformer import StyleTransformer

Progress = Callable[[float], object]

ENGINES = ("auto", "litert", "keras")
# Of GPUs and TPUs that Keras's backends compute on: NVIDIA's, AMD's, those of Windows seen from Linux, Google's.
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg", "/dev/accel*")
# Bytes that a graph of whole images may take; tiles are nearly as fast.
_LARGEST_GRAPH = 2**31
# For how many times the pixels of a second, larger image a graph takes memory.
_ROOM = 1.4
# And for how many times the pixels of the largest that is expected: images of other shapes have longer borders.
_BORDERS = 1.05
# Of a graph that has not taken memory yet.
_NO_ROOM = (0, 0)


def choose(engine: str) -> str:
    """What `engine` means on this machine: "litert" or "keras".

    Raises:
        InputError: for an engine that is none of ENGINES, or for "keras" where it is not installed.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine} must be one of {', '.join(ENGINES)}", "engine")
    if engine == "keras":
        with project.needing_tensorflow("engine=keras", "engine"):
            import keras  # noqa: F401
    if engine != "auto":
        return engine
    return "keras" if may_have_a_gpu() and memory.on_a_gpu() else "litert"


def may_have_a_gpu() -> bool:
    """Whether it is worth asking Keras for GPUs, which imports it; where this is false, there are none."""
    if sys.modules.get("keras"):
        return True
    if importlib.util.find_spec("keras") is None:
        return False
    # Apple's are a plug-in of TensorFlow's.
    return any(map(glob.glob, _DEVICES)) or importlib.util.find_spec("tensorflow-plugins") is not None


class LiteRTEngine:
    """Computes on all cores of the CPU; neither TensorFlow nor Keras is imported.

    One graph computes all sizes, and keeps the memory of the largest image. What would take too much memory in one
    piece is painted in tiles.

    Args:
        network: to compute.
    """

    def __init__(self, network: Network):
        self._network, self._expected, self._keep_addresses = network, [], True
        self._lock = threading.Lock()  # A graph computes one image at a time, on all cores.
        self._forget()
        # At once: a program may be waiting for its first photo.
        self._content = self._draw(network.parameters, per_pixel=False)

    def paint(self, image: np.ndarray, style_weights: np.ndarray, progress: Progress) -> np.ndarray:
        """The picture, float32 [H, W, 3] in [0, 1], of an image, float32 [H, W, 3].

        Args:
            image: to paint.
            style_weights: [num_styles], or [H, W, num_styles].
            progress: called with the share of the work that has been done since, which adds up to 1.
        """
        styles, parameters = [], self._network.parameters
        if style_weights.ndim == 3:
            styles = styles_in(style_weights)
            style_weights = style_weights[..., styles]
            parameters = {
                scope: {name: table if name == "kernel" else table[styles] for name, table in tables.items()}
                for scope, tables in parameters.items()
            }
        with self._lock:
            height, width, _ = image.shape
            size = sizes.padded(height), sizes.padded(width)
            if not self._fits(*size, styles):
                self._forget()
                return self._paint_in_tiles(parameters, image, style_weights, progress)
            if self._runner is None or styles != self._styles:
                self._forget()  # First, so that its memory is free.
                self._runner, self._styles = self._open(parameters, per_pixel=bool(styles)), styles
            self._make_room(size)
            if styles:
                style_weights = _padded(style_weights)[None]
            inputs = {"input_image": _padded(image)[None], "style_weights": style_weights}
            picture = self._runner.run(inputs)["stylized_image"][0, :height, :width]
        progress(1.0)
        return picture

    def expect(self, image_sizes: Iterable[tuple[int, int]]) -> None:
        """Prepares for images of these heights and widths, one after the other.

        The first makes room for the others, which saves them time. Where none has the size of the one before, as where
        there is but one, nothing is kept that an image of the same size would need again: nearly half of the memory.
        """
        with self._lock:
            self._expected = [(sizes.padded(height), sizes.padded(width)) for height, width in image_sizes]
            repeated = any(size == following for size, following in itertools.pairwise(self._expected))
            keep_addresses = repeated or not self._expected
            if keep_addresses != self._keep_addresses:
                self._forget()
                self._keep_addresses = keep_addresses

    def check(self, height: int, width: int, keeps: int = 0, regions: int = 0, stroke_size: float = 1.0) -> None:
        """Raises an InputError if an image of this size does not fit into memory, as `memory.check` does."""
        # What is held already is used again, or given back first.
        memory.check(self._network.convolutions, "litert", height, width, keeps - self._held(), regions, stroke_size)

    def _paint_in_tiles(self, parameters, image, style_weights, progress) -> np.ndarray:
        from magstyle.litert import tiles

        return tiles.paint(
            self._network.convolutions,
            parameters,
            image,
            style_weights,
            memory_limit=memory.available(),
            progress=progress,
        )

    def _fits(self, height: int, width: int, styles: list[int]) -> bool:
        """Whether there is memory for an image of this size in one piece."""
        whole = self._needed((height, width), styles)
        return whole <= min(_LARGEST_GRAPH, memory.available() + self._held())

    def _make_room(self, size: tuple[int, int]) -> None:
        """Has the graph take more memory than an image of this size needs, if there is as much, where others follow.

        What all tensors lie in is taken anew whenever one of them grows, which takes twice as long as the rest of what
        the graph does for another size. The means of rows grow with the height alone, so room has a height, too.
        """
        if self._room == _NO_ROOM:
            wanted = [size, *(other for other in self._expected if self._fits(*other, self._styles))]
            tall, pixels = max(height for height, _ in wanted), max(map(math.prod, wanted))
            pixels *= _BORDERS if len(set(wanted)) > 1 else 1
        elif size[0] > self._room[0] or math.prod(size) > math.prod(self._room):
            # Others, a little larger still, may follow.
            tall, pixels = sizes.padded(round(_ROOM * max(size))), max(_ROOM * math.prod(size), math.prod(self._room))
        else:
            return
        room = tall, sizes.padded(math.ceil(pixels / tall))
        if room == size or not self._fits(*room, self._styles):
            self._room = max(self._room, size, key=math.prod)
            return
        weights = (1, *room, len(self._styles)) if self._styles else (self._network.num_styles,)
        self._runner.make_room({"input_image": (1, *room, 3), "style_weights": weights})
        self._room = room

    def _held(self) -> int:
        """The bytes that the graph keeps."""
        return 0 if self._room == _NO_ROOM else self._needed(self._room, self._styles)

    def _needed(self, size: tuple[int, int], styles: list[int]) -> int:
        return memory.needed_in_one_piece(self._network.convolutions, *size, len(styles), self._keep_addresses)

    def _forget(self) -> None:
        """Gives back the graph; `_styles` are those that it has weights of for every pixel."""
        self._runner, self._room, self._styles = None, _NO_ROOM, []

    def _open(self, parameters, per_pixel: bool):
        from magstyle.litert import runtime

        content = self._draw(parameters, per_pixel) if per_pixel else self._content
        return runtime.Runner(content, runtime.cores(), self._keep_addresses)

    def _draw(self, parameters, per_pixel: bool) -> bytes:
        from magstyle.litert import network

        return network.build(self._network.convolutions, parameters, height=0, width=0, per_pixel=per_pixel)


class KerasEngine:
    """Computes with Keras's backend, on whatever device that takes.

    Args:
        model: to compute.
    """

    def __init__(self, model: "StyleTransformer"):
        self.model = model
        self._compute, self._compute_per_pixel = _compiled(model), None

    def paint(self, image: np.ndarray, style_weights: np.ndarray, progress: Progress) -> np.ndarray:
        """The picture, as LiteRTEngine's."""
        height, width, _ = image.shape
        compute = self._compute
        if style_weights.ndim == 3:
            self._compute_per_pixel = self._compute_per_pixel or _compiled(self.model.per_pixel())
            compute, style_weights = self._compute_per_pixel, _padded(style_weights)
        stylized = compute([_padded(image)[None], style_weights[None]])
        progress(1.0)
        return np.asarray(stylized)[0, :height, :width]

    def expect(self, image_sizes: Iterable[tuple[int, int]]) -> None:
        """Does nothing: TensorFlow takes memory for every image, and keeps what it had."""

    def check(self, height: int, width: int, keeps: int = 0, regions: int = 0, stroke_size: float = 1.0) -> None:
        """Raises an InputError if an image of this size does not fit into memory, as `memory.check` does."""
        regions = regions and self.model.num_styles  # It takes the weights of all styles.
        memory.check(self.model.convolutions, "keras", height, width, keeps, regions, stroke_size)


def _compiled(model: "keras.Model") -> Callable[[list[np.ndarray]], np.ndarray]:
    """What a model gives for a batch, of one image."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    # With sizes left open. Keras's `predict` takes those of the first image, and is traced anew for a second one.
    inputs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=[inputs], autograph=False)


def styles_in(style_weights: np.ndarray) -> list[int]:
    """The numbers of the styles that have weights [H, W, num_styles] in an image; at least one."""
    return np.flatnonzero(style_weights.any(axis=(0, 1))).tolist() or [0]


def _padded(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C], reflected at its lower and right borders to the size that the network takes."""
    padding = [(0, sizes.padded(side) - side) for side in image.shape[:2]]
    return np.pad(image, [*padding, (0, 0)], mode="reflect") if np.any(padding) else image
