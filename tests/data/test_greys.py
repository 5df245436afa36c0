"""Greys of every depth, with and without alpha and profiles, in every format that has them."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from magstyle.data import images

WIDTH, HEIGHT = 64, 5
RAMP = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))
# The column that is transparent, if anything is.
CLEAR = 40


def linear_profile():
    """A grey profile, version 2, in which values are proportional to light."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">L", 7) + b"Linear\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3l", 63190, 65536, 54061),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">L", 0),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    table, data, begin = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">2L", begin + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = bytes(8) + b"\2\x20\0\0mntrGRAYXYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3L", 63190, 65536, 54061) + bytes(48)
    body = header[4:] + struct.pack(">L", len(tags)) + table + data
    return struct.pack(">L", 4 + len(body)) + body


LINEAR = linear_profile()


def light_of(values):
    """What sRGB shows for values that are proportional to light."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 1e-9) ** (1 / 2.4) - 0.055)


def packed(values, bits, order=">"):
    """Rows of whole numbers of 1 to 16 bits, [H, W], each row from a whole byte on."""
    if bits == 16:
        return values.astype(f"{order}u2").tobytes()
    digits = (values[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(digits.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def png(values, bits, kind, extra=(), order=None):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = packed(values, bits)
    stride = len(rows) // HEIGHT
    rows = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(HEIGHT))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0))
    body = b"".join(chunk(*pair) for pair in extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff(data, bits, photometric, order, kind=1, profile=b""):
    """A TIFF file of one strip."""
    entries = {
        **{256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric])},
        **{273: (4, [8]), 277: (3, [len(bits)]), 278: (4, [HEIGHT]), 279: (4, [len(data)])},
        **({338: (3, [2])} if len(bits) == 2 else {}),
        339: (3, [kind] * len(bits)),
        **({34675: (7, list(profile))} if profile else {}),
    }
    data += bytes(len(data) % 2)
    lists, directory, end = b"", b"", 8 + len(data)
    for tag, (form, numbers) in entries.items():
        content = struct.pack(f"{order}{len(numbers)}{ {3: 'H', 4: 'L', 7: 'B'}[form] }", *numbers)
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(f"{order}L", end + len(lists))
        lists += content if len(content) > 4 else b""
        directory += struct.pack(f"{order}HHL", tag, form, len(numbers)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", end + len(lists))
    return start + data + lists + struct.pack(f"{order}H", len(entries)) + directory + bytes(4)


def check(file, values, profile, clear):
    """Asserts that a file reads as these values in [0, 1], [H, W]; and that a picture of it would keep its alpha."""
    expected = light_of(values) if profile else values
    if clear is not None:
        expected = np.where(values == values[0, clear], 1, expected)
    found = images.read_image(io.BytesIO(file), name="grey")
    np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, axis=2), atol=1.6 / 255)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("profile", [b"", LINEAR])
@pytest.mark.parametrize("clear", [None, CLEAR])
def test_png(bits, profile, clear):
    values = np.rint(RAMP * (2**bits - 1)).astype(np.int64)
    extra = [(b"iCCP", b"grey\0\0" + zlib.compress(profile))] if profile else []
    if clear is not None:
        extra.append((b"tRNS", struct.pack(">H", values[0, clear])))
    check(png(values, bits, 0, extra), values / (2**bits - 1), profile, clear)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("profile", [b"", LINEAR])
def test_png_with_alpha(bits, profile):
    most = 2**bits - 1
    values = np.rint(RAMP * most).astype(np.int64)
    alpha = np.where(np.arange(WIDTH) == CLEAR, 0, most) + 0 * values
    extra = [(b"iCCP", b"grey\0\0" + zlib.compress(profile))] if profile else []
    interleaved = np.stack([values, alpha], axis=-1).reshape(HEIGHT, -1)
    check(png(interleaved, bits, 4, extra), values / most, profile, CLEAR)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize(("photometric", "order"), [*itertools.product((0, 1), "<>")])
@pytest.mark.parametrize("profile", [b"", LINEAR])
def test_tiff(bits, photometric, order, profile):
    values = np.rint(RAMP * (2**bits - 1)).astype(np.int64)
    stored = values if photometric else 2**bits - 1 - values
    file = tiff(packed(stored, bits, order), [bits], photometric, order, profile=profile)
    check(file, values / (2**bits - 1), profile, None)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "order"), [*itertools.product((0, 1), "<>")])
@pytest.mark.parametrize("profile", [b"", LINEAR])
def test_tiff_with_alpha(bits, photometric, order, profile):
    most = 2**bits - 1
    values = np.rint(RAMP * most).astype(np.int64)
    alpha = np.where(np.arange(WIDTH) == CLEAR, 0, most) + 0 * values
    interleaved = np.stack([values if photometric else most - values, alpha], axis=-1).reshape(HEIGHT, -1)
    file = tiff(packed(interleaved, bits, order), [bits] * 2, photometric, order, profile=profile)
    check(file, values / most, profile, CLEAR)


@pytest.mark.parametrize(("form", "kind", "white"), [("f4", 3, 1), ("u4", 1, 2**32 - 1), ("u4", 1, 65535)])
@pytest.mark.parametrize(("photometric", "order"), [*itertools.product((0, 1), "<>")])
@pytest.mark.parametrize("profile", [b"", LINEAR])
def test_tiff_of_32_bits(form, kind, white, photometric, order, profile):
    stored = (RAMP if photometric else 1 - RAMP) * white
    file = tiff(stored.astype(order + form).tobytes(), [32], photometric, order, kind, profile)
    check(file, RAMP, profile, None)


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize("profile", [b"", LINEAR])
@pytest.mark.parametrize("file_format", ["JPEG", "BMP", "WEBP", "GIF"])
def test_other_formats(file_format, mode, profile):
    if file_format == "JPEG" and mode == "1":
        mode = "L"
    values = np.rint(RAMP) if mode == "1" else np.rint(RAMP * 255) / 255
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(file_format, {})
    options |= {"icc_profile": profile} if profile and file_format in ("JPEG", "WEBP") else {}
    file = io.BytesIO()
    Image.fromarray((values * 255).astype(np.uint8)).convert(mode).save(file, file_format, **options)
    check(file.getvalue(), values, "icc_profile" in options, None)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_for_colours_suits_greys_too(mode):
    file, profile = io.BytesIO(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)).convert(mode)
    pixels.save(file, "PNG", icc_profile=profile)
    check(file.getvalue(), np.rint(RAMP * 255) / 255, b"", None)


def test_sixteen_bits_of_colour_can_have_a_transparent_one():
    values = np.rint(RAMP * 65535).astype(np.int64)
    extra = [(b"tRNS", struct.pack(">3H", *[values[0, CLEAR]] * 3))]
    check(png(np.repeat(values, 3, axis=1), 16, 2, extra), values / 65535, b"", CLEAR)


def bmp_with_alpha(alpha):
    """A BMP file of 32 bits whose header (version 4) says that the fourth byte is alpha."""
    grey = np.rint(RAMP * 255).astype(np.uint8)
    data = np.dstack([grey, grey, grey, np.broadcast_to(np.uint8(alpha), grey.shape)])[::-1].tobytes()
    masks = struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<LllHHLLllLL", 108, WIDTH, HEIGHT, 1, 32, 3, len(data), 2835, 2835, 0, 0) + masks
    header += b"BGRs" + bytes(108 - 60)
    return b"BM" + struct.pack("<LHHL", 14 + 108 + len(data), 0, 0, 14 + 108) + header + data


def test_a_bmp_file_without_any_alpha_is_opaque():
    values = np.rint(RAMP * 255) / 255
    check(bmp_with_alpha(0), values, b"", None)
    check(bmp_with_alpha(255), values, b"", None)
    check(bmp_with_alpha(np.where(np.arange(WIDTH) == CLEAR, 0, 255)), values, b"", CLEAR)
