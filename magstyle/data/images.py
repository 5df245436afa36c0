"""Reads image files of all common formats as arrays, and writes arrays as PNG, JPEG or WebP.

Images are float32 RGB [H, W, 3] in [0, 1]; `as_image` makes them of all arrays and Pillow images that users have.
"""

import concurrent.futures
import contextlib
import dataclasses
import io
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageFile, ImageOps

from magstyle import files, limits, options
from magstyle.data import exif_data, formats
from magstyle.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from PIL import TiffImagePlugin

# An image as people have it in Python: floats in [0, 1], bytes, or truth values, [H, W, 3]; or Pillow's.
Pixels = np.ndarray | Image.Image
# For each extension: Pillow's options for the format, and the longest side that it allows.
_WRITABLE: dict[str, tuple[dict[str, Any], int]] = {
    # Run lengths only: in pictures, zlib's search for repetitions takes five times as long and finds nothing.
    ".png": ({"format": "PNG", "compress_type": zlib.Z_RLE}, 2**31 - 1),
    ".jpg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".jpeg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".webp": ({"format": "WEBP", "quality": 95}, 16383),
}
_WITH_ALPHA = {".png", ".webp"}
# Floats may be this far outside [0, 1], by rounding; it is less than half a step of eight bits.
ROUNDING = 1e-3
# Files of 32 bits per value do not say which value is white: it is the first of these that no value exceeds.
_WHITES = (1, 255, 65535, 2**31 - 1, 2**32 - 1)
# A flag of littlecms, for which older versions of Pillow have no name.
_NOOPTIMIZE = 0x0100
# Minimum colour deviation of a random crop, of 255; below 1, training (in batches of 16) diverged after 24,000 steps.
_LEAST_DEVIATION = 2
# Left, top, right and bottom, in pixels.
_Box = tuple[float, float, float, float]
# Only images of up to this many pixels, at 12 bytes each, are read ahead.
_LARGEST_AHEAD = 2**24


def is_image(name: str) -> bool:
    """Whether `read_image` is likely to read a file: it is not hidden and has the extension of an image."""
    return not name.startswith(".") and formats.is_readable(pathlib.Path(name).suffix.lower())


def as_image(image: Pixels | Sequence, grey: bool = False) -> np.ndarray:
    """Any image that people have in Python as float32 RGB [H, W, 3] in [0, 1].

    Args:
        image: floats in [0, 1], uint8 from 0 to 255, or truth values, [H, W, 3]; or an image of Pillow's, which is
            treated as `read_image` treats its file.
        grey: whether [H, W] is an image, too.

    Raises:
        InputError: for anything else, such as integers whose white nobody knows, or values outside [0, 1].
    """
    if isinstance(image, Image.Image):
        return to_float(_from_pillow(image))
    values = _as_array(image)
    if grey and values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.ndim != 3 or values.shape[2] != 3 or 0 in values.shape:
        shapes = "[H, W] or [H, W, 3]" if grey else "[H, W, 3]"
        raise InputError(f"an image must have the shape {shapes}, not {list(values.shape)}")
    return to_float(values) if values.dtype == np.uint8 else _within_bounds(values)


def as_mask(mask: str | os.PathLike | Pixels) -> np.ndarray:
    """How much of each pixel is in a mask, float32 [H, W] in [0, 1]: the mean of its channels, times its alpha.

    Args:
        mask: a file, an array [H, W] or [H, W, 3] as `as_image` takes it, or an image of Pillow's.

    Raises:
        InputError: for anything else, or a file that cannot be read.
    """
    if isinstance(mask, Image.Image):
        return to_float(_from_pillow(mask, background="black")).mean(axis=2)
    if not isinstance(mask, str | os.PathLike):
        return as_image(mask, grey=True).mean(axis=2)
    path = files.expanded(mask)
    with _opened(path, str(path)) as image:
        _plan(image, None, str(path))
        return to_float(_to_srgb(image, str(path), background="black")).mean(axis=2)


def _as_array(image: object) -> np.ndarray:
    try:
        values = np.asarray(image)
    except ValueError as error:  # Rows of several lengths.
        raise InputError(f"an image must be an array or an image of Pillow's ({error})") from error
    is_float = values.dtype.kind not in "iu" and np.can_cast(values.dtype, np.float64, "same_kind")
    if not (is_float or values.dtype == np.uint8):
        raise InputError(
            f"an image must be floats from 0 to 1, uint8 from 0 to 255 or an image of Pillow's, not {values.dtype}"
        )
    return values


def _within_bounds(values: np.ndarray) -> np.ndarray:
    """Floats as float32 in [0, 1]; raises an InputError if they are outside by more than rounding, or NaN."""
    least, most = values.min(), values.max()
    if not (least >= -ROUNDING and most <= 1 + ROUNDING):  # NaN is neither.
        raise InputError(
            f"an image of floats must have values from 0 to 1, not from {float(least):g} to {float(most):g}"
        )
    values = np.asarray(values, np.float32)
    return np.clip(values, 0, 1) if least < 0 or most > 1 else values


def read_size(
    file: str | os.PathLike | io.BytesIO, name: str | None = None, image_size: int | None = None
) -> tuple[int, int]:
    """Reads height and width of an image, as `read_image` returns it, from the file's header.

    Args:
        file: its path, or its bytes.
        name: its name in messages; the path by default.
        image_size: as for `read_image`.

    Raises:
        InputError: as `read_image`, if the header shows it.
    """
    name = str(name or file)
    with _opened(file, name) as image:
        return _plan(image, image_size, name)


def scaled_size(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Scales a height and width to a shorter side, both in pixels; None leaves them as they are.

    Raises:
        InputError: for a side outside `limits.ImageSize`, or more pixels than `read_image` accepts in a file.
    """
    if shorter_side is None:
        return size
    options.check_value("image_size", shorter_side, limits.ImageSize)
    height, width = (max(1, round(side * shorter_side / min(size))) for side in size)
    most = formats.most_pixels()
    if most is not None and height * width > most:
        raise InputError(
            f"image_size={shorter_side} scales {size[1]} x {size[0]} pixels to {width} x {height}; "
            f"more than {most} pixels are too many",
            "image_size",
        )
    return height, width


def read_image(
    file: str | os.PathLike | io.BytesIO, image_size: int | None = None, name: str | None = None
) -> np.ndarray:
    """Reads a JPEG, PNG, WebP, GIF (first frame), TIFF, BMP, AVIF or (with the extra `heif`) HEIC file.

    Applies the EXIF orientation, converts an embedded ICC profile to sRGB, lays transparency over white and reduces
    values to 8 bits. In TIFF files of 32-bit integers or floats, white is the first of 1, 255, 65535, 2^31 - 1 and
    2^32 - 1 that no value exceeds (floats may exceed it by half, as interpolation overshoots).

    Args:
        file: its path, or its bytes.
        image_size: if given, scales the shorter side to this many pixels (Lanczos, antialiased).
        name: its name in messages; the path by default.

    Returns:
        float32 RGB [H, W, 3] in [0, 1].

    Raises:
        InputError: for a file that is missing, damaged, truncated or not such an image; before the image is decoded,
            as `scaled_size`, or for more pixels than that without image_size.
    """
    name = str(name or file)
    with _opened(file, name) as image:
        height, width = _plan(image, image_size, name)
        rgb = _to_srgb(image, name)
        if (width, height) != rgb.size:
            rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        return to_float(rgb)


@dataclasses.dataclass(frozen=True, eq=False)  # Arrays have no truth value.
class Companions:
    """What accompanies the colours of a photo, for the pictures made of it.

    Attributes:
        exif: when, where and with what it was taken, as `exif_data.kept` returns it.
        alpha: its opacity, uint8 [H, W]; None if it is opaque.
    """

    exif: bytes = b""
    alpha: np.ndarray | None = None


def read_companions(path: str | os.PathLike, size: tuple[int, int]) -> Companions:
    """Reads what accompanies the colours of a photo, for pictures of this height and width; raises as `read_image`."""
    height, width = size
    with _opened(path, str(path)) as image:
        exif = exif_data.kept(image, size)
        if not image.has_transparency_data:
            return Companions(exif)
        formats.check_decoded(image, str(path))
        _, alpha = _decoded(image, str(path))
    if alpha is None or alpha.getextrema() == (255, 255):
        return Companions(exif)
    return Companions(exif, np.asarray(alpha.resize((width, height), Image.Resampling.LANCZOS)))


def _plan(image: Image.Image, image_size: int | None, name: str) -> tuple[int, int]:
    """Height and width of an image once it is read; makes Pillow decode only as much as that takes, if it is large.

    Raises:
        InputError: if it has too many pixels.
    """
    width, height = image.size
    drawn = scaled_size((height, width), image_size)
    most = formats.most_pixels()
    is_large = most is not None and width * height > most
    if is_large and image_size is None:
        assert most is not None
        raise InputError(
            f"cannot read {name}: {width} x {height} are {width * height} pixels, more than {most}; an image_size of "
            f"up to {max(1, math.isqrt(most * min(width, height) // max(width, height)))} will do",
            "image_size",
        )
    if is_large and not formats.is_jpeg(image):
        formats.check_decoded(image, name)  # First, as Pillow may have to decode it to know which way up it is.
    width, height = _upright_size(image, name)
    if is_large and formats.is_jpeg(image):
        with _decoding(name):
            image.draft(None, drawn[::-1])
        formats.check_decoded(image, name)
    return scaled_size((height, width), image_size)


class ReadAhead:
    """Reads image files in a thread of its own, while the caller does something else.

    Args:
        image_size: as for `read_image`.
    """

    def __init__(self, image_size: int | None = None):
        self._image_size = image_size
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._images: dict[str | os.PathLike, concurrent.futures.Future[np.ndarray]] = {}

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets images that nobody asked for."""
        self._executor.shutdown(cancel_futures=True)

    def begin(self, path: str | os.PathLike) -> None:
        """Begins to read a file that is needed soon, unless `memory_ahead` says that it is too large."""
        if path not in self._images:
            with contextlib.suppress(InputError):  # `read` will raise it.
                if memory_ahead(*read_size(path, image_size=self._image_size)):
                    self._images[path] = self._executor.submit(read_image, path, self._image_size)

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """Returns or raises what `read_image` does, at once if `begin` was called for the file before."""
        begun = self._images.pop(path, None)
        return begun.result() if begun else read_image(path, self._image_size)


def memory_ahead(height: int, width: int) -> int:
    """The bytes that an image of this size takes once it is read ahead; 0 if it is too large for that."""
    return 12 * height * width if height * width <= _LARGEST_AHEAD else 0


# The type of rng is quoted: NumPy would import its random numbers for it, and stylising does not need them.
def training_crop(encoded: bytes, name: str, image_size: int, rng: "np.random.Generator | None" = None) -> np.ndarray:
    """Cuts a square out of an encoded image as Magenta does: the centre, once the shorter side is image_size + 2.

    Args:
        encoded: the bytes of any file that `read_image` reads.
        name: the image's name in messages.
        image_size: side of the square, in pixels.
        rng: if given, cuts the square at a random place, scales it to image_size and mirrors it half of the time. Its
            side is log-uniform, from half of image_size (which shows a photo as large as its strokes, as in a large
            picture) or the image's shorter side, if that is less, to the whole shorter side. If the square's colours
            deviate by less than two of 255, cuts the centre as without rng.

    Returns:
        uint8 RGB [image_size, image_size, 3], scaled by antialiased bicubic interpolation.

    Raises:
        InputError: as `read_image`, and for an image whose shorter side would be enlarged more than fourfold, or whose
            crop has a single colour.
    """

    def choose(size: tuple[int, int]) -> _Box:
        return _centre_box(size, image_size) if rng is None else _random_box(size, image_size, rng)

    pixels = _crop(encoded, name, image_size, choose)
    if rng is not None and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    # Where hardly anything varies, each of the network's normalisations multiplies gradients by hundreds: they explode.
    if rng is not None and _is_flat(pixels):
        return training_crop(encoded, name, image_size)
    if (pixels == pixels[0, 0]).all():
        raise InputError(f"cannot use {name}: it has only one colour")
    return pixels


def check_crop(path: str | os.PathLike, image_size: int) -> None:
    """Raises the InputError that `training_crop` would, for a file whose header tells that it is no use."""
    name = os.fspath(path)
    with _opened(path, name) as image:
        _check_crop(_upright_size(image, name), name, image_size)


def _check_crop(size: tuple[int, int], name: str, image_size: int) -> None:
    if min(size) * 4 < image_size:
        raise InputError(f"cannot use {name}: {size[0]} x {size[1]} pixels are too few for crops of {image_size}")


def painting_crop(
    encoded: bytes, name: str, image_size: int, shorter_side: int, rng: "np.random.Generator"
) -> np.ndarray:
    """Cuts a square out of an encoded painting at random, as something new to learn from.

    The painting is scaled to a shorter side that is log-uniform from shorter_side to twice as much. The square is
    mirrored half of the time; half of the time its colours are rotated about their mean, stretched and shifted, since a
    few paintings have few palettes. Where it is flat, the whole painting is shown, as it is.

    Args:
        encoded, name, image_size: as for `training_crop`.
        shorter_side: that of paintings in use, in pixels.
        rng: random numbers.

    Returns:
        uint8 RGB [image_size, image_size, 3].

    Raises:
        InputError: as `training_crop`.
    """
    scaled = shorter_side * 2 ** rng.random()

    def choose(size: tuple[int, int]) -> _Box:
        side = min(size) * min(1.0, image_size / scaled)
        left, top = ((length - side) * rng.random() for length in size)
        return left, top, left + side, top + side

    pixels = _crop(encoded, name, image_size, choose)
    if _is_flat(pixels):
        return training_crop(encoded, name, image_size)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return _with_other_colours(pixels, rng) if rng.random() < 0.5 else pixels


def _with_other_colours(pixels: np.ndarray, rng: "np.random.Generator") -> np.ndarray:
    """Rotates, stretches and shifts the colours of an image, uint8 RGB [H, W, 3], at random about their mean."""
    rotation, signs = np.linalg.qr(np.eye(3) + rng.normal(0, 0.5, (3, 3)))
    rotation *= np.sign(np.diag(signs)) * rng.uniform(0.7, 1.3)
    mean = pixels.mean(axis=(0, 1))
    colours = (pixels - mean) @ rotation + mean + rng.normal(0, 20, 3)
    return np.rint(np.clip(colours, 0, 255)).astype(np.uint8)


def _is_flat(pixels: np.ndarray) -> bool:
    """Whether hardly anything varies in an image, uint8 [H, W, 3]."""
    return pixels.std(axis=(0, 1)).max() < _LEAST_DEVIATION


def _crop(encoded: bytes, name: str, image_size: int, choose: Callable[[tuple[int, int]], _Box]) -> np.ndarray:
    """Cuts a square out of an encoded image, at the place that `choose` gives for its width and height.

    Returns:
        uint8 RGB [image_size, image_size, 3].
    """
    with _opened(io.BytesIO(encoded), name) as image:
        size = _upright_size(image, name)
        _check_crop(size, name, image_size)
        box = choose(size)
        # A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size, which is much faster; other formats ignore this.
        reduction = 2 * image_size / (box[2] - box[0])
        with _decoding(name):
            image.draft(None, (round(image.width * reduction), round(image.height * reduction)))
        formats.check_decoded(image, name)
        srgb = _to_srgb(image, name)
        crop = srgb.resize((image_size, image_size), Image.Resampling.BICUBIC, box=_scaled_box(box, size, srgb.size))
    return np.asarray(crop)


def _centre_box(size: tuple[int, int], image_size: int) -> _Box:
    """Left, top, right and bottom of Magenta's crop of an image of this width and height."""

    def span(side: int) -> tuple[float, float]:
        scaled = int(side * (image_size + 2) / min(size))
        step = side / scaled
        # TensorFlow 1 aligned the centres of the first pixels when it resized, not the corners of the images.
        return (scaled - image_size) // 2 * step - (step - 1) / 2, image_size * step

    (left, width), (top, height) = map(span, size)
    return left, top, left + width, top + height


def _random_box(size: tuple[int, int], image_size: int, rng: "np.random.Generator") -> _Box:
    side = np.exp(rng.uniform(np.log(min(image_size / 2, *size)), np.log(min(size))))
    left, top = ((length - side) * rng.random() for length in size)
    return left, top, left + side, top + side


def _scaled_box(box: _Box, size: tuple[int, int], new_size: tuple[int, int]) -> _Box:
    """The box of an image of this width and height after the image is resized, kept inside it."""
    left, top, right, bottom = (
        min(max(0, edge * (new / old)), new) for edge, old, new in zip(box, size * 2, new_size * 2, strict=True)
    )
    return left, top, right, bottom


def check_writable(path: str | os.PathLike, height: int, width: int) -> None:
    """Raises an InputError unless `write_image` can write an image of this size to `path`, by its name."""
    files.check_name(path)
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _WRITABLE:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(_WRITABLE)}")
    longest = _WRITABLE[suffix][1]
    if max(height, width) > longest:
        raise InputError(f"cannot write {path}: no side of a {suffix} file can be longer than {longest} pixels")


def check_output(path: str | os.PathLike, inputs: Iterable[str | os.PathLike], argument: str = "output_image") -> None:
    """Raises an InputError, about an argument, if a picture would be written over one of the images it is made from."""
    for image in inputs:
        if os.path.realpath(os.path.expanduser(image)) == os.path.realpath(path):
            raise InputError(
                f"{path} would overwrite the image that it is made from; choose another {argument}", argument
            )


def write_image(path: str | os.PathLike, image: Pixels) -> None:
    """Writes an image as PNG, JPEG (quality 95, no chroma subsampling) or WebP (95), by the extension.

    The file appears complete or not at all.

    Args:
        path: the file.
        image: RGB [H, W, 3], floats in [0, 1] or uint8; or an image of Pillow's.

    Raises:
        InputError: as `check_writable`, for anything that is not an image, or if the operating system refuses.
    """
    write_picture(path, image, Companions())


def write_picture(path: str | os.PathLike, image: Pixels, companions: Companions) -> None:
    """Writes a picture as `write_image` does, with what accompanies its photo, as far as the format has it."""
    image = as_image(image)
    check_writable(path, *image.shape[:2])
    encoded = encode(image, pathlib.Path(path).suffix.lower(), companions)
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded)


def encode(image: Pixels, suffix: str, companions: Companions | None = None) -> bytes:
    """Encodes an image as `write_picture` does for this extension, such as ".jpg"."""
    companions = companions or Companions()
    image = as_image(image)
    form, _ = _WRITABLE[suffix]
    encoded = io.BytesIO()
    if companions.alpha is None or suffix not in _WITH_ALPHA:
        pixels = Image.fromarray(to_uint8(image))
    else:
        pixels = _with_alpha(image, companions.alpha)
    if companions.exif:
        form = {**form, "exif": companions.exif}
    # Up to 8 rows at the end of a JPEG file are written at once, and must fit into Pillow's buffer; so must its EXIF.
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 8 * 4 * image.shape[1], len(companions.exif) + 2**16)
    pixels.save(encoded, **form)
    return encoded.getvalue()


def _with_alpha(image: np.ndarray, alpha: np.ndarray) -> Image.Image:
    """The RGBA image that shows an image [H, W, 3] when it is laid over white, with this alpha, uint8 [H, W]."""
    opacity = to_float(alpha)[..., None]
    colors = image - (1 - opacity)
    np.divide(colors, opacity, out=colors, where=opacity > 0)
    np.copyto(colors, image, where=opacity == 0)  # Nobody sees them, unless the alpha is taken away.
    return Image.fromarray(np.dstack([to_uint8(colors), alpha]))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Rounds values in [0, 1] to 0 to 255; clips values outside."""
    values = np.clip(image, 0, 1, dtype=np.float32)
    values *= 255  # In place, because a large picture takes a gigabyte.
    return np.rint(values, out=values).astype(np.uint8)


def to_float(pixels: np.ndarray | Image.Image) -> np.ndarray:
    """Scales values of 0 to 255, or those of a Pillow image, to float32 in [0, 1]."""
    return np.divide(np.asarray(pixels), np.float32(255), dtype=np.float32)


@contextlib.contextmanager
def _opened(file: str | os.PathLike | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """Gives the image of a file, not decoded yet; `_decoding` guards calls that decode it.

    Raises:
        InputError: for a file that is missing, damaged or not an image, or a lack of memory in the block.
    """
    if not isinstance(file, io.BytesIO):
        files.check_regular(file)
    with _decoding(name):
        image = formats.opened(file)
    with image:
        try:
            yield image
        except MemoryError as error:
            raise InputError(f"cannot read {name}: there is no memory for it") from error


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns whatever Pillow raises in the block into an InputError; code of our own does not belong there."""
    try:
        yield
    except Warning:
        raise  # The user has chosen to see Pillow's warnings as errors.
    except InputError as error:
        raise InputError(f"cannot read {name}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"cannot read {name}: it is not a JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:  # Pillow never opens a GIF file that is too large.
        raise InputError(f"cannot read {name}: it has too many pixels ({error})") from error
    except Exception as error:  # Damaged files raise nearly anything: OSError, SyntaxError, struct.error.
        if is_out_of_memory(error):
            raise InputError(f"cannot read {name}: there is no memory for it") from error
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot read {name}: {error.strerror}") from error
        raise InputError(f"cannot read {name}: the image is damaged or cut short ({error})") from error


def _upright_size(image: Image.Image, name: str) -> tuple[int, int]:
    """Width and height of an image as it is seen, and as `_to_srgb` returns it."""
    with _decoding(name):
        width, height = image.size
        if formats.is_tiff(image):
            # Pillow swaps image.size if the orientation is a TIFF tag, but not if it comes from XMP data.
            width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
        return (height, width) if _orientation(image) >= 5 else (width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that Pillow applies: 1 is upright, 5 to 8 are turned by 90 degrees."""
    # Damaged EXIF data raise anything the first time; the second time, Pillow gives the part that it could read.
    with contextlib.suppress(Exception):
        image.getexif()
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1  # Show the picture as it is stored, as viewers do.
    return orientation if orientation in range(1, 9) else 1


class _Samples(NamedTuple):
    """What the samples of a greyscale file mean; Pillow gives them as they are.

    Attributes:
        white: the number that is white in samples of up to 16 bits.
        unsigned: whether those of 32 bits are unsigned.
        inverted: whether 0 is white.
        transparent: the sample of transparent pixels, in Pillow's numbers; in colour files, one of each channel.
    """

    white: int = 65535
    unsigned: bool = False
    inverted: bool = False
    transparent: int | tuple[int, ...] | None = None


def _samples(image: Image.Image) -> _Samples:
    """What the samples of an image mean, read from the headers of its file; call it before the image is decoded."""
    key = image.info.get("transparency") if image.mode in ("1", "L", "I", "I;16", "RGB") else None
    if formats.is_tiff(image):
        tags = image.tag_v2
        return _Samples(
            2 ** min(16, tags.get(ExifTags.Base.BitsPerSample, (16,))[0]) - 1,
            image.mode == "I" and 1 in tags.get(ExifTags.Base.SampleFormat, (1,)),
            # In fewer bits, Pillow inverts them.
            tags.get(ExifTags.Base.PhotometricInterpretation) == 0 and image.mode not in ("1", "L"),
        )
    return _Samples(transparent=key)


def _to_srgb(image: Image.Image, name: str, background: str = "white") -> Image.Image:
    """Decodes an image of any mode to RGB: upright, in sRGB, over a background."""
    rgb, alpha = _decoded(image, name)
    return _over(rgb, alpha, background)


def _from_pillow(image: Image.Image, background: str = "white") -> Image.Image:
    """An image that a user has opened or made, as `_to_srgb` returns those of files; it stays as it is."""
    if 0 in image.size:
        raise InputError(f"an image of {image.width} x {image.height} has no pixels")
    with _decoding("an image"):
        samples = _samples(image)
        image.load()
        upright = ImageOps.exif_transpose(image) if _orientation(image) > 1 else image.copy()
    return _over(*_to_rgb(upright, samples, image.info.get("icc_profile"), "an image"), background)


def _over(rgb: Image.Image, alpha: Image.Image | None, background: str) -> Image.Image:
    return rgb if alpha is None else Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)


def _decoded(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Decodes an image of any mode to RGB, upright and in sRGB, and its alpha, if it has one."""
    profile = image.info.get("icc_profile")
    with _decoding(name):
        samples = _samples(image)
        if formats.is_tiff(image):
            _widen_planes(image)
        image = formats.loaded(image)  # Turns a TIFF file upright, and drops its orientation.
        if _orientation(image) > 1:
            ImageOps.exif_transpose(image, in_place=True)
    return _to_rgb(image, samples, profile, name)


def _to_rgb(
    image: Image.Image, samples: _Samples, profile: bytes | None, name: str
) -> tuple[Image.Image, Image.Image | None]:
    """An image of any mode as RGB of 8 bits, in sRGB, and its alpha, if it has one."""
    alpha = None if samples.transparent is None else _opaque_where_not(samples.transparent, image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image, profile = _to_eight_bits(image, samples, profile), None
    elif alpha is None and image.has_transparency_data:
        is_bmp = image.format == "BMP"
        image = _converted(image, "RGBA" if image.mode != "LA" else "LA", name)
        alpha = image.getchannel("A")
        if is_bmp and alpha.getextrema() == (0, 0):
            alpha = None  # Then the fourth channel is padding, as viewers take it.
    image.info.pop("transparency", None)
    if image.mode in ("1", "LA"):
        image = _converted(image, "L", name)
        image = ImageOps.invert(image) if samples.inverted else image
    elif image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = _converted(image, "RGB", name)
    if profile:
        image = _from_profile(image, profile)
    return image if image.mode == "RGB" else _converted(image, "RGB", name), alpha


def _opaque_where_not(transparent: int | tuple[int, ...], image: Image.Image) -> Image.Image:
    """The alpha of an image in which the pixels of one value are transparent."""
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    differs = values != np.asarray(transparent)
    return Image.fromarray(np.where(differs.any(axis=2) if differs.ndim == 3 else differs, np.uint8(255), np.uint8(0)))


def _converted(image: Image.Image, mode: str, name: str) -> Image.Image:
    with _decoding(name):
        return image.convert(mode)


def _widen_planes(image: "TiffImagePlugin.TiffImageFile") -> None:
    """Corrects Pillow, which takes uncompressed planes of 16 bits per value for planes of 8."""
    tags = image.tag_v2
    planes = tags.get(ExifTags.Base.PlanarConfiguration) == 2
    if planes and 16 in tags.get(ExifTags.Base.BitsPerSample, ()) and image.tile[0].codec_name == "raw":
        end = "16L" if tags.prefix == b"II" else "16B"
        for number, tile in enumerate(image.tile):
            assert isinstance(tile.args, tuple)  # Those of the codec "raw" are.
            image.tile[number] = tile._replace(args=(f"{tile.args[0]};{end}", *tile.args[1:]))


def _to_eight_bits(image: Image.Image, samples: _Samples, profile: bytes | None) -> Image.Image:
    """Reduces a greyscale image of more than 8 bits per value to 8, in sRGB."""
    values = np.asarray(image)
    white: float = samples.white
    if not image.mode.startswith("I;16"):
        if samples.unsigned:
            values = values.view(np.uint32)  # Pillow has no unsigned integers of 32 bits.
        most = values.max(where=np.isfinite(values), initial=0) / (1.5 if image.mode == "F" else 1)
        white = next((white for white in _WHITES if white >= most), most)
    light = values / np.float32(white)
    light = np.nan_to_num(1 - light if samples.inverted else light, nan=0, posinf=1)
    if profile:
        # With straight lines between the values of the curve: eight bits would be too few for dark greys.
        light = np.interp(light, np.linspace(0, 1, 256), to_float(_grey_curve(profile)))
    return Image.fromarray(to_uint8(light))


def _grey_curve(profile: bytes) -> np.ndarray:
    """The grey in sRGB of each of 256 greys in a profile, uint8 [256]."""
    # Unless it is told otherwise, the library takes a coarse table, which is far off for dark greys.
    greys = _in_srgb(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profile, exactly=True)
    return np.asarray(greys.convert("L"))[0]


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """An image, L, RGB, CMYK or LAB, in sRGB; as it is if the profile is damaged or for other channels."""
    if image.mode == "RGB" and profile[16:20] == b"GRAY" and _is_grey(image):
        image = image.getchannel("R")
    return image.point(_grey_curve(profile).tolist()) if image.mode == "L" else _in_srgb(image, profile)


def _in_srgb(image: Image.Image, profile: bytes, exactly: bool = False) -> Image.Image:
    from PIL import ImageCms  # Here, as most photos have no profile.

    flags = _NOOPTIMIZE if exactly else 0
    try:
        given, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        if image.mode == "L" and given.profile.xcolor_space == "RGB ":
            image = image.convert("RGB")
        # Not every version of Pillow has a type for flags.
        converted = ImageCms.profileToProfile(image, given, srgb, outputMode="RGB", flags=flags)  # type: ignore[arg-type]
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # As viewers do.
    assert converted is not None  # It is None only for a conversion in place.
    return converted


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))
