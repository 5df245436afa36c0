"""FFmpeg's frames to pictures that can be painted.

A picture is upright, with square pixels, opaque, whole rather than two interlaced fields, of the clip's size, and in
RGB that means what it means in photos: sRGB or nearly so.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from magstyle import files
from magstyle.data import images
from magstyle.errors import InputError

if TYPE_CHECKING:
    import av

# FFmpeg's numbers for colour spaces, ranges, transfer functions and primaries.
_RGB, _BT709, _UNSPECIFIED, _BT470BG, _BT2020 = 0, 1, 2, 5, 9
_LIMITED_RANGE, FULL_RANGE = 1, 2
_LINEAR, _PQ, _HLG = 8, 16, 18
# The longest sides of standard definition, whose colours are those of BT.601 unless a clip says otherwise.
_STANDARD_DEFINITION = (576, 1024)
# From linear RGB of wide primaries, by FFmpeg's numbers, to that of BT.709, which is sRGB's: BT.2020, DCI-P3 (whose
# white becomes white) and Display P3.
_TO_BT709 = {
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    11: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
    12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}
# In HDR, the white of SDR has the first luminance, and the brightest highlights have the second, in nits (BT.2408).
_WHITE, _PEAK = 203, 1000
# Light above this, where 1 is the white of SDR, is compressed, so that highlights differ up to that peak.
_KNEE = 0.75
_MOST = 65535


@dataclasses.dataclass(frozen=True)
class Colors:
    """The meaning of a clip's colours, in FFmpeg's numbers.

    Attributes:
        space: the matrix from RGB to YUV.
        range: 1 for limited, 16 to 235, and 2 for full, 0 to 255.
        primaries, transfer: the primaries and the transfer function of RGB.
    """

    space: int = _BT709
    range: int = _LIMITED_RANGE
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED


class Pictures:
    """Makes the pictures of a clip, all of the same size.

    Args:
        path: the clip.
        stream: the stream of the frames.
        first: its first frame, which sets the size and the colours.
        image_size: shorter side of the pictures, in pixels; that of the first frame by default.

    Attributes:
        size: their height and width.
        colors: the colours in which they are to be written.

    Raises:
        InputError: as `images.scaled_size`.
    """

    def __init__(
        self, path: str | os.PathLike, stream: "av.VideoStream", first: "av.VideoFrame", image_size: int | None
    ):
        self._path = path
        self._ratio = stream.sample_aspect_ratio or Fraction(1)
        self._first = self._upright_size(first)
        self.size = images.scaled_size(self._first, image_size)
        self._meaning = _meaning(first, stream, self.size)
        self._is_hdr = self._meaning.transfer in (_PQ, _HLG)
        self._is_wide = not self._is_hdr and self._meaning.primaries in _TO_BT709
        self._to_sdr = self._is_hdr or self._is_wide or self._meaning.transfer == _LINEAR
        self.colors = Colors(primaries=_BT709, transfer=_BT709) if self._to_sdr else self._meaning
        with files.parsing(path, "video"):
            self._is_opaque = not _has_alpha(first) or _is_padding(first, stream)
        self._changes_size = False

    @property
    def remarks(self) -> list[str]:
        """Sentences about differences between the pictures so far and the clip."""
        height, width = self.size
        remarks = {
            "the clip is in HDR; the pictures are in SDR (BT.709)": self._is_hdr,
            "the clip has wide-gamut colours; the pictures have those of BT.709": self._is_wide,
            f"the clip changes its size; all pictures have {width} x {height} pixels, some with black bars": (
                self._changes_size
            ),
        }
        return [remark for remark, holds in remarks.items() if holds]

    def picture(self, frame: "av.VideoFrame") -> np.ndarray:
        """The picture of a frame, uint8 RGB [H, W, 3]."""
        turned, flips = _orientation(frame)
        height, width = self._fitting_size(frame)
        image = self._rgb(frame, *((width, height) if turned else (height, width)))
        if self._to_sdr:
            image = _to_sdr(image, self._meaning)
        if turned:
            image = image.swapaxes(0, 1)
        image = image[:: flips[0], :: flips[1]]
        if image.shape[:2] == self.size:
            return np.ascontiguousarray(image)
        self._changes_size = True
        picture = np.zeros((*self.size, 3), np.uint8)
        top, left = (self.size[0] - height) // 2, (self.size[1] - width) // 2
        picture[top : top + height, left : left + width] = image
        return picture

    def _upright_size(self, frame: "av.VideoFrame") -> tuple[int, int]:
        """Height and width of a frame that stands upright, with square pixels."""
        square = (frame.height, max(1, round(frame.width * self._ratio)))
        return square[::-1] if _orientation(frame)[0] else square

    def _fitting_size(self, frame: "av.VideoFrame") -> tuple[int, int]:
        """Height and width of the largest image of a frame that fits into a picture."""
        size = self._upright_size(frame)
        if size == self._first:
            return self.size
        scale = min(most / side for most, side in zip(self.size, size, strict=True))
        height, width = (max(1, round(side * scale)) for side in size)
        return height, width

    def _rgb(self, frame: "av.VideoFrame", height: int, width: int) -> np.ndarray:
        """A frame scaled to a size, before it is turned, in RGB [H, W, 3]: uint8, or uint16 if it becomes SDR."""
        color_range = FULL_RANGE if frame.format.is_rgb else self._meaning.range
        smaller = height * width < frame.height * frame.width
        with files.parsing(self._path, "video"):
            if _has_alpha(frame) and not self._is_opaque:
                frame, color_range = _over_white(frame, self._meaning.space, color_range, self._to_sdr), FULL_RANGE
            return frame.reformat(
                width,
                height,
                "rgb48le" if self._to_sdr else "rgb24",
                src_colorspace=self._meaning.space,
                src_color_range=color_range,
                dst_color_range=FULL_RANGE,
                interpolation="AREA" if smaller else "BICUBIC",
            ).to_ndarray()


def deinterlaced(path: str | os.PathLike, frames: "Iterator[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
    """The frames of a clip, each made whole if it consists of two fields, which show two moments.

    Raises:
        InputError: if the filter cannot take them.

    Reference:
        Weston, de Jong: BBC R&D white paper, Deinterlacing (the filter is FFmpeg's bwdif).
    """
    graph, kind, damage = None, None, None
    try:
        for frame in frames:
            if graph is None and not frame.interlaced_frame:
                yield frame
                continue
            if kind != (frame.format.name, frame.width, frame.height):
                if graph:
                    yield from _filtered(path, graph, None)
                graph, kind = _deinterlacer(path, frame), (frame.format.name, frame.width, frame.height)
            assert graph
            yield from _filtered(path, graph, frame)
    except InputError as error:  # The filter still holds a frame from before the damage.
        damage = error
    if graph:
        yield from _filtered(path, graph, None)
    if damage:
        raise damage


def _deinterlacer(path: str | os.PathLike, frame: "av.VideoFrame") -> "av.filter.Graph":
    """A filter for interlaced frames of a format and size, through which others pass unchanged."""
    import av

    with files.parsing(path, "video"):
        graph = av.filter.Graph()
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=str(frame.time_base),
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
        graph.link_nodes(source, graph.add("bwdif", mode="send_frame", deint="interlaced"), graph.add("buffersink"))
        graph.configure()
    return graph


def _filtered(
    path: str | os.PathLike, graph: "av.filter.Graph", frame: "av.VideoFrame | None"
) -> "Iterator[av.VideoFrame]":
    """The frames that a filter has ready once it is given another one, or the last ones for None."""
    import av

    with files.parsing(path, "video"):
        graph.push(frame)
    while True:
        with files.parsing(path, "video"):
            try:
                ready = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
        yield ready


def _orientation(frame: "av.VideoFrame") -> tuple[bool, tuple[int, int]]:
    """How to turn a frame upright: whether rows become columns, then the steps along rows and columns."""
    import av

    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, av.buffer.Buffer):
        return False, (1, 1)
    # A pixel [x, y] is shown at [a x + c y, b x + d y].
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    turned = abs(c) > abs(a)
    right, down = (c, b) if turned else (a, d)
    return turned, (-1 if down < 0 else 1, -1 if right < 0 else 1)


def _meaning(frame: "av.VideoFrame", stream: "av.VideoStream", size: tuple[int, int]) -> Colors:
    """The meaning of a clip's colours; players assume the same where the clip does not say it."""
    context = stream.codec_context
    space, color_range = int(frame.colorspace), int(frame.color_range)
    primaries, transfer = int(context.color_primaries), int(context.color_trc)
    if space in (_RGB, _UNSPECIFIED):
        small = all(side <= most for side, most in zip(sorted(size), _STANDARD_DEFINITION, strict=True))
        if space == _UNSPECIFIED and primaries == _BT2020:
            space = _BT2020
        else:
            # RGB has no such space, and can be converted to any.
            space = _BT470BG if small and space == _UNSPECIFIED else _BT709
    if frame.format.is_rgb or color_range != FULL_RANGE:
        color_range = _LIMITED_RANGE
    return Colors(space, color_range, primaries, transfer)


def _has_alpha(frame: "av.VideoFrame") -> bool:
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def _is_padding(frame: "av.VideoFrame", stream: "av.VideoStream") -> bool:
    """Whether the fourth value of each pixel is nothing but padding, as in uncompressed AVI files."""
    if stream.codec_context.name != "rawvideo":
        return False
    return not frame.reformat(format="rgba").to_ndarray()[..., 3].any()


def _over_white(frame: "av.VideoFrame", space: int, color_range: int, deep: bool) -> "av.VideoFrame":
    """A frame with transparency, over white, in RGB with 8 bits per value, or 16 if it is `deep`."""
    import av

    white = 65535 if deep else 255
    rgba = frame.reformat(
        format="rgba64le" if deep else "rgba",
        src_colorspace=space,
        src_color_range=color_range,
        dst_color_range=FULL_RANGE,
    ).to_ndarray()
    alpha = rgba[..., 3:] / np.float32(white)
    rgb = np.rint(rgba[..., :3] * alpha + white * (1 - alpha)).astype(rgba.dtype)
    return av.VideoFrame.from_ndarray(rgb, "rgb48le" if deep else "rgb24")


def _to_sdr(codes: np.ndarray, colors: Colors) -> np.ndarray:
    """RGB of HDR or of wide primaries in sRGB; highlights keep their hue.

    FFmpeg itself has no such conversion before version 8, and clips everything that is brighter than the white of SDR.

    Args:
        codes: uint16 [H, W, 3].
        colors: what they mean.

    Returns:
        uint8 [H, W, 3].

    References:
        ITU-R BT.2100 (PQ and HLG), BT.2407 (the matrices), BT.2408 (the white of SDR in HDR).
        Reinhard et al.: Photographic Tone Reproduction for Digital Images. SIGGRAPH 2002 (the compression).
    """
    light = _light_of_codes(colors.transfer)[codes]
    if colors.transfer == _HLG:  # The display makes bright pixels brighter still.
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= np.float32(_PEAK / _WHITE) * luminance[..., None] ** np.float32(0.2)
    if colors.primaries in _TO_BT709:
        light = np.maximum(light @ np.array(_TO_BT709[colors.primaries], np.float32).T, 0)
    if colors.transfer in (_PQ, _HLG):
        light *= _compression(light.max(axis=-1, keepdims=True))
    steps = np.rint(np.minimum(light, 1) * np.float32(_MOST)).astype(np.uint16)
    return _srgb_of_light()[steps]


def _compression(brightest: np.ndarray) -> np.ndarray:
    """The factors that bring light into [0, 1], given the brightest channel of each pixel, float32 [H, W, 1]."""
    brightest = np.maximum(brightest, np.float32(_KNEE))
    above, peak = ((light - _KNEE) / (1 - _KNEE) for light in (brightest, _PEAK / _WHITE))
    return (_KNEE + (1 - _KNEE) * above * (1 + above / peak**2) / (1 + above)) / brightest


@functools.cache
def _light_of_codes(transfer: int) -> np.ndarray:
    """The light of each code of 16 bits, float32 [65536]: 1 is the white of SDR, and in HLG the brightest one."""
    codes = np.arange(_MOST + 1) / _MOST
    if transfer == _PQ:
        root = codes ** (32 / 2523)
        light = 10000 / _WHITE * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
    elif transfer == _HLG:
        light = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    elif transfer == _LINEAR:
        light = codes
    else:
        light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@functools.cache
def _srgb_of_light() -> np.ndarray:
    """The value of sRGB, uint8 [65536], for light from 0 to 1 in steps of 1/65535."""
    light = np.arange(_MOST + 1) / _MOST
    return images.to_uint8(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
