"""Image files to arrays, whatever people have, and back to PNG, JPEG or WebP.

Images are float32 RGB [H, W, 3] in [0, 1].
"""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import warnings
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from magstyle import files, limits
from magstyle.errors import InputError, is_out_of_memory

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
_READABLE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
# By extension, how to encode and the longest side that the format can hold.
_WRITABLE = {
    # Runs alone: for pictures, zlib's search for repetitions takes five times as long and finds nothing.
    ".png": ({"format": "PNG", "compress_type": zlib.Z_RLE}, 2**31 - 1),
    ".jpg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".jpeg": ({"format": "JPEG", "quality": 95, "subsampling": 0}, 65500),
    ".webp": ({"format": "WEBP", "quality": 95}, 16383),
}
# What is white in pictures of 32 bits per value, which do not say it: the first that covers what is in them.
_WHITES = (1, 255, 65535, 2**31 - 1, 2**32 - 1)
# Of the colours of a random crop, of 255: a training that met crops below 1 came to NaN after 24,000 steps of 16.
_LEAST_DEVIATION = 2
# Pixels of images that are read beforehand; they take 12 bytes each.
_LARGEST_AHEAD = 2**24

# Of damage that Pillow can live with, and of large files; whether a photo fits is for the stylizer to say. For good, as
# images are read in several threads, and `catch_warnings` is for one.
warnings.filterwarnings("ignore", module=r"PIL\.")


def is_image(name: str) -> bool:
    """Whether a file looks like an image that `read_image` reads: visible, and with the right extension."""
    return not name.startswith(".") and pathlib.Path(name).suffix.lower() in _READABLE_SUFFIXES


def read_size(file: str | os.PathLike | io.BytesIO, name: str | None = None) -> tuple[int, int]:
    """Height and width of an image as `read_image` returns it, from the file's header alone.

    Args:
        file: its path, or its bytes.
        name: what to call it in a message; the path by default.

    Raises:
        InputError: as `read_image`, as far as the header tells.
    """
    with _opened(file, name) as image:
        width, height = _upright_size(image)
        return height, width


def scaled_size(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """The height and width that have this shorter side and the shape of `size`; `size` itself for None.

    Raises:
        InputError: for a side that no picture has, or a picture of more pixels than `read_image` reads of a file.
    """
    if shorter_side is None:
        return size
    limits.check({"image_size": shorter_side})
    height, width = (max(1, round(side * shorter_side / min(size))) for side in size)
    # Pillow warns from MAX_IMAGE_PIXELS on, and refuses twice as many.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise InputError(
            f"image_size={shorter_side} makes a picture of {width} x {height} pixels of {size[1]} x {size[0]}; "
            f"more than {2 * limit} pixels are too many",
            "image_size",
        )
    return height, width


def read_image(
    file: str | os.PathLike | io.BytesIO, image_size: int | None = None, name: str | None = None
) -> np.ndarray:
    """Reads a JPEG, PNG, WebP, GIF (first frame), TIFF or BMP file.

    The EXIF orientation is applied, an embedded ICC profile converted to sRGB, transparency laid over white, and 16-bit
    values brought to 8 bits. In TIFF files of 32-bit integers or floats, white is the first of 1, 255, 65535, 2^31 - 1
    and 2^32 - 1 that no value exceeds (floats by more than half: they overshoot where they were interpolated).

    Args:
        file: its path, or its bytes.
        image_size: if given, scales the shorter side to this many pixels (Lanczos, antialiased).
        name: what to call it in a message; the path by default.

    Returns:
        float32 RGB [H, W, 3] in [0, 1].

    Raises:
        InputError: for a file that is missing, damaged, truncated or no such image, and as `scaled_size`, before the
            image is decoded.
    """
    with _opened(file, name) as image:
        scaled_size(image.size, image_size)  # Before it is decoded; turned or not, it is as large.
        rgb = _to_srgb(image)
        height, width = scaled_size((rgb.height, rgb.width), image_size)
        if (width, height) != rgb.size:
            rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        return to_float(rgb)


class ReadAhead:
    """Reads image files in a thread of its own, while something else goes on.

    Args:
        image_size: as of `read_image`.
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
        """Begins to read a file that is wanted soon, unless `memory_ahead` says that it is too large."""
        if path not in self._images:
            with contextlib.suppress(InputError):  # `read` raises it.
                if memory_ahead(*scaled_size(read_size(path), self._image_size)):
                    self._images[path] = self._executor.submit(read_image, path, self._image_size)

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """What `read_image` returns or raises, once for every time that it was begun; it need not have been."""
        begun = self._images.pop(path, None)
        return begun.result() if begun else read_image(path, self._image_size)


def memory_ahead(height: int, width: int) -> int:
    """The bytes that an image of this size takes while it waits; 0 for a large one, which is not read beforehand."""
    return 12 * height * width if height * width <= _LARGEST_AHEAD else 0


# Quoted, as NumPy imports its random numbers for that name, which stylising does not need.
def training_crop(encoded: bytes, name: str, image_size: int, rng: "np.random.Generator | None" = None) -> np.ndarray:
    """A square of an encoded image, cut as Magenta cuts it: shorter side scaled to image_size + 2, then the centre.

    Args:
        encoded: the bytes of any file that `read_image` reads.
        name: what to call the image in a message.
        image_size: side of the square, in pixels.
        rng: if given, a square at a random place instead, scaled to image_size; mirrored every other time. Its side is
            random, each doubling as likely as the next, from half of image_size (which shows a photo as large as its
            strokes, as it is in a large picture) or the image's shorter side, if that is less, up to the whole of it.
            Where colours vary by less than two of 255 in that, the centre is cut out as without rng.

    Returns:
        uint8 RGB [image_size, image_size, 3], scaled by antialiased bicubic interpolation.

    Raises:
        InputError: as `read_image`, and for an image whose shorter side would be enlarged more than fourfold, or whose
            crop is of a single colour.
    """
    with _opened(io.BytesIO(encoded), name) as image:
        size = _upright_size(image)
        if min(size) * 4 < image_size:
            raise InputError(f"cannot use {name}: {size[0]} x {size[1]} pixels are too few for crops of {image_size}")
        box = _centre_box(size, image_size) if rng is None else _random_box(size, image_size, rng)
        # A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size, which is much faster; other formats ignore this.
        reduction = 2 * image_size / (box[2] - box[0])
        image.draft(None, tuple(round(side * reduction) for side in image.size))
        image = _to_srgb(image)
        scales = [new / old for new, old in zip(image.size, size, strict=True)] * 2
        box = [min(max(0, edge * scale), side) for edge, scale, side in zip(box, scales, image.size * 2, strict=True)]
        crop = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
        if rng is not None and rng.random() < 0.5:
            crop = ImageOps.mirror(crop)
    pixels = np.asarray(crop)
    # Where next to nothing varies, each of the network's normalisations multiplies gradients by hundreds, to infinity.
    if rng is not None and pixels.std(axis=(0, 1)).max() < _LEAST_DEVIATION:
        return training_crop(encoded, name, image_size)
    if (pixels == pixels[0, 0]).all():
        raise InputError(f"cannot use {name}: there is but one colour in it")
    return pixels


def _centre_box(size: tuple[int, int], image_size: int) -> list[float]:
    """Left, top, right and bottom of Magenta's crop in an image of this width and height."""
    starts = []
    for side in size:
        scaled = int(side * (image_size + 2) / min(size))
        step = side / scaled
        # TensorFlow 1's resizing put the first pixel on the first pixel, not the corner on the corner.
        starts.append(((scaled - image_size) // 2 * step - (step - 1) / 2, image_size * step))
    return [start for start, _ in starts] + [start + length for start, length in starts]


def _random_box(size: tuple[int, int], image_size: int, rng: "np.random.Generator") -> list[float]:
    side = np.exp(rng.uniform(np.log(min(image_size / 2, *size)), np.log(min(size))))
    left, top = ((length - side) * rng.random() for length in size)
    return [left, top, left + side, top + side]


def check_writable(path: str | os.PathLike, height: int, width: int) -> None:
    """Raises an InputError unless `write_image` can write an image of this size to `path`, going by its extension."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _WRITABLE:
        raise InputError(f"cannot write {path}: its name must end in one of {', '.join(_WRITABLE)}")
    longest = _WRITABLE[suffix][1]
    if max(height, width) > longest:
        raise InputError(f"cannot write {path}: no side of a {suffix} file can be longer than {longest} pixels")


def check_output(path: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raises an InputError if a picture would be written over one of the images that it is made of."""
    for image in inputs:
        if os.path.realpath(os.path.expanduser(image)) == os.path.realpath(path):
            raise InputError(
                f"{path} would overwrite the image that it is made of; choose another output_image", "output_image"
            )


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes RGB [H, W, 3] in [0, 1] as PNG, JPEG (quality 95, no chroma subsampling) or WebP (95), by the extension.

    Values outside [0, 1] are clipped. The file appears complete or not at all.

    Raises:
        InputError: as `check_writable`, or if the operating system refuses.
    """
    check_writable(path, *image.shape[:2])
    encoded = encode(image, pathlib.Path(path).suffix.lower())
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded)


def encode(image: np.ndarray, suffix: str) -> bytes:
    """What `write_image` writes into a file with this extension, such as ".jpg"."""
    options, _ = _WRITABLE[suffix]
    encoded = io.BytesIO()
    # The last rows of a JPEG file, up to 8, are written at once, and must fit into Pillow's buffer.
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 8 * 4 * image.shape[1])
    Image.fromarray(to_uint8(image)).save(encoded, **options)
    return encoded.getvalue()


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Values in [0, 1], clipped to it, as the nearest of 0 to 255."""
    values = np.clip(image, 0, 1, dtype=np.float32)
    values *= 255  # In place: a large picture takes a gigabyte.
    return np.rint(values, out=values).astype(np.uint8)


def to_float(pixels: np.ndarray | Image.Image) -> np.ndarray:
    """Values of 0 to 255, or a Pillow image, as float32 in [0, 1]."""
    return np.divide(np.asarray(pixels), np.float32(255), dtype=np.float32)


@contextlib.contextmanager
def _opened(file: str | os.PathLike | io.BytesIO, name: str | None = None) -> Iterator[Image.Image]:
    """Gives the image of a file; what goes wrong with it inside the block becomes an InputError."""
    path = name or file
    if not isinstance(file, io.BytesIO):
        files.check_regular(file)
    try:
        with Image.open(file, formats=_FORMATS) as image:
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError(f"cannot read {path}: it is no JPEG, PNG, WebP, GIF, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except Exception as error:  # Damaged files raise nearly anything: OSError, SyntaxError, struct.error.
        if is_out_of_memory(error):
            raise InputError(f"cannot read {path}: there is no memory for it") from error
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        raise InputError(f"cannot read {path}: the image is damaged or cut short ({error})") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is seen, and as `_to_srgb` returns it."""
    width, height = image.size
    if image.format == "TIFF":
        # Pillow's own is that as it is seen where the tag says so, and not where XMP data does.
        width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation: 1 is upright, and 5 to 8 are turned by 90 degrees. It is what Pillow goes by."""
    with contextlib.suppress(Exception):
        image.getexif()  # Damaged EXIF data raises anything at first, and then is what could be read of them.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1  # Show the picture as it is stored, as viewers do.
    return orientation if orientation in range(1, 9) else 1


def _to_srgb(image: Image.Image) -> Image.Image:
    """Any Pillow image, upright, in sRGB, over white."""
    profile = image.info.get("icc_profile")
    if image.format == "TIFF":
        _widen_planes(image)
    image.load()  # Which turns a TIFF file upright, and forgets its orientation.
    if _orientation(image) > 1:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGB")
    if profile:
        image = _from_profile(image, profile)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _widen_planes(image: Image.Image) -> None:
    """Of a TIFF file: corrects Pillow, which takes uncompressed planes of 16 bits per value for planes of 8."""
    tags = image.tag_v2
    planes = tags.get(ExifTags.Base.PlanarConfiguration) == 2
    if planes and 16 in tags.get(ExifTags.Base.BitsPerSample, ()) and image.tile[0].codec_name == "raw":
        end = "16L" if tags.prefix == b"II" else "16B"
        image.tile = [tile._replace(args=(f"{tile.args[0]};{end}", *tile.args[1:])) for tile in image.tile]


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """A greyscale image of 16 or 32 bits per value."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        white = 65535
    else:
        if image.mode == "I" and image.format == "TIFF":
            # Pillow has no unsigned integers of 32 bits.
            [kind, *_] = image.tag_v2.get(ExifTags.Base.SampleFormat, (1,))
            values = values.view(np.uint32) if kind == 1 else values
        most = values.max(where=np.isfinite(values), initial=0) / (1.5 if image.mode == "F" else 1)
        white = next((white for white in _WHITES if white >= most), most)
    return Image.fromarray(to_uint8(np.nan_to_num(values / np.float32(white), nan=0, posinf=1)))


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms  # Here, as most photos have no profile.

    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A damaged profile, or one for other channels than the picture has: as viewers do, go without it.
        return image
