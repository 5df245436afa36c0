"""Frames of every kind become pictures that look as the clip does in a player."""

import av
import numpy as np
import pytest

from magstyle.video import codec
from tests import clips

HEIGHT, WIDTH = clips.HEIGHT, clips.WIDTH
# FFmpeg's numbers.
BT709, BT2020, DISPLAY_P3 = 1, 9, 12
PQ, HLG, BT2020_10 = 16, 18, 14


def image_in(path):
    with codec.Clip(path) as clip:
        return next(clip.frames()).image


def half_transparent(pixels: str) -> av.VideoFrame:
    """A frame that is red on the left, and on the right transparent above a hidden green."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[:, : WIDTH // 2] = 200, 0, 0, 255
    rgba[:, WIDTH // 2 :] = 0, 200, 0, 0
    return av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format=pixels)


@pytest.mark.parametrize(
    ("name", "encoder", "pixels"),
    [
        ("a.mov", "png", "rgba"),
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.apng", "apng", "rgba"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mkv", "ffv1", "gbrap16le"),
        ("a.avi", "rawvideo", "bgra"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.webm", "libvpx", "yuva420p"),
    ],
)
def test_transparency_is_white_and_hides_what_is_below(tmp_path, name, encoder, pixels):
    options = {"auto-alt-ref": "0"} if encoder.startswith("libvpx") else {}
    clips.write_frames(tmp_path / name, [half_transparent(pixels)] * 2, encoder, options=options)
    image = image_in(tmp_path / name)
    assert np.abs(image[:, 4 : WIDTH // 2 - 4] - [200.0, 0, 0]).max() < 12
    assert (image[:, WIDTH // 2 + 4 :] > 245).all()


def test_hidden_colours_do_not_show_at_edges_when_frames_are_scaled(tmp_path):
    clips.write_frames(tmp_path / "a.mov", [half_transparent("rgba")], "png")
    with codec.Clip(tmp_path / "a.mov", image_size=HEIGHT // 3 + 1) as clip:
        red, green, _ = np.moveaxis(next(clip.frames()).image.astype(int), -1, 0)
    assert (green <= red + 2).all()


def test_a_palette_may_be_transparent(tmp_path):
    palette = np.full((256, 4), 255, np.uint8)  # ARGB.
    palette[:2] = [[255, 200, 0, 0], [0, 0, 200, 0]]
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, WIDTH // 2 :] = 1
    for name, encoder in (("a.mov", "png"), ("a.gif", "gif")):
        clips.write_frames(tmp_path / name, [av.VideoFrame.from_ndarray((indices, palette), "pal8")], encoder)
        image = image_in(tmp_path / name)
        assert image[5, 5].tolist() == [200, 0, 0]
        assert image[5, -5].tolist() == [255, 255, 255]


def test_the_padding_of_uncompressed_pixels_is_not_transparency(tmp_path):
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[..., 0] = 200
    clips.write_frames(
        tmp_path / "a.avi", [av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="bgra")], "rawvideo"
    )
    assert image_in(tmp_path / "a.avi")[5, 5].tolist() == [200, 0, 0]


def hdr_clip(path, code: tuple[float, float, float], transfer: int, primaries: int):
    """Writes a clip of one colour, given as codes from 0 to 1."""
    rgb = np.broadcast_to(np.rint(np.multiply(code, 65535)), (HEIGHT, WIDTH, 3)).astype(np.uint16)
    space = BT2020 if primaries == BT2020 else BT709
    frame = av.VideoFrame.from_ndarray(rgb, "rgb48le").reformat(
        format="yuv444p12le", dst_colorspace=space, src_color_range=2, dst_color_range=1
    )
    clips.write_frames(
        path, [frame] * 2, color_trc=transfer, color_primaries=primaries, colorspace=space, color_range=1
    )


def pq(nits):
    """The code of PQ for a luminance (SMPTE ST 2084)."""
    power = (np.asarray(nits) / 10000) ** (2610 / 16384)
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)


def srgb(light):
    light = np.asarray(light)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("nits", [0, 2, 20, 60, 100, 150])
def test_what_is_as_bright_as_in_sdr_has_the_same_value(tmp_path, nits):
    hdr_clip(tmp_path / "a.mkv", (pq(nits),) * 3, PQ, BT2020)
    np.testing.assert_allclose(image_in(tmp_path / "a.mkv"), float(srgb(nits / 203)), atol=2)


def test_highlights_are_compressed_and_keep_their_order_and_their_hue(tmp_path):
    values = []
    for nits in (150, 203, 400, 800):
        hdr_clip(tmp_path / f"{nits}.mkv", (pq(nits),) * 3, PQ, BT2020)
        values.append(int(image_in(tmp_path / f"{nits}.mkv")[5, 5, 0]))
    assert values == sorted(set(values))
    assert values[0] < 230 < 235 < values[1] < values[-1] <= 255
    hdr_clip(tmp_path / "a.mkv", (pq(800), pq(400), pq(400)), PQ, BT2020)
    red, green, blue = image_in(tmp_path / "a.mkv")[5, 5].tolist()
    assert red > 240 and green < 190 and abs(green - blue) < 25


def test_hlg_has_the_white_of_sdr_at_three_quarters(tmp_path):
    for code, expected in ((0.75, 240), (0.5, 137), (0, 0)):
        hdr_clip(tmp_path / "a.mkv", (code,) * 3, HLG, BT2020)
        np.testing.assert_allclose(image_in(tmp_path / "a.mkv"), expected, atol=3)


@pytest.mark.parametrize(("transfer", "primaries"), [(BT2020_10, BT2020), (BT709, DISPLAY_P3)])
def test_wide_gamuts_become_that_of_photos(tmp_path, transfer, primaries):
    hdr_clip(tmp_path / "grey.mkv", (0.5,) * 3, transfer, primaries)
    np.testing.assert_allclose(image_in(tmp_path / "grey.mkv"), 127.5, atol=2)
    hdr_clip(tmp_path / "red.mkv", (0.6, 0.4, 0.4), transfer, primaries)
    red, green, _ = image_in(tmp_path / "red.mkv")[5, 5]
    assert red > 0.6 * 255 + 4 and green < 0.4 * 255 - 1


@pytest.mark.parametrize(("transfer", "remark"), [(PQ, "in HDR"), (HLG, "in HDR"), (BT2020_10, "wide-gamut")])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_clip_in_hdr_becomes_one_in_sdr_and_says_so(tmp_path, copy, transfer, remark, suffix):
    hdr_clip(tmp_path / "a.mkv", (0.4, 0.5, 0.45), transfer, BT2020)
    path, remarks = copy(tmp_path / "a.mkv", suffix)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (context.color_primaries, context.color_trc, frame.colorspace) == (BT709, BT709, BT709)
    np.testing.assert_allclose(image_in(path).mean((0, 1)), image_in(tmp_path / "a.mkv").mean((0, 1)), atol=3)
    assert len(remarks) == 1 and remark in remarks[0]


def write_interlaced(path, options, rotation=0):
    """Writes a bar that moves by four pixels from field to field."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, {"crf": "5", **options})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for k in range(6):
            image = np.zeros((64, 96, 3), np.uint8)
            for line in (0, 1):
                left = 10 + 8 * k + 4 * line
                image[line::2, left : left + 20] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("rotation", [0, 90])
def test_interlaced_frames_become_whole(tmp_path, rotation):
    write_interlaced(tmp_path / "a.mp4", {"x264-params": "tff=1"}, rotation)
    with codec.Clip(tmp_path / "a.mp4") as clip:
        frames = list(clip.frames())
    assert [float(frame.time) for frame in frames] == pytest.approx(np.arange(6) / 25)
    images = np.array([frame.image for frame in frames], float)
    lines = images.swapaxes(1, 2) if rotation else images
    stored = np.array(clips.read(tmp_path / "a.mp4")[0], float)
    assert combs(lines) < 0.1 * combs(stored)
    assert lines.shape == stored.shape and np.abs(lines.mean() - stored.mean()) < 2


def combs(images):
    return np.abs(images[:, 1:-1] - (images[:, :-2] + images[:, 2:]) / 2).mean()


def test_frames_that_are_whole_are_not_filtered(tmp_path):
    write_interlaced(tmp_path / "a.mp4", {})
    with codec.Clip(tmp_path / "a.mp4") as clip:
        images = [frame.image for frame in clip.frames()]
    assert np.abs(np.subtract(images, clips.read(tmp_path / "a.mp4")[0], dtype=float)).mean() < 2


def test_frames_of_another_size_get_black_bars(tmp_path, copy):
    for name, size in (("a", (64, 48)), ("b", (64, 64))):
        frames = [av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 200, np.uint8), "rgb24")] * 6
        frames = [frame.reformat(format="yuv420p") for frame in frames]
        clips.write_frames(tmp_path / f"{name}.ts", frames, "libx264", options={"bf": "0"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with codec.Clip(joined) as clip:
        last = list(clip.frames())[-1].image
    assert last.shape == (48, 64, 3)
    assert (last[:, :8] == 0).all() and (last[:, 56:] == 0).all()
    np.testing.assert_allclose(last[:, 9:55], 200, atol=3)
    assert "the clip changes its size; all pictures have 64 x 48 pixels, some with black bars" in copy(joined)[1]
