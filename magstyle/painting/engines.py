"""The engines that compute a network: LiteRT on a CPU, Keras on a GPU or on request.

An engine is built from a network, paints images of any size, and refuses those that do not fit into memory.
"""

import contextlib
import dataclasses
import functools
import glob
import importlib.util
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from magstyle import project, sizes
from magstyle.checkpoints.networks import Network
from magstyle.errors import check_choice
from magstyle.painting import margin, memory

if TYPE_CHECKING:
    import keras

    from magstyle.litert.network import Parameters
    from magstyle.litert.runtime import Runner
    from magstyle.models.transformer import StyleTransformer

Progress = Callable[[float], object]
# From a batch of images [1, H, W, 3] and one of weights to pictures [1, H, W, 3].
Compute = Callable[[list[np.ndarray]], np.ndarray]
# Height and width, in pixels.
Size = tuple[int, int]

Engine = Literal["auto", "litert", "keras"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
# The GPUs and TPUs that Keras's backends compute on: NVIDIA's, AMD's, those of Windows seen from Linux, Google's.
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg", "/dev/accel*")
# The most bytes that a graph for whole images may take; tiles are nearly as fast.
_LARGEST_GRAPH = 2**31
# Headroom factor for a second, larger image, in pixels.
_HEADROOM = 1.4
# Headroom factor for expected images, in pixels of the largest: images of other shapes have longer borders.
_BORDERS = 1.05


def choose(engine: str) -> str:
    """The engine that `engine` means on this machine: "litert" or "keras".

    Raises:
        InputError: for an engine that is not one of ENGINES, or for "keras" where it is not installed.
    """
    check_choice("engine", engine, ENGINES)
    if engine == "keras":
        with project.needing_tensorflow("engine=keras", "engine"):
            import keras  # noqa: F401
    if engine != "auto":
        return engine
    with contextlib.suppress(ModuleNotFoundError):  # Keras may be there without its backend.
        if may_have_a_gpu() and memory.on_a_gpu():
            return "keras"
    return "litert"


def may_have_a_gpu() -> bool:
    """Whether it is worth importing Keras to ask for GPUs; if not, there are none."""
    if sys.modules.get("keras"):
        return True
    if importlib.util.find_spec("keras") is None:
        return False
    # Apple's come as a plug-in of TensorFlow's.
    return any(map(glob.glob, _DEVICES)) or importlib.util.find_spec("tensorflow-plugins") is not None


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A graph that is ready to run.

    Attributes:
        runner: of the graph.
        styles: numbers of the styles with weights for every pixel; empty if all pixels share their weights.
        room: height and width of the largest image that it holds memory for.
        keep_addresses: as for `litert.runtime.Runner`.
    """

    runner: "Runner"
    styles: list[int]
    room: Size
    keep_addresses: bool


class LiteRTEngine:
    """Computes on all cores of the CPU; neither TensorFlow nor Keras is imported.

    One graph computes all sizes, and keeps the memory of the largest image. An image that would take too much memory in
    one piece is painted in tiles.

    Args:
        network: the network to compute.
    """

    def __init__(self, network: Network):
        self._network = network
        self._lock = threading.Lock()  # A graph computes one image at a time, on all cores.
        self._expected: list[Size] = []
        self._keep_addresses = True  # For a graph that is opened from now on.
        self._opened: _Opened | None = None
        # At once: a program may be waiting for its first photo.
        self._content = self._draw(network.parameters, per_pixel=False)

    def paint(self, image: np.ndarray, style_weights: np.ndarray, progress: Progress) -> np.ndarray:
        """The picture, float32 [H, W, 3] in [0, 1], of an image, float32 [H, W, 3].

        Args:
            image: the image to paint.
            style_weights: [num_styles], or [H, W, num_styles].
            progress: called with the share of the work done since the last call; the shares add up to 1.
        """
        parameters = self._network.parameters
        styles = styles_in(style_weights) if style_weights.ndim == 3 else []
        if styles:
            style_weights = style_weights[..., styles]
            parameters = {
                scope: {name: table if name == "kernel" else table[styles] for name, table in tables.items()}
                for scope, tables in parameters.items()
            }
        height, width, _ = image.shape
        size = margin.framed(height), margin.framed(width)
        with self._lock:
            if not self._fits(size, styles):
                self._opened = None  # First, so that its memory is free.
                return self._paint_in_tiles(parameters, image, style_weights, progress)
            if styles:
                style_weights = margin.laid(style_weights)[None]
            inputs = {"input_image": margin.laid(image)[None], "style_weights": style_weights}
            runner = self._open(parameters, size, styles)
            picture = margin.cut(runner.run(inputs)["stylized_image"][0], height, width)
        progress(1.0)
        return picture

    def expect(self, image_sizes: Iterable[Size]) -> None:
        """Prepares for images of these heights and widths, one after the other.

        The first makes room for the others, which saves time. If no image has the size of the one before, as when there
        is only one, nothing is kept that only an image of the same size would need again: nearly half of the memory.
        """
        with self._lock:
            self._expected = [(margin.framed(height), margin.framed(width)) for height, width in image_sizes]
            repeated = any(size == following for size, following in itertools.pairwise(self._expected))
            self._keep_addresses = repeated or not self._expected
            if self._opened and self._opened.keep_addresses != self._keep_addresses:
                self._opened = None

    def check(self, photo: memory.Photo) -> None:
        """Raises an InputError if a photo does not fit into memory, as `memory.check` does."""
        # The engine uses the memory that it holds again, or gives it back first.
        photo = dataclasses.replace(photo, keeps=photo.keeps - self._held())
        memory.check(self._network.convolutions, "litert", photo)

    def _paint_in_tiles(
        self, parameters: "Parameters", image: np.ndarray, style_weights: np.ndarray, progress: Progress
    ) -> np.ndarray:
        from magstyle.litert import tiles

        return tiles.paint(
            self._network.convolutions,
            parameters,
            image,
            style_weights,
            margin=margin.MARGIN,
            memory_limit=memory.available(),
            progress=progress,
        )

    def _open(self, parameters: "Parameters", size: Size, styles: list[int]) -> "Runner":
        """The graph for weights of these styles, with memory for an image of this size."""
        opened = self._opened
        if opened is None or opened.styles != styles:
            opened = self._opened = None  # First, so that its memory is free.
            runner, room = self._new_runner(parameters, styles), self._first_room(size, styles)
        elif size[0] > opened.room[0] or math.prod(size) > math.prod(opened.room):
            runner, room = opened.runner, _larger_room(size, opened.room)
        else:
            return opened.runner
        if room != size and self._fits(room, styles):
            weights = (1, *room, len(styles)) if styles else (self._network.num_styles,)
            runner.make_room({"input_image": (1, *room, 3), "style_weights": weights})
        else:
            room = max(opened.room, size, key=math.prod) if opened else size
        self._opened = _Opened(runner, styles, room, self._keep_addresses)
        return runner

    def _first_room(self, size: Size, styles: list[int]) -> Size:
        """Height and width that suit an image of this size and all expected ones that fit into memory.

        The graph places all tensors anew whenever one of them grows, which takes twice as long as the rest of its work
        for another size. The means of rows grow with the height alone, so room has a height, too.
        """
        wanted = [size, *(other for other in self._expected if self._fits(other, styles))]
        headroom = _BORDERS if len(set(wanted)) > 1 else 1.0
        return _room(max(height for height, _ in wanted), headroom * max(map(math.prod, wanted)))

    def _fits(self, size: Size, styles: list[int]) -> bool:
        """Whether there is memory for an image of this size in one piece."""
        whole = self._needed(size, styles, self._keep_addresses)
        return whole <= min(_LARGEST_GRAPH, memory.available() + self._held())

    def _held(self) -> int:
        """The bytes that the graph holds."""
        opened = self._opened  # Read once: another thread may replace it.
        return self._needed(opened.room, opened.styles, opened.keep_addresses) if opened else 0

    def _needed(self, size: Size, styles: list[int], keep_addresses: bool) -> int:
        return memory.needed_in_one_piece(self._network.convolutions, *size, len(styles), keep_addresses)

    def _new_runner(self, parameters: "Parameters", styles: list[int]) -> "Runner":
        from magstyle.litert import runtime

        content = self._draw(parameters, per_pixel=True) if styles else self._content
        return runtime.Runner(content, runtime.cores(), self._keep_addresses)

    def _draw(self, parameters: "Parameters", per_pixel: bool) -> bytes:
        from magstyle.litert import network

        return network.build(self._network.convolutions, parameters, height=0, width=0, per_pixel=per_pixel)


def _larger_room(size: Size, room: Size) -> Size:
    """Height and width that suit an image of this size and others a little larger, which may follow."""
    return _room(sizes.padded(round(_HEADROOM * max(size))), max(_HEADROOM * math.prod(size), math.prod(room)))


def _room(height: int, pixels: float) -> Size:
    """A size of this height, with at least this many pixels."""
    return height, sizes.padded(math.ceil(pixels / height))


class KerasEngine:
    """Computes with Keras's backend, on the device that it chooses.

    Args:
        model: the model to compute.
    """

    def __init__(self, model: "StyleTransformer"):
        self.model = model
        self._compute = _compiled(model)

    def paint(self, image: np.ndarray, style_weights: np.ndarray, progress: Progress) -> np.ndarray:
        """The picture, as for LiteRTEngine."""
        height, width, _ = image.shape
        compute = self._compute
        if style_weights.ndim == 3:
            compute, style_weights = self._compute_per_pixel, margin.laid(style_weights)
        stylized = compute([margin.laid(image)[None], style_weights[None]])
        progress(1.0)
        return margin.cut(np.asarray(stylized)[0], height, width)

    @functools.cached_property
    def _compute_per_pixel(self) -> Compute:
        return _compiled(self.model.per_pixel())

    def expect(self, image_sizes: Iterable[Size]) -> None:
        """Does nothing: TensorFlow takes memory for every image, and keeps what it took before."""

    def check(self, photo: memory.Photo) -> None:
        """Raises an InputError if a photo does not fit into memory, as `memory.check` does."""
        if photo.regions:
            photo = dataclasses.replace(photo, regions=self.model.num_styles)  # It takes the weights of all styles.
        memory.check(self.model.convolutions, "keras", photo)


def _compiled(model: "keras.Model") -> Compute:
    """The model as a function of a batch of one image."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    # The sizes are left open. Keras's `predict` fixes those of the first image, and is traced again for a second one.
    inputs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=[inputs], autograph=False)


def styles_in(style_weights: np.ndarray) -> list[int]:
    """The numbers of the styles that have a weight somewhere in [H, W, num_styles]; at least one."""
    return np.flatnonzero(style_weights.any(axis=(0, 1))).tolist() or [0]
