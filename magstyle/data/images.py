"""Reads image files of all common formats as arrays, and writes arrays as PNG, JPEG or WebP.

Images are float32 RGB [H, W, 3] in [0, 1].
"""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from magstyle import files, limits, options
from magstyle.errors import InputError, is_out_of_memory

if TYPE_CHECKING:
    from PIL import TiffImagePlugin

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
_READABLE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
# For each extension: Pillow's options for the format, and the longest side that it allows.
_WRITABLE: dict[str, tuple[dict[str, Any], int]] = {
    # Run lengths only: in pictures, zlib's search for repetitions takes five times as long and finds nothing.
    ".png": ({"format": "PNG", "compress_type": zlib.Z_RLE}, 2**31 - 1),
    ".jpg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".jpeg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".webp": ({"format": "WEBP", "quality": 95}, 16383),
}
# Files of 32 bits per value do not say which value is white: it is the first of these that no value exceeds.
_WHITES = (1, 255, 65535, 2**31 - 1, 2**32 - 1)
# Minimum colour deviation of a random crop, of 255; below 1, training (in batches of 16) diverged after 24,000 steps.
_LEAST_DEVIATION = 2
# Left, top, right and bottom, in pixels.
_Box = tuple[float, float, float, float]
# Only images of up to this many pixels, at 12 bytes each, are read ahead.
_LARGEST_AHEAD = 2**24


def is_image(name: str) -> bool:
    """Whether `read_image` is likely to read a file: it is not hidden and has the extension of an image."""
    return not name.startswith(".") and pathlib.Path(name).suffix.lower() in _READABLE_SUFFIXES


def read_size(file: str | os.PathLike | io.BytesIO, name: str | None = None) -> tuple[int, int]:
    """Reads height and width of an image, as `read_image` returns it, from the file's header.

    Args:
        file: its path, or its bytes.
        name: its name in messages; the path by default.

    Raises:
        InputError: as `read_image`, if the header shows it.
    """
    name = str(name or file)
    with _opened(file, name) as image:
        width, height = _upright_size(image, name)
    return height, width


def scaled_size(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Scales a height and width to a shorter side, both in pixels; None leaves them as they are.

    Raises:
        InputError: for a side outside `limits.ImageSize`, or more pixels than `read_image` accepts in a file.
    """
    if shorter_side is None:
        return size
    options.check_value("image_size", shorter_side, limits.ImageSize)
    height, width = (max(1, round(side * shorter_side / min(size))) for side in size)
    # Pillow warns above MAX_IMAGE_PIXELS, and refuses files of more than twice as many.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise InputError(
            f"image_size={shorter_side} scales {size[1]} x {size[0]} pixels to {width} x {height}; "
            f"more than {2 * limit} pixels are too many",
            "image_size",
        )
    return height, width


def read_image(
    file: str | os.PathLike | io.BytesIO, image_size: int | None = None, name: str | None = None
) -> np.ndarray:
    """Reads a JPEG, PNG, WebP, GIF (first frame), TIFF or BMP file.

    Applies the EXIF orientation, converts an embedded ICC profile to sRGB, lays transparency over white and reduces
    16-bit values to 8 bits. In TIFF files of 32-bit integers or floats, white is the first of 1, 255, 65535, 2^31 - 1
    and 2^32 - 1 that no value exceeds (floats may exceed it by half, as interpolation overshoots).

    Args:
        file: its path, or its bytes.
        image_size: if given, scales the shorter side to this many pixels (Lanczos, antialiased).
        name: its name in messages; the path by default.

    Returns:
        float32 RGB [H, W, 3] in [0, 1].

    Raises:
        InputError: for a file that is missing, damaged, truncated or not such an image; and, before the image is
            decoded, as `scaled_size`.
    """
    name = str(name or file)
    with _opened(file, name) as image:
        scaled_size(image.size, image_size)  # Refuses too large an image before decoding, whichever way up it is.
        rgb = _to_srgb(image, name)
        height, width = scaled_size((rgb.height, rgb.width), image_size)
        if (width, height) != rgb.size:
            rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        return to_float(rgb)


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
                if memory_ahead(*scaled_size(read_size(path), self._image_size)):
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
    with _opened(io.BytesIO(encoded), name) as image:
        size = _upright_size(image, name)
        if min(size) * 4 < image_size:
            raise InputError(f"cannot use {name}: {size[0]} x {size[1]} pixels are too few for crops of {image_size}")
        box = _centre_box(size, image_size) if rng is None else _random_box(size, image_size, rng)
        # A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size, which is much faster; other formats ignore this.
        reduction = 2 * image_size / (box[2] - box[0])
        with _decoding(name):
            image.draft(None, (round(image.width * reduction), round(image.height * reduction)))
        srgb = _to_srgb(image, name)
        crop = srgb.resize((image_size, image_size), Image.Resampling.BICUBIC, box=_scaled_box(box, size, srgb.size))
        if rng is not None and rng.random() < 0.5:
            crop = ImageOps.mirror(crop)
    pixels = np.asarray(crop)
    # Where hardly anything varies, each of the network's normalisations multiplies gradients by hundreds: they explode.
    if rng is not None and pixels.std(axis=(0, 1)).max() < _LEAST_DEVIATION:
        return training_crop(encoded, name, image_size)
    if (pixels == pixels[0, 0]).all():
        raise InputError(f"cannot use {name}: it has only one colour")
    return pixels


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
    """Raises an InputError unless `write_image` can write an image of this size to `path`, by its extension."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _WRITABLE:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(_WRITABLE)}")
    longest = _WRITABLE[suffix][1]
    if max(height, width) > longest:
        raise InputError(f"cannot write {path}: no side of a {suffix} file can be longer than {longest} pixels")


def check_output(path: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raises an InputError if a picture would be written over one of the images that it is made from."""
    for image in inputs:
        if os.path.realpath(os.path.expanduser(image)) == os.path.realpath(path):
            raise InputError(
                f"{path} would overwrite the image that it is made from; choose another output_image", "output_image"
            )


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes RGB [H, W, 3] in [0, 1] as PNG, JPEG (quality 95, no chroma subsampling) or WebP (95), by the extension.

    Clips values outside [0, 1]. The file appears complete or not at all.

    Raises:
        InputError: as `check_writable`, or if the operating system refuses.
    """
    check_writable(path, *image.shape[:2])
    encoded = encode(image, pathlib.Path(path).suffix.lower())
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded)


def encode(image: np.ndarray, suffix: str) -> bytes:
    """Encodes an image as `write_image` does for this extension, such as ".jpg"."""
    form, _ = _WRITABLE[suffix]
    encoded = io.BytesIO()
    # Up to 8 rows at the end of a JPEG file are written at once, and must fit into Pillow's buffer.
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 8 * 4 * image.shape[1])
    Image.fromarray(to_uint8(image)).save(encoded, **form)
    return encoded.getvalue()


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
        image = Image.open(file, formats=_FORMATS)
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
    except Image.UnidentifiedImageError as error:
        raise InputError(f"cannot read {name}: it is not a JPEG, PNG, WebP, GIF, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"cannot read {name}: {error}") from error
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
        if _is_tiff(image):
            # Pillow swaps image.size if the orientation is a TIFF tag, but not if it comes from XMP data.
            width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
        return (height, width) if _orientation(image) >= 5 else (width, height)


def _is_tiff(image: Image.Image) -> "TypeGuard[TiffImagePlugin.TiffImageFile]":
    return image.format == "TIFF"


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


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Decodes an image of any mode to RGB: upright, in sRGB, over white."""
    profile = image.info.get("icc_profile")
    with _decoding(name):
        unsigned = False
        if _is_tiff(image):
            unsigned = image.mode == "I" and 1 in image.tag_v2.get(ExifTags.Base.SampleFormat, (1,))
            _widen_planes(image)
        image.load()  # Turns a TIFF file upright, and drops its orientation.
        if _orientation(image) > 1:
            ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _to_eight_bits(image, unsigned)
    return _to_rgb(image, profile, name)


def _to_rgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """An image of 8 bits per value as RGB, in sRGB, over white."""
    if image.has_transparency_data:
        image = _converted(image, "RGBA", name)
    elif image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = _converted(image, "RGB", name)
    if profile:
        image = _from_profile(image, profile)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else _converted(image, "RGB", name)


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


def _to_eight_bits(image: Image.Image, unsigned: bool) -> Image.Image:
    """Reduces a greyscale image of 16 or 32 bits per value, `unsigned` if they are such integers, to 8 bits."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        white: float = 65535
    else:
        if unsigned:
            values = values.view(np.uint32)  # Pillow has no unsigned integers of 32 bits.
        most = values.max(where=np.isfinite(values), initial=0) / (1.5 if image.mode == "F" else 1)
        white = next((white for white in _WHITES if white >= most), most)
    return Image.fromarray(to_uint8(np.nan_to_num(values / np.float32(white), nan=0, posinf=1)))


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms  # Here, as most photos have no profile.

    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # The profile is damaged, or for other channels than the picture has: do without it, as viewers do.
        return image
    assert converted is not None  # It is None only for a conversion in place.
    return converted
