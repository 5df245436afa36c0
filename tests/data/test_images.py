import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffTags

from magstyle import files
from magstyle.data import images
from magstyle.errors import InputError


def gradient(height=40, width=60):
    """A picture whose corners tell which way is up: red to the right, green downwards."""
    red, green = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([red, green, np.full_like(red, 0.25)], axis=-1).astype(np.float32)


def pillow(array):
    return Image.fromarray(np.rint(array * 255).astype(np.uint8))


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0.002), ("a.JPG", 0.03), ("a.jpeg", 0.03), ("a.webp", 0.04)])
def test_an_image_is_written_by_its_extension_and_read_back(tmp_path, name, tolerance):
    images.write_image(tmp_path / name, gradient())
    with Image.open(tmp_path / name) as image:
        assert image.format == {"png": "PNG", "webp": "WEBP"}.get(name[2:], "JPEG")
    result = images.read_image(tmp_path / name)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, gradient(), atol=tolerance)


def test_values_are_rounded(tmp_path):
    images.write_image(tmp_path / "a.png", np.array([[[-1e-7, 1 + 1e-7, 0.5]]]))
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png") * 255, [[[0, 255, 128]]])


# What a viewer does with tags 1 to 8 (EXIF 2.3, 4.6.4), undone so that reading redoes it.
UNDO = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", UNDO)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "raw.tif", "lzw.tif", "pages.tif"])
def test_the_exif_orientation_is_applied(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pillow(np.ascontiguousarray(UNDO[orientation](gradient())))
    options = {
        ".jpg": {"quality": 95},
        "webp": {"lossless": True},
        "lzw.tif": {"compression": "tiff_lzw"},
        "pages.tif": {"save_all": True, "append_images": [stored]},
    }
    stored.save(tmp_path / name, exif=exif, **options.get(name, options.get(name[-4:], {})))
    assert images.read_size(tmp_path / name) == (40, 60)
    np.testing.assert_allclose(images.read_image(tmp_path / name), gradient(), atol=0.05)
    pillow(gradient()).save(tmp_path / "upright.png")
    for image_size in (16, 38):
        crop, expected = (
            images.training_crop((tmp_path / file).read_bytes(), file, image_size) for file in (name, "upright.png")
        )
        np.testing.assert_allclose(crop, expected, atol=12 if name == "a.jpg" else 1)


@pytest.mark.parametrize("kind", range(20))
@pytest.mark.parametrize("count", [0, 1, 2, 2**20])
def test_a_damaged_orientation_turns_size_and_pixels_alike(tmp_path, kind, count):
    pillow(gradient()).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    content = (tmp_path / "a.tif").read_bytes()
    tag = struct.pack("<HHLL", 0x0112, TiffTags.SHORT, 1, 6)
    assert content.count(tag) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(tag, struct.pack("<HHLL", 0x0112, kind, count, 6)))
    try:
        image = images.read_image(tmp_path / "a.tif")
    except InputError:
        return
    assert images.read_size(tmp_path / "a.tif") == image.shape[:2]


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_the_orientation_of_xmp_data_turns_size_and_pixels_alike(tmp_path, name):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    options = {"tiffinfo": {700: xmp}} if name == "a.tif" else {"xmp": xmp}
    pillow(np.ascontiguousarray(UNDO[6](gradient()))).save(tmp_path / name, **options)
    assert images.read_image(tmp_path / name).shape == (40, 60, 3)
    assert images.read_size(tmp_path / name) == (40, 60)


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4] = (255, 0, 0, 255)
    rgba[4:6] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(rgba).save(tmp_path / "a.webp", lossless=True)
    for name in ("a.png", "a.webp"):
        result = images.read_image(tmp_path / name)
        np.testing.assert_allclose(result[0, 0], [1, 0, 0], atol=0.01)
        np.testing.assert_allclose(result[4, 0], [0.5, 0.5, 0.5], atol=0.01)
        np.testing.assert_allclose(result[7, 0], [1, 1, 1], atol=0.01)


def test_a_palette_with_a_transparent_entry_is_laid_over_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "a.png", transparency=0)
    image.save(tmp_path / "a.gif", transparency=0)
    for name in ("a.png", "a.gif"):
        result = images.read_image(tmp_path / name)
        np.testing.assert_array_equal(result[0, 0], [1, 1, 1])
        np.testing.assert_array_equal(result[1, 1], [1, 0, 0])


def test_sixteen_bit_greyscale_keeps_its_brightness(tmp_path):
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    result = images.read_image(tmp_path / "a.png")
    np.testing.assert_allclose(result, np.repeat(ramp[..., None] / 65535, 3, axis=2), atol=1 / 255)


def test_sixteen_bit_colour_keeps_its_brightness(tmp_path):
    # Pillow writes no such PNG, so here is one by hand: two pixels of three 16-bit channels.
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    pixels = struct.pack(">6H", 65535, 32768, 0, 16384, 49152, 255)
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" + pixels)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    expected = [[[1, 0.5, 0], [0.25, 0.75, 0.004]]]
    np.testing.assert_allclose(images.read_image(tmp_path / "a.png"), expected, atol=0.005)


def write_tiff(path, values, kind, orientation=1, planes=False, order="<"):
    """An uncompressed TIFF file of values [H, W] or [H, W, C]; `kind` is 1 for unsigned, 2 for signed, 3 for floats."""
    height, width, *channels = values.shape
    channels = channels[0] if channels else 1
    bits = values.dtype.itemsize * 8
    pieces = list(np.moveaxis(values, -1, 0)) if planes else [values]
    data = b"".join(piece.astype(values.dtype.newbyteorder(order)).tobytes() for piece in pieces)
    size = len(data) // len(pieces)
    entries = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [1],
        262: [2 if channels == 3 else 1],
        273: [8 + size * i for i in range(len(pieces))],
        274: [orientation],
        277: [channels],
        278: [height],
        279: [size] * len(pieces),
        284: [2 if planes else 1],
        339: [kind] * channels,
    }
    lists, directory = b"", b""
    end = 8 + len(data)
    for tag, numbers in entries.items():
        packed = struct.pack(f"{order}{len(numbers)}L", *numbers)
        place = packed if len(numbers) == 1 else struct.pack(f"{order}L", end + len(lists))
        lists += b"" if len(numbers) == 1 else packed
        directory += struct.pack(f"{order}HHL", tag, 4, len(numbers)) + place
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", end + len(lists))
    path.write_bytes(header + data + lists + struct.pack(f"{order}H", len(entries)) + directory + bytes(4))


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_sixteen_bit_colour_of_a_tiff_keeps_its_brightness(tmp_path, planes, order):
    colours = gradient()
    write_tiff(tmp_path / "a.tif", np.rint(colours * 65535).astype(np.uint16), 1, planes=planes, order=order)
    np.testing.assert_allclose(images.read_image(tmp_path / "a.tif"), colours, atol=1 / 255)


@pytest.mark.parametrize(
    ("dtype", "kind", "white"),
    [
        (np.float32, 3, 1),
        (np.float32, 3, 255),
        (np.float32, 3, 65535),
        (np.int32, 2, 255),
        (np.int32, 2, 65535),
        (np.int32, 2, 2**31 - 1),
        (np.uint32, 1, 255),
        (np.uint32, 1, 2**32 - 1),
        (np.int16, 2, 255),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_other_numbers_of_a_tiff_keep_their_brightness(tmp_path, dtype, kind, white, orientation):
    grey = gradient()[..., 0].astype(np.float64)
    values = np.ascontiguousarray(UNDO[orientation]((grey * white)[..., None])[..., 0].astype(dtype))
    write_tiff(tmp_path / "a.tif", values, kind, orientation)
    np.testing.assert_allclose(images.read_image(tmp_path / "a.tif"), np.repeat(grey[..., None], 3, 2), atol=1.01 / 255)


def test_what_is_no_number_in_a_tiff_is_black_and_what_overshoots_is_white(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, 1.02, -0.1, 0.5]], np.float32)
    write_tiff(tmp_path / "a.tif", values, 3)
    found = np.rint(images.read_image(tmp_path / "a.tif")[0, :, 0] * 255)
    np.testing.assert_array_equal(found, [0, 255, 0, 255, 0, 128])


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "P", "LA"])
def test_other_modes_come_out_as_rgb(tmp_path, mode):
    grey = pillow(np.repeat(gradient()[..., :1], 3, axis=2)).convert(mode)
    name = "a.jpg" if mode == "CMYK" else "a.png"
    grey.save(tmp_path / name)
    result = images.read_image(tmp_path / name)
    assert result.shape == (40, 60, 3)
    assert abs(result[:, -1].mean() - 1) < 0.03
    assert abs(result[:, 0].mean()) < 0.03


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
        result = images.read_image(tmp_path / name)
        np.testing.assert_allclose(result, np.broadcast_to([1.0, 0.0, 0.0], (4, 6, 3)), atol=0.05)


def swapped_profile():
    """sRGB's profile with the colorants of red and green exchanged: in it, red means green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_an_embedded_profile_is_converted_to_srgb(tmp_path):
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    for name in ("a.png", "a.jpg", "a.webp"):
        red.save(tmp_path / name, icc_profile=swapped_profile(), quality=100)
        np.testing.assert_allclose(images.read_image(tmp_path / name)[0, 0], [0, 1, 0], atol=0.02)


def test_a_profile_applies_under_transparency_too(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 255)).save(tmp_path / "a.png", icc_profile=swapped_profile())
    np.testing.assert_allclose(images.read_image(tmp_path / "a.png")[0, 0], [0, 1, 0], atol=0.02)


@pytest.mark.parametrize("profile", [b"no profile", b"", swapped_profile()[:200]])
def test_a_damaged_profile_does_not_hide_the_picture(tmp_path, profile):
    pillow(gradient()).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_allclose(images.read_image(tmp_path / "a.png"), gradient(), atol=0.002)


@pytest.mark.parametrize(
    ("size", "image_size", "expected"),
    [((40, 60), None, (40, 60)), ((40, 60), 20, (20, 30)), ((60, 40), 80, (120, 80)), ((1, 300), 2, (2, 600))],
)
def test_image_size_is_the_shorter_side(tmp_path, size, image_size, expected):
    images.write_image(tmp_path / "a.png", gradient(*size))
    assert images.read_image(tmp_path / "a.png", image_size).shape == (*expected, 3)
    assert images.scaled_size(images.read_size(tmp_path / "a.png"), image_size) == expected


def test_shrinking_does_not_alias(tmp_path):
    checks = np.indices((64, 64)).sum(0)[..., None] % 2 * np.ones(3)
    images.write_image(tmp_path / "a.png", checks)
    np.testing.assert_allclose(images.read_image(tmp_path / "a.png", 16), 0.5, atol=0.02)


@pytest.mark.parametrize("content", [b"", b"Dear diary,\n" * 20, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_what_is_no_image_is_one_sentence(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    for read in (images.read_image, images.read_size):
        with pytest.raises(InputError, match=r"cannot read .*a\.jpg"):
            read(tmp_path / "a.jpg")


def test_a_missing_file_a_folder_and_a_bomb_are_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="No such file"):
        images.read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="directory"):
        images.read_image(tmp_path)
    pillow(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="2400 pixels"):
        images.read_size(tmp_path / "a.png")


def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    for read in (images.read_image, images.read_size, files.read_bytes):
        with pytest.raises(InputError, match=r"cannot read .*photo\.jpg: it is not a regular file"):
            read(str(tmp_path / "photo.jpg"))


def test_what_is_read_ahead_is_what_is_read(tmp_path):
    images.write_image(tmp_path / "a.png", gradient())
    (tmp_path / "damaged.png").write_bytes((tmp_path / "a.png").read_bytes()[:-200])
    reader = images.ReadAhead(20)
    for name in ("a.png", "a.png", "damaged.png", "none.png"):
        reader.begin(tmp_path / name)
    # The second time it is read anew.
    for _ in range(2):
        np.testing.assert_array_equal(reader.read(tmp_path / "a.png"), images.read_image(tmp_path / "a.png", 20))
        for name in ("damaged.png", "none.png"):
            with pytest.raises(InputError, match=f"cannot read .*{name}"):
                reader.read(tmp_path / name)


def test_a_large_image_is_not_read_ahead(tmp_path, monkeypatch):
    images.write_image(tmp_path / "a.png", gradient())
    assert images.memory_ahead(40, 60) == images.read_image(tmp_path / "a.png").nbytes
    monkeypatch.setattr(images, "_LARGEST_AHEAD", 40 * 60 - 1)
    assert images.memory_ahead(40, 60) == 0
    read_image = images.read_image
    monkeypatch.setattr(images, "read_image", lambda *_: pytest.fail("is read ahead"))
    images.ReadAhead().begin(tmp_path / "a.png")
    monkeypatch.setattr(images, "read_image", read_image)
    assert images.ReadAhead().read(tmp_path / "a.png").shape == (40, 60, 3)


@pytest.mark.parametrize(("size", "image_size"), [((1, 60000), 60), ((40, 60), 60000), ((60000, 1), 100)])
def test_a_result_of_too_many_pixels_is_refused_before_any_work(tmp_path, monkeypatch, size, image_size):
    images.write_image(tmp_path / "a.png", np.zeros((*size, 3)))
    monkeypatch.setattr(images, "_to_srgb", lambda *_: pytest.fail("has been decoded"))
    for resize in (
        lambda: images.read_image(tmp_path / "a.png", image_size),
        lambda: images.scaled_size(images.read_size(tmp_path / "a.png"), image_size),
    ):
        with pytest.raises(InputError, match=f"image_size={image_size} scales .* too many") as error:
            resize()
        assert error.value.arguments == ("image_size",)


@pytest.mark.parametrize("read", [images.read_image, images.read_size])
def test_running_out_of_memory_is_not_the_fault_of_the_file(tmp_path, monkeypatch, read):
    def open_without_memory(*_, **__):
        raise MemoryError

    images.write_image(tmp_path / "a.png", gradient())
    monkeypatch.setattr(Image, "open", open_without_memory)
    with pytest.raises(InputError, match=r"a\.png: there is no memory for it"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("height", [1, 9])
def test_the_longest_jpeg_file_is_written(tmp_path, height):
    noise = np.random.default_rng(0).random((height, 65500, 3), np.float32)
    images.write_image(tmp_path / "a.jpg", noise)
    assert images.read_size(tmp_path / "a.jpg") == (height, 65500)
    assert images.encode(np.ones((height, 65500, 3)), ".jpg")


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"a\.txt: its name must end in one of \.png"):
        images.write_image(tmp_path / "a.txt", gradient())
    with pytest.raises(InputError, match="longer than 16383 pixels"):
        images.write_image(tmp_path / "a.webp", np.zeros((1, 16384, 3)))
    with pytest.raises(InputError, match="longer than 65500 pixels"):
        images.write_image(tmp_path / "a.jpg", np.zeros((65501, 1, 3)))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*folder\.png"):
        images.write_image(tmp_path / "folder.png", gradient())
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def fail(*_):
    raise ZeroDivisionError("a bug of ours")


@pytest.mark.parametrize("ours", ["_random_box", "_scaled_box", "to_float", "scaled_size", "_to_eight_bits", "_to_rgb"])
def test_a_bug_of_ours_is_not_taken_for_a_damaged_image(tmp_path, monkeypatch, ours):
    pixels = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(images, ours, fail)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        images.read_image(tmp_path / "a.png", 20)
        images.training_crop((tmp_path / "a.png").read_bytes(), "a.png", 16, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.gif"])
def test_damage_that_shows_only_when_the_image_is_decoded_is_one_sentence(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", {".jpg": "JPEG", ".tif": "TIFF"}.get(name[1:], name[2:]))
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    for read in (
        lambda: images.read_image(tmp_path / name),
        lambda: images.training_crop((tmp_path / name).read_bytes(), name, 16),
    ):
        with pytest.raises(InputError, match=rf"cannot read .*{name}"):
            read()


def test_running_out_of_memory_while_an_image_is_converted_is_one_sentence(tmp_path, monkeypatch):
    def run_out(*_):
        raise MemoryError

    images.write_image(tmp_path / "a.png", gradient())
    monkeypatch.setattr(images, "to_float", run_out)
    with pytest.raises(InputError, match=r"a\.png: there is no memory for it"):
        images.read_image(tmp_path / "a.png")


def test_a_users_filters_of_warnings_stay_and_are_obeyed(tmp_path, monkeypatch):
    code = "import warnings, numpy, PIL; before = warnings.filters[:]; import magstyle.data.images; "
    code += "assert warnings.filters == before"
    subprocess.run([sys.executable, "-c", code], check=True)
    pillow(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 60 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        assert images.read_image(tmp_path / "a.png").shape == (40, 60, 3)
    with warnings.catch_warnings(), pytest.raises(Image.DecompressionBombWarning):
        warnings.simplefilter("error")
        images.read_image(tmp_path / "a.png")
