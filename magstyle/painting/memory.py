"""Whether a photo, or a step of training, fits into memory: what it takes, and what is free, in a container too."""

import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psutil

from magstyle import sizes
from magstyle.errors import InputError
from magstyle.models.architecture import Convolution
from magstyle.painting import strokes

if TYPE_CHECKING:
    import keras

    from magstyle.models.transformer import StyleTransformer

_FLOAT = 4
# Numbers per pixel, in whose place XNNPACK notes addresses that are kept.
_ADDRESSES = 36
# Of a picture that is worth the name, in pixels.
_SMALLEST_OPTIMIZED = 16
Convolutions = Sequence[Convolution]


def check(
    convolutions: Convolutions,
    engine: str,
    height: int,
    width: int,
    keeps: int = 0,
    regions: int = 0,
    stroke_size: float = 1.0,
) -> None:
    """Raises an InputError if a photo of this size does not fit; it names the size that does.

    Args:
        convolutions: of the network that stylises it.
        engine: what computes it, "litert" or "keras".
        height, width: of the photo, in pixels.
        keeps: bytes that the caller is going to hold beside it; less than 0 for what it gives back first.
        regions: of how many styles pixels have weights of their own; 0 if none has.
        stroke_size: how many times smaller it is painted, to be enlarged then.
    """
    painted = strokes.painting_size((height, width), stroke_size)
    free = max(available() - keeps, 0)
    bytes_needed = needed(convolutions, engine, *painted, regions)
    if painted != (height, width):
        bytes_needed += strokes.needed(height, width)
    takes = f"a photo of {width} x {height} pixels takes about {_gib(bytes_needed)}"
    excess = bytes_needed / max(free, 1)
    has = f"{_gib(free)} free"
    if engine == "keras" and _tensorflow_convolves_on_a_cpu():
        # Linux grants no block larger than all of the memory, and a process that asks for one is aborted.
        largest = psutil.virtual_memory().total + psutil.swap_memory().total
        block = largest_block(convolutions, *painted)
        takes += f", in blocks of up to {_gib(block)}"
        has += f" of {_gib(largest)}"
        excess = max(excess, block / largest)
    if excess > 1:
        side = int(min(height, width) / excess**0.5) // sizes.MULTIPLE * sizes.MULTIPLE
        fits = f"image_size={side} fits" if side >= sizes.SMALLEST_SIDE else "no image_size fits"
        raise InputError(f"{takes}; with {has}, {fits}", "image_size")


def check_training(transformer: "StyleTransformer", vgg: "keras.Model", batch_size: int, image_size: int) -> None:
    """Raises an InputError if a step of training does not fit into memory; it names what does.

    This is known of TensorFlow on CPUs alone. (What a GPU cannot hold, it says itself.)

    Args:
        transformer: the network that is trained.
        vgg: its loss network.
        batch_size: photos per step, of this process.
        image_size: side of the photos, in pixels.
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
    if side >= sizes.SMALLEST_SIDE:
        fits.append(f"image_size={side}")
    raise InputError(
        f"a step with batch_size={batch_size} and image_size={image_size} takes about {_gib(needed)}; with "
        f"{_gib(free)} free, {' or '.join(fits) or 'no image_size'} fits",
        "batch_size",
        "image_size",
    )


def needed_to_train(transformer: "StyleTransformer", vgg: "keras.Model", batch_size: int, image_size: int) -> int:
    """How many bytes of memory a step of training takes at its peak, on TensorFlow and a CPU."""
    # As measured: for the way back, a step keeps the network's tensors in several forms. What leads to the gradients of
    # kernels is not kept where these are frozen.
    per_pixel = 130 + 7.3 * sum(_tensors(transformer.convolutions)) + 0.3 * _features(vgg)
    if not transformer.parameters(transformer.scopes[0])["kernel"].trainable:
        per_pixel *= 0.7
    return int(batch_size * image_size**2 * per_pixel * _FLOAT)


def check_optimization(vgg: "keras.Model", height: int, width: int) -> None:
    """Raises an InputError if the pixels of a picture of this size cannot be optimised in memory; it names what fits.

    This is known of TensorFlow on CPUs alone. (What a GPU cannot hold, it says itself.)

    Args:
        vgg: the loss network, up to the features that count.
        height, width: of the picture, in pixels.
    """
    if not _tensorflow_convolves_on_a_cpu():
        return
    free, needed = available(), needed_to_optimize(vgg, height, width)
    if needed <= free:
        return
    side = min(height, width)
    while side >= _SMALLEST_OPTIMIZED:
        if needed_to_optimize(vgg, *(length * side / min(height, width) for length in (height, width))) <= free:
            break
        side = int(side * 0.95)
    fits = f"image_size={side} fits" if side >= _SMALLEST_OPTIMIZED else "no image_size fits"
    raise InputError(
        f"a picture of {width} x {height} pixels takes about {_gib(needed)}; with {_gib(free)} free, {fits}",
        "image_size",
    )


def needed_to_optimize(vgg: "keras.Model", height: float, width: float) -> int:
    """How many bytes of memory the optimisation of a picture takes at its peak, on TensorFlow and a CPU."""
    # As measured from 256 to 1024 pixels: features and their gradients, and what L-BFGS remembers, with 64 bits.
    return int(height * width * (370 + 3.4 * _features(vgg)) * _FLOAT) + 2**28


def needed(convolutions: Convolutions, engine: str, height: int, width: int, regions: int = 0) -> int:
    """How many bytes of this machine's memory stylising a photo of this size takes, by this engine.

    Args:
        convolutions, engine, height, width, regions: as of `check`.
    """
    # As measured, so many float32 copies of the widest tensor are alive at a time: XLA reuses less of its memory than
    # TensorFlow, which takes more with oneDNN, its default where there is AVX-512, than without, when it takes 2. The
    # photo itself and its result come on top. A GPU computes in memory of its own.
    if engine == "litert":
        return min(
            needed_in_one_piece(convolutions, height, width, regions),
            _needed_in_tiles(convolutions, height, width, regions),
        )
    if on_a_gpu():
        copies = 0
    elif _keras_backend() == "tensorflow":
        copies = 3.25
    else:
        copies = 9
    copies *= 2 if regions else 1
    per_pixel = 16 + copies * max(_tensors(convolutions)) + 2 * regions
    return int(sizes.padded(height) * sizes.padded(width) * per_pixel * _FLOAT)


def needed_in_one_piece(
    convolutions: Convolutions, height: int, width: int, regions: int = 0, keep_addresses: bool = True
) -> int:
    """How many bytes LiteRT takes for a photo of this size as a whole.

    Args:
        convolutions, height, width, regions: as of `check`.
        keep_addresses: as of `litert.runtime.Runner`.
    """
    # As measured: the widest tensor twice, but where it is narrow, others lie beside it; and the addresses that XNNPACK
    # notes. Scales and shifts of every pixel are as large as the tensors.
    channels = max(_tensors(convolutions))
    per_pixel = 48 + 3 * channels + 4 * regions if regions else 58 + 1.75 * channels
    if not keep_addresses:
        per_pixel -= _ADDRESSES
    return int(sizes.padded(height) * sizes.padded(width) * per_pixel * _FLOAT)


def _needed_in_tiles(convolutions: Convolutions, height: int, width: int, regions: int) -> int:
    """How many bytes LiteRT takes for a photo of this size in the smallest tiles."""
    from magstyle.litert import tiles

    # The photo comes on top, and what its bytes take when it is read, or those of the picture when it is written.
    return tiles.needed(convolutions, height, width, regions) + sizes.padded(height) * sizes.padded(width) * 5 * _FLOAT


def largest_block(convolutions: Convolutions, height: int, width: int) -> int:
    """The bytes of the largest block that TensorFlow reserves on a CPU, of which it touches little.

    It is the input of the first convolution, with the 9 x 9 x 3 values under the kernel laid out for every pixel.
    """
    values = convolutions[0].kernel_size ** 2 * 3
    return sizes.padded(height) * sizes.padded(width) * values * _FLOAT


def available(process: str = "/proc/self/cgroup", cgroups: str = "/sys/fs/cgroup") -> int:
    """How many bytes this process can still take: what the machine has free, or its container if that is less.

    Args:
        process: the file that says which cgroups the process is in.
        cgroups: where they are mounted.
    """
    free = psutil.virtual_memory().available
    return max(0, min([free, *_free_in_cgroups(pathlib.Path(process), pathlib.Path(cgroups))]))


def _tensors(convolutions: Convolutions) -> list[float]:
    """The numbers per pixel of the image in the tensors of the network, which each of its convolutions makes."""
    numbers, area = [], 1.0
    for row in convolutions:
        area *= (row.upsampling / row.strides) ** 2
        numbers.append(row.filters * area)
    return numbers


def _features(vgg: "keras.Model") -> float:
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
    except AttributeError:  # Keras lists them on TensorFlow and JAX alone.
        return False


def _keras_backend() -> str:
    import keras

    return keras.backend.backend()


def _tensorflow_convolves_on_a_cpu() -> bool:
    return _keras_backend() == "tensorflow" and not on_a_gpu()


def _free_in_cgroups(process: pathlib.Path, cgroups: pathlib.Path) -> Iterator[int]:
    """The limit less the use of every cgroup of memory that the process is in, its own and those around it."""
    for line in _read(process).splitlines():  # None, where there is no Linux.
        # Such as `0::/system.slice/a.service` (version 2) or `4:cpu,memory:/docker/0123` (version 1).
        _, controllers, own = line.split(":", 2)
        if not controllers:
            mount, limit, usage, cache = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, cache = cgroups / "memory", "total_inactive_file"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # In a container, the names of the cgroups around it may not be there, but its own is the root of the mount.
        own = pathlib.PurePosixPath(own).relative_to("/")
        for folder in (mount / own, *(mount / parent for parent in own.parents)):
            most, used = _read(folder / limit), _read(folder / usage)
            # "max" is no number, and version 1's greatest number is as good as none.
            if most.isdecimal() and used.isdecimal():
                # The cache of files gives way when memory is short.
                reclaimable = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(most) - int(used) + (int(reclaimable[1]) if reclaimable else 0)


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
