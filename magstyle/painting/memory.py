"""Whether a photo, or a step of training, fits into memory: how much it takes, and how much is free."""

import bisect
import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psutil

from magstyle import sizes
from magstyle.errors import InputError
from magstyle.models.architecture import Convolution, reductions
from magstyle.painting import margin, strokes

if TYPE_CHECKING:
    import keras

    from magstyle.models.transformer import StyleTransformer

_FLOAT = 4
# Float32 numbers per pixel of the image, as `benchmarks/memory.py --fit` measures them, rounded up: a constant, and a
# multiple of the channels of the largest tensor. LiteRT holds the largest tensor twice, and others as well if it is
# narrow. It also holds addresses. With weights for every pixel, it holds copies of these weights, and scales and shifts
# as large as the tensors. XLA reuses less of its memory than TensorFlow, which takes more with oneDNN, its default on
# machines with AVX-512, than without.
_LITERT, _LITERT_PER_PIXEL, _ADDRESSES, _COPIES_OF_WEIGHTS = (58, 1.75), (48, 3.0), 36, 4
_TENSORFLOW, _XLA = (16, 3.25), (16, 9.0)
# The same for a step of training: a constant, and multiples of the channels of all tensors and of VGG's features; for
# the way back, a step keeps the tensors in several forms. Fine-tuning takes a fraction: no gradients of kernels.
_TRAINING, _FINE_TUNING = (130, 7.3, 0.3), 0.7
# The same for pixels that are optimised: a constant, for L-BFGS's memory in 64 bits, and a multiple of the channels of
# VGG's features, which have gradients. Both, and the bytes for the process, were chosen by hand to exceed the peaks of
# `benchmarks/optimisation.py`: 0.61 GiB for 341 x 256 pixels with a VGG-19, 1.04 GiB for 683 x 512 and 3.38 GiB for
# 1365 x 1024 with one of a quarter of the width.
_OPTIMIZATION, _OPTIMIZATION_BYTES = (370, 3.4), 2**28
Convolutions = Sequence[Convolution]


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo to stylise.

    Attributes:
        height, width: in pixels.
        keeps: bytes that the caller is going to hold besides; negative for memory that it gives back first.
        regions: how many styles have a weight for each pixel; 0 if the whole image has the same weights.
        stroke_size, finish: as for `Stylizer.stylize`.
    """

    height: int
    width: int
    keeps: int = 0
    regions: int = 0
    stroke_size: float = 1.0
    finish: bool = True

    @property
    def largest_pass(self) -> tuple[int, int]:
        """The height and width at which it is painted, in pixels; those of the larger one of two passes."""
        return max(strokes.passes((self.height, self.width), self.stroke_size, self.finish), key=math.prod)

    def scaled(self, side: int) -> "Photo":
        """The same photo, with a shorter side of this many pixels."""
        height, width = (round(length * side / min(self.height, self.width)) for length in (self.height, self.width))
        return dataclasses.replace(self, height=height, width=width)


def check(convolutions: Convolutions, engine: str, photo: Photo) -> None:
    """Raises an InputError if a photo does not fit; the message names a size that fits.

    Args:
        convolutions: of the network that stylises it.
        engine: the engine that computes it, "litert" or "keras".
        photo: the photo.
    """
    free, in_blocks = max(available() - photo.keeps, 0), engine == "keras" and _tensorflow_convolves_on_a_cpu()
    # Linux grants no block larger than all of the memory, and a process that asks for one is aborted.
    largest = psutil.virtual_memory().total + psutil.swap_memory().total

    def is_refused(photo: Photo) -> bool:
        if in_blocks and largest_block(convolutions, *photo.largest_pass) > largest:
            return True
        return _takes(convolutions, engine, photo) > free

    if not is_refused(photo):
        return
    takes = f"a photo of {photo.width} x {photo.height} pixels takes about {_gib(_takes(convolutions, engine, photo))}"
    has = f"{_gib(free)} free"
    if in_blocks:
        takes += f", in blocks of up to {_gib(largest_block(convolutions, *photo.largest_pass))}"
        has += f" of {_gib(largest)}"
    sides = range(sizes.SMALLEST_SIDE, min(photo.height, photo.width), sizes.MULTIPLE)
    fitting = bisect.bisect_left(sides, True, key=lambda side: is_refused(photo.scaled(side)))
    fits = f"image_size={sides[fitting - 1]} fits" if fitting else "no image_size fits"
    raise InputError(f"{takes}; with {has}, {fits}", "image_size")


def _takes(convolutions: Convolutions, engine: str, photo: Photo) -> int:
    """How many bytes of this machine's memory a photo takes, those for larger strokes included."""
    size = photo.height, photo.width
    enlarging = strokes.needed(*size) if photo.largest_pass != size else 0
    return needed(convolutions, engine, *photo.largest_pass, photo.regions) + enlarging


def check_training(
    transformer: "StyleTransformer",
    vgg: "keras.Model",
    batch_size: int,
    image_size: int,
    smallest: int = sizes.SMALLEST_FOR_VGG,
) -> None:
    """Raises an InputError if a step of training does not fit into memory; the message names a size that fits.

    Only TensorFlow on CPUs is known. (GPUs report themselves that they are out of memory.)

    Args:
        transformer: the network to train.
        vgg: its loss network.
        batch_size: photos per step, of this process.
        image_size: side of the photos, in pixels.
        smallest: the smallest side that the losses allow.
    """
    if not _tensorflow_convolves_on_a_cpu():
        return
    free, needed = available(), needed_to_train(transformer, vgg, batch_size, image_size)
    if needed <= free:
        return
    fits, photos = [], free // needed_to_train(transformer, vgg, 1, image_size)
    if photos:
        fits.append(f"batch_size={photos}")
    side = int(image_size * (free / needed) ** 0.5) // sizes.MULTIPLE * sizes.MULTIPLE
    if side >= smallest:
        fits.append(f"image_size={side}")
    raise InputError(
        f"a step with batch_size={batch_size} and image_size={image_size} takes about {_gib(needed)}; with "
        f"{_gib(free)} free, {' or '.join(fits) or 'no image_size'} fits",
        "batch_size",
        "image_size",
    )


def needed_to_train(transformer: "StyleTransformer", vgg: "keras.Model", batch_size: int, image_size: int) -> int:
    """How many bytes of memory a step of training takes at its peak, on TensorFlow and a CPU."""
    constant, per_channel, per_feature = _TRAINING
    per_pixel = constant + per_channel * sum(tensors(transformer.convolutions)) + per_feature * features(vgg)
    if not transformer.parameters(transformer.scopes[0])["kernel"].trainable:
        per_pixel *= _FINE_TUNING
    return int(batch_size * image_size**2 * per_pixel * _FLOAT)


def check_optimization(vgg: "keras.Model", height: int, width: int, margin: int = 0) -> None:
    """Raises an InputError if the pixels of a picture of this size cannot be optimised in memory.

    The message names a size that fits.

    Only TensorFlow on CPUs is known. (GPUs report themselves that they are out of memory.)

    Args:
        vgg: the loss network, up to the last features that are compared.
        height, width: of the picture, in pixels.
        margin: pixels on each of its sides that are optimised with it.
    """

    def needed_at(scale: float) -> int:
        return needed_to_optimize(vgg, *(scale * side + 2 * margin for side in (height, width)))

    if not _tensorflow_convolves_on_a_cpu():
        return
    free, needed = available(), needed_at(1)
    if needed <= free:
        return
    side = min(height, width)
    while side >= sizes.SMALLEST_FOR_VGG:
        if needed_at(side / min(height, width)) <= free:
            break
        side = int(side * 0.95)
    fits = f"image_size={side} fits" if side >= sizes.SMALLEST_FOR_VGG else "no image_size fits"
    raise InputError(
        f"a picture of {width} x {height} pixels takes about {_gib(needed)}; with {_gib(free)} free, {fits}",
        "image_size",
    )


def needed_to_optimize(vgg: "keras.Model", height: float, width: float) -> int:
    """How many bytes of memory the optimisation of a picture takes at its peak, on TensorFlow and a CPU."""
    constant, per_feature = _OPTIMIZATION
    return int(height * width * (constant + per_feature * features(vgg)) * _FLOAT) + _OPTIMIZATION_BYTES


def needed(convolutions: Convolutions, engine: str, height: int, width: int, regions: int = 0) -> int:
    """How many bytes of this machine's memory stylising a photo of this size takes, by this engine.

    Args:
        convolutions, engine: as for `check`.
        height, width, regions: as for `Photo`.
    """
    height, width = margin.framed(height), margin.framed(width)
    if engine == "litert":
        return min(
            needed_in_one_piece(convolutions, height, width, regions),
            _needed_in_tiles(convolutions, height, width, regions),
        )
    constant, per_channel = _TENSORFLOW if _keras_backend() == "tensorflow" else _XLA
    if on_a_gpu():
        per_channel = 0.0  # A GPU computes in its own memory.
    elif regions:
        per_channel *= 2
    per_pixel = constant + per_channel * max(tensors(convolutions)) + 2 * regions
    return int(height * width * per_pixel * _FLOAT)


def needed_in_one_piece(
    convolutions: Convolutions, height: int, width: int, regions: int = 0, keep_addresses: bool = True
) -> int:
    """How many bytes LiteRT takes for an image of this size, with its margin, as a whole.

    Args:
        convolutions: of the network.
        height, width: of the image, in pixels.
        regions: as for `Photo`.
        keep_addresses: as for `litert.runtime.Runner`.
    """
    constant, per_channel = _LITERT_PER_PIXEL if regions else _LITERT
    per_pixel = constant + per_channel * max(tensors(convolutions)) + _COPIES_OF_WEIGHTS * regions
    if not keep_addresses:
        per_pixel -= _ADDRESSES
    return int(sizes.padded(height) * sizes.padded(width) * per_pixel * _FLOAT)


def _needed_in_tiles(convolutions: Convolutions, height: int, width: int, regions: int) -> int:
    """How many bytes LiteRT takes for an image of this size, with its margin, in the smallest tiles."""
    from magstyle.litert import tiles

    # The photo comes on top, and its bytes while it is read, or those of the picture while it is written.
    return tiles.needed(convolutions, height, width, regions) + height * width * 5 * _FLOAT


def largest_block(convolutions: Convolutions, height: int, width: int) -> int:
    """The bytes of the largest block that TensorFlow reserves on a CPU for a photo, of which it touches little.

    It is the input of the first convolution, with the values under the kernel laid out for every pixel.
    """
    values = convolutions[0].kernel_size ** 2 * 3
    return margin.framed(height) * margin.framed(width) * values * _FLOAT


def available(process: str = "/proc/self/cgroup", cgroups: str = "/sys/fs/cgroup") -> int:
    """How many bytes this process can still take: those free on the machine, or in its container if that has fewer.

    Args:
        process: the file that names the cgroups of the process.
        cgroups: where they are mounted.
    """
    free = psutil.virtual_memory().available
    return max(0, min([free, *_free_in_cgroups(pathlib.Path(process), pathlib.Path(cgroups))]))


def tensors(convolutions: Convolutions) -> list[float]:
    """The numbers per pixel of the image in the result of each convolution of a network."""
    reduced = reductions(convolutions)
    return [row.filters / reduced[row.scope] ** 2 for row in convolutions]


def features(vgg: "keras.Model") -> float:
    """The numbers per pixel of the image in all features of a loss network."""
    import keras

    numbers, area = 0.0, 1.0
    for layer in vgg.layers:
        if isinstance(layer, keras.layers.Conv2D):
            numbers += layer.filters * area
        elif isinstance(layer, keras.layers.AveragePooling2D | keras.layers.MaxPooling2D):
            area /= 4
    return numbers


def on_a_gpu() -> bool:
    """Whether Keras computes on a GPU or a TPU."""
    import keras

    try:
        return any(not device.startswith("cpu") for device in keras.distribution.list_devices())
    except AttributeError:  # Keras lists them only on TensorFlow and JAX.
        return False


def _keras_backend() -> str:
    import keras

    return keras.backend.backend()


def _tensorflow_convolves_on_a_cpu() -> bool:
    return _keras_backend() == "tensorflow" and not on_a_gpu()


def _free_in_cgroups(process: pathlib.Path, cgroups: pathlib.Path) -> Iterator[int]:
    """The limit less the usage of every memory cgroup that the process is in, its own and those around it."""
    for line in _read(process).splitlines():  # Only Linux has any.
        # A line reads `0::/system.slice/a.service` (version 2) or `4:cpu,memory:/docker/0123` (version 1).
        _, controllers, own = line.split(":", 2)
        if not controllers:
            mount, limit, usage, cache = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, cache = cgroups / "memory", "total_inactive_file"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # A container may not see the cgroups around it by name, but its own is the root of the mount.
        path = pathlib.PurePosixPath(own).relative_to("/")
        for folder in (mount / path, *(mount / parent for parent in path.parents)):
            most, used = _read(folder / limit), _read(folder / usage)
            # Without a limit, version 2 says "max", and version 1 says its greatest number.
            if most.isdecimal() and used.isdecimal():
                # The kernel drops the cache of files when memory is short.
                reclaimable = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(most) - int(used) + (int(reclaimable[1]) if reclaimable else 0)


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
