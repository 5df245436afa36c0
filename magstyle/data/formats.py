"""Opens image files that Pillow alone does not: HEIC, very large files, rare greys, JPEG files without their end."""

import io
import os
import pathlib
import sys
from typing import TYPE_CHECKING, TypeGuard

from PIL import ExifTags, Image, ImageFile, features

from magstyle import project
from magstyle.errors import InputError

if TYPE_CHECKING:
    from PIL import TiffImagePlugin

File = str | os.PathLike | io.BytesIO

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
_READABLE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif"}
HEIF_SUFFIXES = {".heic", ".heif", ".hif"}
# The brands that files of ISO's base media format say at their beginning; others are clips.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# How many bytes of a file show its format.
_START = 64
# A file may have this many times the pixels of an image in memory if it is scaled down: it takes 3 bytes a pixel while
# it is decoded, the image 12.
_MORE_PIXELS_IN_FILES = 4
_JPEG_END = b"\xff\xd9"
# Bits of grey and alpha in TIFF files that Pillow has no mode for.
_WIDE_ALPHA = (16, 16)


def is_readable(suffix: str) -> bool:
    """Whether files with this extension, in lower case, can be read here."""
    return suffix in _READABLE_SUFFIXES or (suffix in HEIF_SUFFIXES and project.has("pillow_heif"))


def opened(file: File) -> Image.Image:
    """Opens an image file of any size, not decoded yet.

    Raises:
        InputError: for a file whose format needs a package that is not installed.
        Exception: whatever Pillow raises.
    """
    start = _start(file)
    formats = _formats(start)
    if formats == _FORMATS and start.startswith((b"II*\0", b"MM\0*")):
        _learn_greys()
    image: Image.Image
    try:
        image = Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        image = _opened_however_large(file, formats, start)
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode in ("L", "RGB") and key is not None:
        assert isinstance(image, ImageFile.ImageFile)  # All that are opened are.
        image.info["transparency"] = _in_eight_bits(key, str(image.tile[0][3]))
    return image


def most_pixels() -> int | None:
    """The most pixels that an image may have in memory, twice those above which Pillow warns; None for any number."""
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def check_decoded(image: Image.Image, name: str) -> None:
    """Raises an InputError if decoding an image takes more memory than the largest image in memory does."""
    most = most_pixels()
    if most is not None and image.width * image.height > _MORE_PIXELS_IN_FILES * most:
        raise InputError(
            f"cannot read {name}: {image.width} x {image.height} are {image.width * image.height} pixels; more than "
            f"{_MORE_PIXELS_IN_FILES * most} are too many"
        )


def is_jpeg(image: Image.Image) -> TypeGuard[ImageFile.ImageFile]:
    """Whether an image was opened from a JPEG file; in an MPO file, it is the first of several."""
    return image.format in ("JPEG", "MPO")


def is_tiff(image: Image.Image) -> "TypeGuard[TiffImagePlugin.TiffImageFile]":
    """Whether an image was opened from a TIFF file."""
    return image.format == "TIFF" and hasattr(image, "tag_v2")


def loaded(image: Image.Image) -> Image.Image:
    """Decodes an image; one from a JPEG file that lacks nothing but its end is as good as whole."""
    most = most_pixels()
    if is_tiff(image) and most is not None and image.width * image.height > most:
        # Where Pillow has no memory for it yet, it asks for its size again, here alone.
        size = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
        image.im = Image.core.new(image.mode, size)
    try:
        image.load()
    except OSError:
        whole = _without_end(image) if is_jpeg(image) else None
        if whole is None:
            raise
        return whole
    if is_tiff(image) and image.tag_v2.get(ExifTags.Base.BitsPerSample) == _WIDE_ALPHA:
        return _high_bytes(image)
    return image


def _high_bytes(image: "TiffImagePlugin.TiffImageFile") -> Image.Image:
    """Grey and alpha of 16 bits each, decoded as four bytes, reduced to 8 bits."""
    # Compressed ones come from libtiff, which gives them in this machine's order.
    is_packed = image.tag_v2.get(ExifTags.Base.Compression, 1) != 1
    little = sys.byteorder == "little" if is_packed else image.tag_v2.prefix == b"II"
    return Image.merge("LA", [image.getchannel(k) for k in ((1, 3) if little else (0, 2))])


def _without_end(image: ImageFile.ImageFile) -> Image.Image | None:
    """The image of a JPEG file without its end marker; None if pixels are missing, too."""
    if image.fp is None:
        return None
    image.fp.seek(0)
    encoded = image.fp.read().rstrip(b"\xff")
    whole, other = (_decoded(encoded + tail + _JPEG_END, image.size) for tail in (b"", b"\x55" * 64))
    # Where pixels are missing, the decoder takes whatever follows for them.
    return whole if whole.tobytes() == other.tobytes() else None


def _decoded(jpeg: bytes, size: tuple[int, int]) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg), formats=("JPEG",))
    image.draft(None, size)
    image.load()
    return image


def _in_eight_bits(key: int | tuple[int, ...], layout: str) -> int | tuple[int, ...]:
    """The transparent value of a PNG file in the bits that Pillow decodes to, given the layout of its samples."""
    if isinstance(key, int):
        return key * {"L;2": 85, "L;4": 17}.get(layout, 1)
    return tuple(value >> 8 for value in key) if layout == "RGB;16B" else key


def _start(file: File) -> bytes:
    if isinstance(file, io.BytesIO):
        return bytes(file.getbuffer()[:_START])
    with pathlib.Path(file).open("rb") as stream:
        return stream.read(_START)


def _formats(start: bytes) -> tuple[str, ...]:
    """The formats that a file which begins in this way can have, by Pillow's names, ready to open."""
    if start[4:8] != b"ftyp":
        return _FORMATS
    brands = {start[i : i + 4] for i in range(8, min(len(start), int.from_bytes(start[:4], "big")), 4)}
    if brands & _AVIF_BRANDS:
        if not features.check("avif"):
            raise InputError("AVIF needs Pillow 11.3 or newer; pip install -U pillow brings it")
        return ("AVIF",)
    if brands & _HEIF_BRANDS:
        with project.needing("pillow_heif"):
            import pillow_heif
        if "HEIF" not in Image.OPEN:
            pillow_heif.register_heif_opener()
        return ("HEIF",)
    return _FORMATS


def _opened_however_large(file: File, formats: tuple[str, ...], start: bytes) -> Image.Image:
    """Opens an image as Pillow does, without asking for its size, which `check_decoded` judges once it is known."""
    if isinstance(file, io.BytesIO):
        file.seek(0)
    for name in formats:
        factory, accepts = Image.OPEN[name]
        if accepts is None or accepts(start) is True:
            # Pillow's types demand a stream, but its formats open paths as well, and then close them.
            return factory(file if isinstance(file, io.BytesIO) else os.fspath(file), "")  # type: ignore[arg-type]
    raise Image.UnidentifiedImageError  # It was one of them a moment ago.


def _learn_greys() -> None:
    """Adds to Pillow's table of TIFF files the greys that it can decode, but does not list."""
    from PIL import TiffImagePlugin  # Here, as few photos are TIFF files.

    for order, wide in ((b"II", "I;16"), (b"MM", "I;16B")):
        for black_or_white in (0, 1):
            start = (order, black_or_white, (1,), 1)
            rows: dict[tuple, tuple[str, str]] = {
                (*start, (12,), ()): ("I;16", "I;12"),
                (*start, (16,), ()): (wide, wide),
                (*start, (32,), ()): ("I", "I;32" if order == b"II" else "I;32B"),
                **{(*start, (8, 8), extra): ("LA", "LA") for extra in ((), (2,))},
                # Decoded as plain bytes, of which `_high_bytes` makes grey and alpha.
                **{(*start, _WIDE_ALPHA, extra): ("RGBA", "RGBA") for extra in ((), (2,))},
            }
            for key, modes in rows.items():
                TiffImagePlugin.OPEN_INFO.setdefault(key, modes)
