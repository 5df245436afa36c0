"""Photos as phones take them: HEIC and AVIF, hundreds of megapixels, EXIF data, a missing end."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, features

import magstyle
from magstyle.data import exif_data, images
from magstyle.errors import InputError
from tests.samples import picture

Base, IFD = ExifTags.Base, ExifTags.IFD
NEEDS_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not know AVIF")


def taken_by_a_phone(orientation=6):
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model], exif[Base.DateTime] = "Maker", "Phone 7", "2026:11:28 09:00:00"
    exif[Base.Orientation] = orientation
    exif[Base.Copyright] = "Anna"
    details = {Base.DateTimeOriginal: "2026:11:28 08:59:59", Base.ExposureTime: (1, 250), Base.ColorSpace: 65535}
    exif[IFD.Exif] = details | {Base.ExifImageWidth: 40, Base.ExifImageHeight: 30, Base.MakerNote: b"\1\2\3\4" * 9}
    exif[IFD.GPSInfo] = {1: "N", 2: (47.0, 22.0, 1.5), 3: "E", 4: (8.0, 32.0, 3.0)}
    return exif


def encoded(photo, file_format, **options):
    file = io.BytesIO()
    # As bytes: Pillow cannot write an Exif that it has not read to a TIFF file.
    options |= {"exif": options["exif"].tobytes()} if isinstance(options.get("exif"), Image.Exif) else {}
    photo.save(file, file_format, **options)
    return file.getvalue()


@pytest.fixture
def stylize(small_model, tmp_path):
    """Paints the bytes of a photo as `stylize_photos` does, and returns the path of the picture."""

    def call(content, name="photo.jpg", **options):
        (tmp_path / name).write_bytes(content)
        (path,) = magstyle.stylize_photos(tmp_path / name, tmp_path / "out", checkpoint=small_model, **options)
        return path

    return call


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=NEEDS_AVIF)])
def test_a_picture_keeps_when_where_and_with_what_its_photo_was_taken(stylize, suffix, file_format):
    photo = encoded(picture(0, (40, 30)), file_format, exif=taken_by_a_phone())
    path = stylize(photo, f"photo.{file_format.lower()}", format=suffix, image_size=24)
    with Image.open(path) as image:
        assert image.size == (24, 32)
        exif = image.getexif()
        kept = {tag: exif.get(tag) for tag in (Base.Make, Base.Model, Base.DateTime, Base.Copyright)}
        assert [*kept.values()] == ["Maker", "Phone 7", "2026:11:28 09:00:00", "Anna"]
        assert Base.Orientation not in exif and Base.StripOffsets not in exif
        details = exif.get_ifd(IFD.Exif)
        assert details[Base.DateTimeOriginal] == "2026:11:28 08:59:59"
        assert details[Base.MakerNote] == b"\1\2\3\4" * 9
        # As the picture is, not as the photo was.
        assert [details[tag] for tag in (Base.ColorSpace, Base.ExifImageWidth, Base.ExifImageHeight)] == [1, 24, 32]
        assert exif.get_ifd(IFD.GPSInfo)[2] == (47.0, 22.0, 1.5)
    assert images.read_image(path).shape == (32, 24, 3)


def test_a_picture_has_no_thumbnail_of_its_photo(stylize):
    thumbnail = encoded(picture(1, (16, 12)), "JPEG")
    directory = struct.pack("<H", 1) + struct.pack("<HHLL", Base.Make, 2, 4, int.from_bytes(b"abc\0", "little"))
    second = struct.pack("<H", 2) + struct.pack("<HHLL", 0x0201, 4, 1, 56) + struct.pack("<HHLL", 0x0202, 4, 1, 99)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + directory + struct.pack("<L", 26) + second + bytes(4) + thumbnail
    photo = encoded(picture(0, (24, 20)), "JPEG", exif=exif)
    assert photo.count(thumbnail[:20]) == 2
    content = stylize(photo, format="jpg").read_bytes()
    assert b"abc\0" in content
    assert content.count(thumbnail[:4]) == 1


@pytest.mark.parametrize(
    "damage", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x0f\0\2"]
)
def test_damaged_exif_data_do_not_keep_a_photo_from_being_painted(stylize, damage):
    with Image.open(stylize(encoded(picture(0, (24, 20)), "JPEG", exif=damage))) as image:
        assert image.size == (24, 20)
        assert not image.getexif()


def test_long_notes_of_a_maker_are_left_out():
    exif = taken_by_a_phone(1)
    exif[IFD.Exif] = {**exif[IFD.Exif], Base.MakerNote: bytes(70_000)}
    with Image.open(io.BytesIO(encoded(picture(0, (24, 20)), "PNG", exif=exif))) as photo:
        kept = exif_data.kept(photo, (20, 24))
    content = images.encode(np.zeros((20, 24, 3)), ".jpg", images.Companions(kept))
    with Image.open(io.BytesIO(content)) as image:
        assert image.getexif()[Base.Model] == "Phone 7"
        assert Base.MakerNote not in image.getexif().get_ifd(IFD.Exif)


@pytest.mark.parametrize("size", [20_000, 60_000])
def test_long_exif_data_fit_into_every_format(size):
    exif = Image.Exif()
    exif[Base.Make], exif[IFD.Exif] = "Maker", {Base.MakerNote: bytes(size)}
    for suffix in (".jpg", ".png", ".webp"):
        content = images.encode(np.zeros((20, 24, 3)), suffix, images.Companions(exif.tobytes()))
        with Image.open(io.BytesIO(content)) as image:
            assert image.getexif()[Base.Make] == "Maker"


def translucent(file_format):
    """Opaque on the left, half transparent in the middle, transparent on the right."""
    pixels = np.array(picture(0, (24, 20)))
    alpha = np.repeat(np.repeat(np.uint8([[255, 128, 0]]), 8, axis=1), 20, axis=0)
    rgba = np.dstack([pixels, alpha])
    return encoded(Image.fromarray(rgba), file_format, **({"lossless": True} if file_format == "WEBP" else {})), rgba


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_a_picture_keeps_the_alpha_of_its_photo(stylize, small_model, file_format, suffix):
    photo, rgba = translucent(file_format)
    path = stylize(photo, "photo.img", format=suffix)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image.getchannel("A")), rgba[..., 3])
    # Laid over white, it is what was painted, except where the photo cannot be seen.
    over_white = images.read_image(io.BytesIO(photo), name="photo")
    expected = magstyle.Stylizer(small_model).stylize(over_white, 0)
    tolerance = 1.01 / 255 if suffix == "png" else 0.15
    np.testing.assert_allclose(images.read_image(path)[:, :8], expected[:, :8], atol=tolerance)
    middle = np.maximum(expected[:, 9:15], 1 - 128 / 255)
    np.testing.assert_allclose(images.read_image(path)[:, 9:15], middle, atol=2 * tolerance)


def test_no_strength_gives_a_transparent_photo_back(stylize):
    photo, rgba = translucent("PNG")
    with Image.open(stylize(photo, "photo.png", strength=0)) as image:
        found = np.asarray(image).astype(int)
    np.testing.assert_allclose(found[:, :8], rgba[:, :8])
    np.testing.assert_allclose(found[:, 8:16], rgba[:, 8:16], atol=2)


def test_alpha_is_scaled_and_turned_with_its_photo(stylize):
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:20, :30] = 255
    rgba = Image.fromarray(np.dstack([np.array(picture(0, (60, 40))), alpha]))
    path = stylize(encoded(rgba, "PNG", exif=taken_by_a_phone(6)), "photo.png", image_size=20)
    with Image.open(path) as image:
        found = np.asarray(image.getchannel("A"))
    assert found.shape == (30, 20)
    assert found[:14, 11:].min() > 250 and found[16:].max() < 5 and found[:, :9].max() < 5


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "png"), ("opaque", "png"), ("RGBA", "jpg")])
def test_other_pictures_are_opaque(stylize, mode, suffix):
    photo = Image.open(io.BytesIO(translucent("PNG")[0]))
    photo = photo if mode == "RGBA" else photo.convert("RGB").convert("RGBA" if mode == "opaque" else "RGB")
    with Image.open(stylize(encoded(photo, "PNG"), "photo.png", format=suffix)) as image:
        assert image.mode == "RGB"


@NEEDS_AVIF
@pytest.mark.parametrize("orientation", [1, 6])
def test_avif(stylize, orientation):
    photo = picture(0, (40, 30))
    content = encoded(photo, "AVIF", quality=95, exif=taken_by_a_phone(orientation))
    turned = np.asarray(photo) if orientation == 1 else np.rot90(np.asarray(photo), -1)
    found = images.read_image(io.BytesIO(content), name="photo")
    assert found.shape == turned.shape
    assert np.abs(found - turned / np.float32(255)).mean() < 0.02
    assert images.read_size(io.BytesIO(content)) == found.shape[:2]
    assert images.is_image("a.avif")
    assert stylize(content, "photo.avif").exists()


def test_avif_without_a_pillow_that_knows_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(features, "check", lambda feature: False)
    content = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf" + bytes(99)
    with pytest.raises(InputError, match=r"cannot read a\.avif: AVIF needs Pillow 11\.3 or newer"):
        images.read_image(io.BytesIO(content), name="a.avif")


def test_heic(stylize):
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = picture(0, (40, 30))
    file = pillow_heif.from_pillow(photo)
    content = io.BytesIO()
    file.save(content, quality=95, exif=taken_by_a_phone(1).tobytes())
    content = content.getvalue()
    found = images.read_image(io.BytesIO(content), name="photo")
    assert found.shape == (30, 40, 3)
    assert np.abs(found - images.to_float(photo)).mean() < 0.04
    assert images.is_image("a.HEIC") and images.read_size(io.BytesIO(content)) == (30, 40)
    with Image.open(stylize(content, "photo.heic")) as image:
        assert image.getexif()[Base.Model] == "Phone 7"


def test_heic_without_its_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    with pytest.raises(
        InputError, match=r"^cannot read a\.heic: pillow-heif is missing; pip install pillow-heif brings"
    ):
        images.read_image(io.BytesIO(content), name="a.heic")


def test_a_clip_is_no_image():
    with pytest.raises(InputError, match=r"cannot read a\.jpg: it is not a JPEG"):
        images.read_image(io.BytesIO(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(99)), name="a.jpg")


@pytest.mark.parametrize(("file_format", "most"), [("JPEG", 60), ("JPEG", 150), ("PNG", 300), ("TIFF", 300)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_of_too_many_pixels_is_read_scaled_down(stylize, monkeypatch, file_format, most, orientation):
    photo = picture(0, (64, 32))
    options = {"quality": 95} if file_format == "JPEG" else {}
    content = encoded(photo, file_format, exif=taken_by_a_phone(orientation), **options)
    expected = images.read_image(io.BytesIO(content), 8, "photo")
    # Pillow itself refuses more than twice this many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most * 2)
    sentence = rf"(64 x 32|32 x 64) are 2048 pixels, more than {4 * most}; an image_size of up to \d+ will do"
    for read in (images.read_image, images.read_size):
        with pytest.raises(InputError, match=rf"^cannot read photo: {sentence}$") as caught:
            read(io.BytesIO(content), name="photo")
        assert caught.value.arguments == ("image_size",)
    assert images.read_size(io.BytesIO(content), image_size=8) == expected.shape[:2]
    found = images.read_image(io.BytesIO(content), 8, "photo")
    np.testing.assert_allclose(found, expected, atol=0.06)
    path = stylize(content, f"photo.{file_format.lower()}", image_size=8)
    assert images.read_image(path).shape == expected.shape
    with pytest.raises(InputError, match=sentence):
        stylize(content, f"photo.{file_format.lower()}")


def test_the_size_that_will_do_does(monkeypatch):
    content = encoded(picture(0, (64, 33)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(InputError) as caught:
        images.read_image(io.BytesIO(content), name="photo")
    side = int(str(caught.value).split("up to ")[1].split()[0])
    assert images.read_image(io.BytesIO(content), side, "photo").size <= 3 * 1000
    with pytest.raises(InputError, match="too many"):
        images.read_image(io.BytesIO(content), side + 1, "photo")


def test_a_bomb_is_refused_at_any_size(monkeypatch):
    content = encoded(Image.new("RGB", (64, 64)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    monkeypatch.setattr(images, "_to_srgb", lambda *_: pytest.fail("has been decoded"))
    for read in (
        lambda: images.read_size(io.BytesIO(content), "photo", 8),
        lambda: images.read_image(io.BytesIO(content), 8, "photo"),
        lambda: images.training_crop(content, "photo", 16),
    ):
        with pytest.raises(
            InputError, match=r"^cannot read photo: 64 x 64 are 4096 pixels; more than 4000 are too many$"
        ):
            read()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_file_that_lacks_only_its_end_is_read(mode, progressive):
    whole = encoded(picture(0, (61, 47)).convert(mode), "JPEG", quality=90, progressive=progressive)
    expected = images.read_image(io.BytesIO(whole), name="photo")
    for missing in (1, 2):
        np.testing.assert_array_equal(images.read_image(io.BytesIO(whole[:-missing]), name="photo"), expected)
        assert images.training_crop(whole[:-missing], "photo", 16).shape == (16, 16, 3)
    for missing in (3, 4, 5, 9, 40, 400):
        try:
            found = images.read_image(io.BytesIO(whole[:-missing]), name="photo")
        except InputError as error:
            assert "the image is damaged or cut short" in str(error)
        else:  # The last bits are padding.
            np.testing.assert_array_equal(found, expected)
            assert missing < 5
