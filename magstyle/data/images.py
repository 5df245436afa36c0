"""Image files to arrays, whatever people have, and back to PNG, JPEG or WebP.

Images are float32 RGB [H, W, 3] in [0, 1].
"""

import contextlib
import glob
import io
import os
import pathlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageCms, ImageOps

from magstyle.data import files
from magstyle.errors import InputError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
_READABLE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
# By extension, how to encode and the longest side that the format can hold.
_WRITABLE = {
    ".png": ({"format": "PNG"}, 2**31 - 1),
    ".jpg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".jpeg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".webp": ({"format": "WEBP", "quality": 95}, 16383),
}
_ORIENTATION = 0x0112  # The EXIF tag: 1 is upright, and 5 to 8 are turned by 90 degrees.


def find(patterns: Sequence[str]) -> list[str]:
    """The image files that names, globs and folders stand for, in order, each once.

    A folder stands for the images directly in it (by extension), sorted by name; so do the matches of a glob.

    Raises:
        InputError: for a name, glob or folder without any image.
    """
    found = []
    for pattern in map(os.path.expanduser, patterns):
        if os.path.isdir(pattern):
            names = sorted(os.path.join(pattern, name) for name in os.listdir(pattern) if not name.startswith("."))
            matches = [name for name in names if pathlib.Path(name).suffix.lower() in _READABLE_SUFFIXES]
        elif os.path.exists(pattern):
            matches = [pattern]
        else:
            matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise InputError(f"no image at {pattern}")
        found += matches
    return list(dict.fromkeys(found))


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image as it is seen, from the file's header alone.

    Raises:
        InputError: as `read_image`, as far as the header tells.
    """
    with _opened(path) as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def scaled_size(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """The height and width that have this shorter side and the shape of `size`; `size` itself for None."""
    if shorter_side is None:
        return size
    height, width = (max(1, round(side * shorter_side / min(size))) for side in size)
    return height, width


def read_image(path: str | os.PathLike, image_size: int | None = None) -> np.ndarray:
    """Reads a JPEG, PNG, WebP, GIF (first frame), TIFF or BMP file.

    The EXIF orientation is applied, an embedded ICC profile converted to sRGB, transparency laid over white, and 16-bit
    values brought to 8 bits.

    Args:
        path: the file.
        image_size: if given, scales the shorter side to this many pixels (Lanczos, antialiased).

    Returns:
        float32 RGB [H, W, 3] in [0, 1].

    Raises:
        InputError: for a file that is missing, damaged, truncated or no such image.
    """
    with _opened(path) as image:
        rgb = _to_srgb(image)
    height, width = scaled_size((rgb.height, rgb.width), image_size)
    if (width, height) != rgb.size:
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(rgb, dtype=np.float32) / np.float32(255)


def check_writable(path: str | os.PathLike, height: int, width: int) -> None:
    """Raises an InputError unless `write_image` can write an image of this size to `path`, going by its extension."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _WRITABLE:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(_WRITABLE)}")
    longest = _WRITABLE[suffix][1]
    if max(height, width) > longest:
        raise InputError(f"cannot write {path}: no side of a {suffix} file can be longer than {longest} pixels")


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes RGB [H, W, 3] in [0, 1] as PNG, JPEG (quality 95, no chroma subsampling) or WebP (95), by the extension.

    Values outside [0, 1] are clipped. The file appears complete or not at all.

    Raises:
        InputError: as `check_writable`, or if the operating system refuses.
    """
    check_writable(path, *image.shape[:2])
    options, _ = _WRITABLE[pathlib.Path(path).suffix.lower()]
    pixels = np.rint(np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8)
    with files.replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, **options)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Gives the image of a file; what goes wrong with it inside the block becomes an InputError."""
    try:
        with warnings.catch_warnings():
            # Of damage that Pillow can live with, and of large files; whether a photo fits is for the stylizer to say.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except Image.UnidentifiedImageError as error:
        raise InputError(f"cannot read {path}: it is no JPEG, PNG, WebP, GIF, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except Exception as error:  # Damaged files raise nearly anything: OSError, SyntaxError, struct.error.
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        raise InputError(f"cannot read {path}: the image is damaged or cut short ({error})") from error


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Damaged EXIF data: show the picture as it is stored, as viewers do.
        return 1
    return orientation if orientation in range(1, 9) else 1


def _to_srgb(image: Image.Image) -> Image.Image:
    """Any Pillow image, upright, in sRGB, over white."""
    profile = image.info.get("icc_profile")
    if _orientation(image) > 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257 + 0.5).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGB")
    if profile:
        image = _from_profile(image, profile)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A damaged profile, or one for other channels than the picture has: as viewers do, go without it.
        return image
