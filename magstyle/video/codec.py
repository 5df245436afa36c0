"""Video clips: frames in, frames and sound out, by PyAV, which is FFmpeg in Python.

A clip is read and written frame by frame, so memory does not grow with its length. Its pictures are read upright, with
square pixels, and as RGB by the colours that the clip says to have; they are written in the same colour space
and range.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from magstyle import files, limits
from magstyle.data import images
from magstyle.errors import InputError

if TYPE_CHECKING:
    import av


@dataclasses.dataclass(frozen=True)
class _Format:
    """What a file with some extension is made of: FFmpeg's encoder, its pixels and its settings."""

    encoder: str
    pixels: str
    options: dict[str, str]
    # The encoder of sound that it cannot hold as it is; None where it holds none.
    sound_codec: str | None
    # Of which both sides are multiples.
    multiple: int = 1
    # All times are; None where they can be any.
    time_base: Fraction | None = None


_FORMATS = {
    ".mp4": _Format("libx264", "yuv420p", {"crf": "17", "preset": "veryfast"}, "aac", multiple=2),
    ".webm": _Format(
        "libvpx-vp9",
        "yuv420p",
        {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
        "libopus",
    ),
    ".gif": _Format("gif", "pal8", {}, None, time_base=Fraction(1, 100)),
}
# FFmpeg's numbers of what it calls colour spaces and ranges.
_RGB, _BT709, _UNSPECIFIED, _BT470BG = 0, 1, 2, 5
_LIMITED_RANGE, _FULL_RANGE = 1, 2
# The sides of standard definition, whose colours are those of BT.601 where a clip says nothing.
_STANDARD_DEFINITION = (576, 1024)
_MICROSECONDS = 10**6
# Seconds that a file lacks at least.
_CUT_SHORT = 1
# Text, which FFmpeg shows as a terminal would.
_NO_CLIPS = ("tty",)


@dataclasses.dataclass(frozen=True)
class Colors:
    """How a clip's colours are meant, in FFmpeg's numbers.

    Attributes:
        space: the matrix from RGB to YUV.
        range: 1 for limited, 16 to 235, and 2 for full, 0 to 255.
        primaries, transfer: of RGB.
    """

    space: int = _BT709
    range: int = _LIMITED_RANGE
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of a clip.

    Attributes:
        image: uint8 RGB [H, W, 3].
        time: when it is shown, in seconds from the start of what is read.
        duration: how long, in seconds; 0 where that is not known.
    """

    image: np.ndarray
    time: Fraction
    duration: Fraction


class Clip:
    """A clip that is open for reading; a context manager, which closes it.

    Args:
        path: of any container and codec that FFmpeg reads.
        image_size: shorter side of the frames; as it is by default.
        start: seconds from the clip's start at which to begin, with the first frame from there on.
        duration: seconds to read; to the end by default.
        fps: frames per second to read at most, at even distances; frames between them are left out. All by default.

    Attributes:
        path: of the file.
        size: height and width of the frames.
        colors: as they are meant.
        rate: frames per second, on average; None where that is not known.
        time_base: all times are multiples of it, in seconds.
        duration: seconds that are going to be read, as the file says; None where it does not.
        origin: the time at which it starts, as the file counts.
        starts_later: whether something of the file comes before it.
        ended: whether all of the file has been read.

    Raises:
        InputError: for a file that is no clip or has no pictures, numbers that cannot be, or a start after the end.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        image_size: int | None = None,
        start: float | None = None,
        duration: float | None = None,
        fps: float | None = None,
    ):
        limits.check({"image_size": image_size, "start": start, "duration": duration, "fps": fps})
        self.path, self._fps, self._most = path, fps and _fraction(fps), duration and _fraction(duration)
        self.ended, self.starts_later = False, bool(start)
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(_open(path))
            with files.reading(path, "video"):
                self._open(image_size, start)
            self._close = stack.pop_all().close

    def _open(self, image_size: int | None, start: float | None) -> None:
        if not self._container.streams.video:
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        begin = Fraction(self._container.start_time or 0, _MICROSECONDS)
        self.duration = self._said_duration()
        if start:
            begin += _fraction(start)
            # To the last frame before it from which the others can be decoded.
            self._container.seek(int(begin * _MICROSECONDS))
            self.duration = self.duration and max(Fraction(0), self.duration - _fraction(start))
        self.duration = min(filter(None, (self.duration, self._most)), default=None)
        self._decoded = self._decode(begin if start else None)
        self._first = next(self._decoded, None)
        if self._first is None:
            if start:
                raise InputError(f"start={start} is after the end of {self.path}", "start")
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        frame, time, _ = self._first
        self.origin = time if start else begin
        self.rate = self._stream.average_rate or None
        self.time_base = self._stream.time_base
        if self._fps:
            self.rate, self.time_base = min(filter(None, (self.rate, self._fps))), 1 / self._fps
        ratio = self._stream.sample_aspect_ratio or 1
        self._turned, self._flips = _orientation(frame)
        square = (frame.height, max(1, round(frame.width * ratio)))
        self.size = images.scaled_size(square[::-1] if self._turned else square, image_size)
        self.colors = self._read_colors(frame)

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def frames(self) -> Iterator[Frame]:
        """All frames, once.

        Raises:
            InputError: where the clip is damaged.
        """
        kept = self._chosen(self._shown()) if self._fps else self._shown()
        with files.reading(self.path, "video"):
            for frame, time, duration in kept:
                yield Frame(self._image(frame), time, duration)

    def _shown(self) -> Iterator[tuple["av.VideoFrame", Fraction, Fraction]]:
        """Frames with their times from the origin, and durations."""
        following = self._first
        while following is not None:
            frame, time, duration = following
            following = next(self._decoded, None)
            time -= self.origin
            if self._most is not None:
                if time >= self._most:
                    return
                duration = min(duration, self._most - time)
            yield frame, time, duration
        self.ended = True

    def _chosen(
        self, frames: Iterator[tuple["av.VideoFrame", Fraction, Fraction]]
    ) -> Iterator[tuple["av.VideoFrame", Fraction, Fraction]]:
        """Those that are seen at multiples of the time base, at these times."""
        waiting = None
        for frame, time, duration in frames:
            # It is seen from then on; before, and at multiples that went by, the one before it was.
            tick = math.ceil(time / self.time_base)
            if waiting and tick > waiting[1]:
                yield waiting[0], waiting[1] * self.time_base, (tick - waiting[1]) * self.time_base
            waiting = (frame, tick, duration)
        if waiting:
            frame, tick, duration = waiting
            if tick == 0 or tick * self.time_base < time + duration:
                yield frame, tick * self.time_base, self.time_base

    def _decode(self, begin: Fraction | None) -> Iterator[tuple["av.VideoFrame", Fraction, Fraction]]:
        """Frames with their times, which increase, as the file counts, and durations; from `begin` on."""
        last, count, step = None, 0, 1 / (self._stream.average_rate or self._stream.guessed_rate or Fraction(25))
        for frame in self._container.decode(self._stream):
            base = frame.time_base or self._stream.time_base
            if frame.pts is not None:
                time = frame.pts * base
            else:
                time = (self._container.start_time or 0) / Fraction(_MICROSECONDS) if last is None else last + step
            if last is not None and time <= last:
                continue
            last, count = time, count + 1
            if begin is None or time >= begin:
                yield frame, time, frame.duration * base
        # A file that lists its frames may end before them, of which FFmpeg says nothing. It may list others than those
        # that are to be shown, so fewer frames alone mean nothing; nor does a duration, which may be wrong.
        said = self._stream.frames and self._stream.duration
        if said and last is not None and (begin is not None or count < self._stream.frames):
            found = last - (self._stream.start_time or 0) * self._stream.time_base
            missing = said * self._stream.time_base - found
            if missing > _CUT_SHORT:
                raise InputError(f"cannot read {self.path} to its end: it is cut short by {float(missing):.1f} seconds")

    def _said_duration(self) -> Fraction | None:
        if self._stream.duration:
            return self._stream.duration * self._stream.time_base
        return Fraction(self._container.duration, _MICROSECONDS) if self._container.duration else None

    def _read_colors(self, frame: "av.VideoFrame") -> Colors:
        context = self._stream.codec_context
        space, color_range = int(frame.colorspace), int(frame.color_range)
        if space in (_RGB, _UNSPECIFIED):
            small = all(side <= most for side, most in zip(sorted(self.size), _STANDARD_DEFINITION, strict=True))
            # As players do. RGB has none, and can be had in any.
            space = _BT470BG if small and space == _UNSPECIFIED else _BT709
        if frame.format.is_rgb or color_range != _FULL_RANGE:
            color_range = _LIMITED_RANGE
        return Colors(space, color_range, int(context.color_primaries), int(context.color_trc))

    def _image(self, frame: "av.VideoFrame") -> np.ndarray:
        height, width = self.size[::-1] if self._turned else self.size
        smaller = height * width < frame.height * frame.width
        rgb = frame.reformat(
            width,
            height,
            "rgb24",
            src_colorspace=self.colors.space,
            src_color_range=_FULL_RANGE if frame.format.is_rgb else self.colors.range,
            dst_color_range=_FULL_RANGE,
            interpolation="AREA" if smaller else "BICUBIC",
        )
        image = rgb.to_ndarray()
        if self._turned:
            image = image.swapaxes(0, 1)
        return np.ascontiguousarray(image[:: self._flips[0], :: self._flips[1]])


class Writer:
    """A clip that is being written; a context manager, which completes it.

    Args:
        path: of the file, whose extension says what it becomes: .mp4 (H.264), .webm (VP9) or .gif.
        size: height and width of the frames.
        time_base: all their times are multiples of it, in seconds.
        rate: frames per second, on average; None where that is not known.
        colors: as they are to be meant.
        sound_of: the clip whose sound it has; silent by default.

    Raises:
        InputError: as `check_writable`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        size: tuple[int, int],
        time_base: Fraction,
        rate: Fraction | None = None,
        colors: Colors = Colors(),
        sound_of: Clip | None = None,
    ):
        check_writable(path)
        import av

        suffix = pathlib.Path(path).suffix.lower()
        self._format, self._colors = _FORMATS[suffix], colors
        self._time_base = self._format.time_base or time_base
        self._last, self._end = -1, Fraction(0)
        self._missing = [-side % self._format.multiple for side in size]
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(av.open(f"file:{path}", "w"))
            self._stream = self._container.add_stream(self._format.encoder, rate or Fraction(25), self._format.options)
            height, width = size
            self._stream.height, self._stream.width = height + self._missing[0], width + self._missing[1]
            self._stream.pix_fmt = self._format.pixels
            context = self._stream.codec_context
            context.time_base = self._time_base
            # Frames keep the time that they are shown, the last one too.
            context.flags |= av.codec.context.Flags.frame_duration
            if self._format.pixels != "pal8":
                context.colorspace, context.color_range = colors.space, colors.range
                context.color_primaries, context.color_trc = colors.primaries, colors.transfer
            self._sound = stack.enter_context(_Sound(sound_of, self._container, suffix))
            self._close = stack.pop_all().close

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
                self._sound.finish(self._end)
        finally:
            self._close()

    @property
    def remarks(self) -> list[str]:
        """What is not as it was in the clip, in sentences."""
        padding = [
            f"{count} more {name}" for count, name in zip(self._missing, ("row", "column"), strict=True) if count
        ]
        multiple = self._format.multiple
        padded = [f"the pictures get {' and '.join(padding)}: their sides must be multiples of {multiple}"]
        return [*(padded if padding else []), *self._sound.remarks]

    def write(self, image: np.ndarray, time: Fraction, duration: Fraction) -> None:
        """Adds a frame, and the sound before it.

        Args:
            image: uint8 RGB [H, W, 3], of that size.
            time: when it is shown, in seconds, after the frames before.
            duration: how long, in seconds.
        """
        self._sound.write(time)
        frame = self._frame(image)
        # A GIF file counts in hundredths of a second, which two frames may share.
        self._last = frame.pts = max(round(time / self._time_base), self._last + 1)
        frame.time_base, frame.duration = self._time_base, max(1, round(duration / self._time_base))
        self._container.mux(self._stream.encode(frame))
        self._end = time + duration

    def _frame(self, image: np.ndarray) -> "av.VideoFrame":
        import av

        if self._format.pixels == "pal8":
            picture = Image.fromarray(image).quantize(256)
            palette = np.full((256, 4), 255, np.uint8)  # ARGB.
            colors = np.reshape(picture.getpalette("RGB"), (-1, 3))
            palette[: len(colors), 1:] = colors
            return av.VideoFrame.from_ndarray((np.asarray(picture), palette), "pal8")
        if any(self._missing):
            image = np.pad(image, [*((0, count) for count in self._missing), (0, 0)], mode="edge")
        return av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format=self._format.pixels,
            src_color_range=_FULL_RANGE,
            dst_colorspace=self._colors.space,
            dst_color_range=self._colors.range,
        )


class _Sound:
    """The sound of a clip, on its way into another; a context manager, which closes the clip.

    Packets are copied as they are, or coded anew for a container that cannot hold them. Without a clip there are none.

    Attributes:
        remarks: what is not as it was, in sentences.
    """

    def __init__(self, clip: Clip | None, output: "av.container.OutputContainer", suffix: str):
        self.remarks = []
        self._clip, self._output, self._copies, self._encoders = clip, output, {}, {}
        self._container = _open(clip.path) if clip else None
        streams = list(self._container.streams.audio) if clip else []
        codec = _FORMATS[suffix].sound_codec
        if streams and not codec:
            self.remarks.append(f"a {suffix} file has no sound")
            streams = []
        for stream in streams:
            name = stream.codec_context.name
            if name in output.supported_codecs:
                self._copies[stream.index] = output.add_stream_from_template(stream)
            else:
                self.remarks.append(f"a {suffix} file cannot hold the sound as it is, {name}; it becomes {codec}")
                # Opus knows no other rate.
                rate = 48000 if codec == "libopus" else stream.rate
                encoder = output.add_stream(codec, rate, layout=stream.layout.name)
                self._encoders[stream.index] = encoder
        self._packets = self._container.demux(*streams) if streams else iter(())
        if streams and clip.starts_later:
            self._container.seek(int(clip.origin * _MICROSECONDS))
        self._waiting = self._read()

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_) -> None:
        if self._container:
            self._container.close()

    def write(self, until: Fraction | None) -> None:
        """Adds all sound that begins before a time, in seconds from the origin; None for all that there is."""
        while self._waiting is not None:
            packet, time = self._waiting
            if until is not None and time >= until:
                return
            self._add(packet)
            self._waiting = self._read()

    def finish(self, end: Fraction) -> None:
        """Adds the sound up to a time, or all if all of the clip has been read, and what the encoders still hold."""
        self.write(None if self._clip and self._clip.ended else end)
        for encoder in self._encoders.values():
            self._output.mux(encoder.encode(None))

    def _read(self) -> tuple["av.Packet", Fraction] | None:
        """The next packet from the origin on, with its time from there."""
        import av

        try:
            for packet in self._packets:
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None:  # The last one is empty.
                    continue
                time = stamp * packet.time_base - self._clip.origin
                if time >= 0 or not self._clip.starts_later:
                    return packet, time
        except av.FFmpegError:  # If the pictures are damaged too, they say so.
            self.remarks.append("the sound is damaged, and ends there")
        return None

    def _add(self, packet: "av.Packet") -> None:
        import av

        index, shift = packet.stream.index, round(self._clip.origin / packet.time_base)
        if index in self._copies:
            packet.pts, packet.dts = (stamp if stamp is None else stamp - shift for stamp in (packet.pts, packet.dts))
            packet.stream = self._copies[index]
            self._output.mux(packet)
            return
        # A damaged packet is silent.
        with contextlib.suppress(av.FFmpegError):
            for frame in packet.decode():
                frame.pts = None if frame.pts is None else frame.pts - round(self._clip.origin / frame.time_base)
                self._output.mux(self._encoders[index].encode(frame))


def check_writable(path: str | os.PathLike) -> None:
    """Raises an InputError unless a clip can be written to `path`, going by its extension, and PyAV is there."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"cannot write {path}: the name of a clip must end in one of {', '.join(_FORMATS)}")
    _check_pyav()


def _check_pyav() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise InputError("PyAV is missing; pip install -e '.[video]' in the clone of magstyle brings it") from error


def _open(path: str | os.PathLike) -> "av.container.InputContainer":
    _check_pyav()
    import av

    with files.reading(path, "video"):
        if os.path.isdir(path):
            raise InputError(f"cannot read {path}: it is a folder")
        # What a colon stands in would be taken for an address.
        container = av.open(f"file:{os.fspath(path)}", metadata_errors="ignore")
        if container.format.name in _NO_CLIPS:
            container.close()
            raise InputError(f"cannot read {path}: it is no video, or a damaged one")
        return container


def _orientation(frame: "av.VideoFrame") -> tuple[bool, tuple[int, int]]:
    """How to turn a frame upright: whether rows become columns, then the steps along rows and columns."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, (1, 1)
    # Where a pixel [x, y] is seen: [a x + c y, b x + d y].
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    turned = abs(c) > abs(a)
    right, down = (c, b) if turned else (a, d)
    return turned, (-1 if down < 0 else 1, -1 if right < 0 else 1)


def _fraction(seconds: float) -> Fraction:
    """As it is typed: 0.1 is 1/10, and 29.97 as good as 30000/1001."""
    return Fraction(str(seconds))
