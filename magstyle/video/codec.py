"""Video clips: frames in, frames and sound out, by PyAV, which is FFmpeg in Python.

A clip is read and written frame by frame, so memory does not grow with its length. Its pictures are read upright, with
square pixels, and converted to RGB by the clip's own colour space and range, in which they are written again.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from magstyle import files, limits, options, project
from magstyle.data import images
from magstyle.errors import InputError

if TYPE_CHECKING:
    import av


@dataclasses.dataclass(frozen=True)
class _Format:
    """How a file with some extension is written: FFmpeg's encoder, its pixel format and its settings."""

    encoder: str
    pixels: str
    options: dict[str, str]
    # The encoder of sound that the file cannot hold unchanged; None if it can hold no sound.
    sound_codec: str | None
    # Both sides of the pictures must be multiples of this.
    multiple: int = 1
    # All times must be multiples of this, in seconds; None if they can be any.
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
# FFmpeg's numbers for colour spaces and ranges.
_RGB, _BT709, _UNSPECIFIED, _BT470BG = 0, 1, 2, 5
_LIMITED_RANGE, _FULL_RANGE = 1, 2
# The longest sides of standard definition, whose colours are those of BT.601 unless a clip says otherwise.
_STANDARD_DEFINITION = (576, 1024)
_MICROSECONDS = 10**6
# A file that lacks more than this, in seconds, is reported as cut short.
_CUT_SHORT = 1
# FFmpeg opens any text as a clip of a terminal that shows it.
_NO_CLIPS = ("tty",)


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


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of a clip.

    Attributes:
        image: uint8 RGB [H, W, 3].
        time: when it is shown, in seconds from the first moment that is read.
        duration: how long it is shown, in seconds; 0 if that is unknown.
    """

    image: np.ndarray
    time: Fraction
    duration: Fraction


class _Decoded(NamedTuple):
    """A frame as FFmpeg decodes it, with its time and its duration in seconds."""

    frame: "av.VideoFrame"
    time: Fraction
    duration: Fraction


class Clip:
    """A clip that is open for reading; a context manager, which closes it.

    Args:
        path: the file, of any container and codec that FFmpeg reads.
        image_size: shorter side of the frames, in pixels; that of the file by default.
        start: seconds from the clip's start; the first frame is the next one from there.
        duration: seconds to read; to the end by default.
        fps: frames per second to read at most, evenly spaced; frames between them are left out. All by default.

    Attributes:
        path: the file.
        size: height and width of the frames.
        colors: the meaning of its colours.
        rate: frames per second, on average; None if that is unknown.
        time_base: all times are multiples of it, in seconds.
        duration: seconds to be read, as the file says; None if it does not say.
        origin: when the clip starts, in the file's time.
        starts_later: whether the clip leaves out the start of the file.
        ended: whether the whole file has been read.

    Raises:
        InputError: for a file that is not a clip or has no pictures, numbers out of range, or a start after the end.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        image_size: int | None = None,
        start: float | None = None,
        duration: float | None = None,
        fps: float | None = None,
    ):
        options.check_value("image_size", image_size, limits.ImageSize | None)
        options.check_value("start", start, limits.Start | None)
        options.check_value("duration", duration, limits.Duration | None)
        options.check_value("fps", fps, limits.FrameRate | None)
        self.path, self._start, self._fps, self._most = path, start or 0, _fraction(fps), _fraction(duration)
        self.ended, self.starts_later = False, bool(start)
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(_open(path))
            self._read_header(image_size)
            self._close = stack.pop_all().close

    def _read_header(self, image_size: int | None) -> None:
        """Decodes the first frame, and sets all attributes."""
        if not self._container.streams.video:
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        with files.parsing(self.path, "video"):
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            begin = self._seek()
        assert self._stream.time_base  # Only a stream that is being written may lack it.
        self._base = self._stream.time_base
        self._decoded = self._decode(begin if self.starts_later else None)
        self._first = next(self._decoded, None)
        if self._first is None:
            if self.starts_later:
                raise InputError(f"start={self._start} is after the end of {self.path}", "start")
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        self.origin = self._first.time if self.starts_later else begin
        self.duration = _least(self._said_duration(), self._most)
        self.rate = _least(self._stream.average_rate or None, self._fps)
        self.time_base = 1 / self._fps if self._fps else self._base
        self._read_shape(self._first.frame, image_size)
        self.colors = self._read_colors(self._first.frame)

    def _seek(self) -> Fraction:
        """The start of the clip, in the file's time; seeks to it, unless the whole file is read."""
        begin = Fraction(self._container.start_time or 0, _MICROSECONDS)
        if self.starts_later:
            begin += Fraction(str(self._start))
            # This leads to the last frame before it from which the others can be decoded.
            self._container.seek(int(begin * _MICROSECONDS))
        return begin

    def _read_shape(self, frame: "av.VideoFrame", image_size: int | None) -> None:
        ratio = self._stream.sample_aspect_ratio or 1
        self._turned, self._flips = _orientation(frame)
        square = (frame.height, max(1, round(frame.width * ratio)))
        self.size = images.scaled_size(square[::-1] if self._turned else square, image_size)

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def frames(self) -> Iterator[Frame]:
        """All frames, once.

        Raises:
            InputError: at the damage, if the clip is damaged.
        """
        kept = self._chosen(self._shown()) if self._fps else self._shown()
        for frame, time, duration in kept:
            yield Frame(self._image(frame), time, duration)

    def _shown(self) -> Iterator[_Decoded]:
        """The frames of the clip, with their times from the origin."""
        following = self._first
        while following is not None:
            frame, time, duration = following
            following = next(self._decoded, None)
            time -= self.origin
            if self._most is not None:
                if time >= self._most:
                    return
                duration = min(duration, self._most - time)
            yield _Decoded(frame, time, duration)
        self.ended = True

    def _chosen(self, frames: Iterator[_Decoded]) -> Iterator[_Decoded]:
        """The frames that are seen at multiples of the time base, with these times."""
        waiting: tuple[int, _Decoded] | None = None
        for shown in frames:
            # The frame is seen from this multiple on. At multiples before, the frame before it is seen.
            tick = math.ceil(shown.time / self.time_base)
            if waiting and tick > waiting[0]:
                before, earlier = waiting
                yield _Decoded(earlier.frame, before * self.time_base, (tick - before) * self.time_base)
            waiting = (tick, shown)
        if waiting:
            tick, (frame, time, duration) = waiting
            if tick == 0 or tick * self.time_base < time + duration:
                yield _Decoded(frame, tick * self.time_base, self.time_base)

    def _decode(self, begin: Fraction | None) -> Iterator[_Decoded]:
        """Frames from `begin` on, with their times in the file's time, which increase."""
        last, count, step = None, 0, 1 / (self._stream.average_rate or self._stream.guessed_rate or Fraction(25))
        decoder = self._container.decode(self._stream)
        while True:
            with files.parsing(self.path, "video"):
                frame = next(decoder, None)
            if frame is None:
                break
            base = frame.time_base or self._base
            if frame.pts is not None:
                time = frame.pts * base
            elif last is not None:
                time = last + step
            else:
                time = Fraction(self._container.start_time or 0, _MICROSECONDS)
            if last is not None and time <= last:
                continue
            last, count = time, count + 1
            if begin is None or time >= begin:
                yield _Decoded(frame, time, frame.duration * base)
        if last is not None and (begin is not None or count < self._stream.frames):
            self._check_complete(last)

    def _check_complete(self, last: Fraction) -> None:
        """Raises an InputError if a file ends before the frames that it lists, about which FFmpeg says nothing.

        Missing frames alone prove nothing, because some may not be meant to be shown; nor does a duration that is too
        long, because it may be wrong.

        Args:
            last: the time of the last frame, in the file's time.
        """
        if not (self._stream.frames and self._stream.duration):
            return
        missing = self._stream.duration * self._base - (last - (self._stream.start_time or 0) * self._base)
        if missing > _CUT_SHORT:
            raise InputError(f"cannot read {self.path} to its end: it is cut short by {float(missing):.1f} seconds")

    def _said_duration(self) -> Fraction | None:
        """How long the file says that the clip is, from its start on."""
        if self._stream.duration:
            said = self._stream.duration * self._base
        elif self._container.duration:
            said = Fraction(self._container.duration, _MICROSECONDS)
        else:
            return None
        return max(Fraction(0), said - Fraction(str(self._start)))

    def _read_colors(self, frame: "av.VideoFrame") -> Colors:
        context = self._stream.codec_context
        space, color_range = int(frame.colorspace), int(frame.color_range)
        if space in (_RGB, _UNSPECIFIED):
            small = all(side <= most for side, most in zip(sorted(self.size), _STANDARD_DEFINITION, strict=True))
            # Players assume the same. RGB has no such space, and can be converted to any.
            space = _BT470BG if small and space == _UNSPECIFIED else _BT709
        if frame.format.is_rgb or color_range != _FULL_RANGE:
            color_range = _LIMITED_RANGE
        return Colors(space, color_range, int(context.color_primaries), int(context.color_trc))

    def _image(self, frame: "av.VideoFrame") -> np.ndarray:
        height, width = self.size[::-1] if self._turned else self.size
        smaller = height * width < frame.height * frame.width
        with files.parsing(self.path, "video"):
            image = frame.reformat(
                width,
                height,
                "rgb24",
                src_colorspace=self.colors.space,
                src_color_range=_FULL_RANGE if frame.format.is_rgb else self.colors.range,
                dst_color_range=_FULL_RANGE,
                interpolation="AREA" if smaller else "BICUBIC",
            ).to_ndarray()
        if self._turned:
            image = image.swapaxes(0, 1)
        return np.ascontiguousarray(image[:: self._flips[0], :: self._flips[1]])


class Writer:
    """A clip that is being written; a context manager, which completes it.

    Args:
        path: the file, whose extension chooses the format: .mp4 (H.264), .webm (VP9) or .gif.
        size: height and width of the frames.
        time_base: all their times are multiples of it, in seconds.
        rate: frames per second, on average; None if that is unknown.
        colors: the meaning of its colours.
        sound_of: the clip whose sound it gets; silent by default.

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
        height, width = size
        self._missing = (-height % self._format.multiple, -width % self._format.multiple)
        self._sound = None
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(av.open(f"file:{path}", "w"))
            self._stream = self._add_pictures(height + self._missing[0], width + self._missing[1], rate)
            if sound_of:
                self._sound = stack.enter_context(_Sound(sound_of, self._container, suffix))
            self._close = stack.pop_all().close

    def _add_pictures(self, height: int, width: int, rate: Fraction | None) -> "av.VideoStream":
        import av

        stream = self._container.add_stream(self._format.encoder, rate or Fraction(25), self._format.options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, self._format.pixels
        context = stream.codec_context
        context.time_base = self._time_base
        # This keeps how long frames are shown, the last one too.
        context.flags |= av.codec.context.Flags.frame_duration
        if self._format.pixels != "pal8":
            context.colorspace, context.color_range = self._colors.space, self._colors.range
            context.color_primaries, context.color_trc = self._colors.primaries, self._colors.transfer
        return stream

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
                if self._sound:
                    self._sound.finish(self._end)
        finally:
            self._close()

    @property
    def remarks(self) -> list[str]:
        """Sentences about differences from the clip."""
        padding = [
            f"{count} more {name}" for count, name in zip(self._missing, ("row", "column"), strict=True) if count
        ]
        multiple = self._format.multiple
        padded = [f"the pictures get {' and '.join(padding)}: their sides must be multiples of {multiple}"]
        return [*(padded if padding else []), *(self._sound.remarks if self._sound else [])]

    def write(self, image: np.ndarray, time: Fraction, duration: Fraction) -> None:
        """Adds a frame, and the sound before it.

        Args:
            image: uint8 RGB [H, W, 3], of the clip's size.
            time: when it is shown, in seconds; later than all frames before.
            duration: how long, in seconds.
        """
        if self._sound:
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
            colors = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
            palette[: len(colors), 1:] = colors
            # PyAV's types do not know of the palette beside the numbers.
            return av.VideoFrame.from_ndarray((np.asarray(picture), palette), "pal8")  # type: ignore[arg-type]
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

    Packets are copied unchanged, or encoded anew for a container that cannot hold them.

    Attributes:
        remarks: sentences about differences from the clip.
    """

    def __init__(self, clip: Clip, output: "av.container.OutputContainer", suffix: str):
        self.remarks: list[str] = []
        self._clip, self._output = clip, output
        # The keys are the numbers of the streams in the clip.
        self._copies: dict[int, av.AudioStream] = {}
        self._encoders: dict[int, av.AudioStream] = {}
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(_open(clip.path))
            self._packets = self._open_streams(suffix)
            self._waiting = self._read()
            self._close = stack.pop_all().close

    def _open_streams(self, suffix: str) -> "Iterator[av.Packet[av.AudioStream]]":
        """Adds all streams of sound that the output can hold, and returns their packets."""
        streams = self._container.streams.audio
        codec = _FORMATS[suffix].sound_codec
        if streams and not codec:
            self.remarks.append(f"a {suffix} file has no sound")
        if not streams or not codec:
            return iter(())
        for stream in streams:
            self._add_stream(stream, codec, suffix)
        packets = self._container.demux(streams)
        if self._clip.starts_later:
            self._container.seek(int(self._clip.origin * _MICROSECONDS))
        return packets

    def _add_stream(self, stream: "av.AudioStream", codec: str, suffix: str) -> None:
        """Adds a stream of sound to the output: a copy or, if the output cannot hold that, one encoded by `codec`."""
        import av

        name = stream.codec_context.name
        if name in self._output.supported_codecs:
            self._copies[stream.index] = self._output.add_stream_from_template(stream)
            return
        self.remarks.append(f"a {suffix} file cannot hold the sound as it is, {name}; it becomes {codec}")
        # Opus knows no other rate.
        rate = 48000 if codec == "libopus" else stream.rate
        encoder = self._output.add_stream(codec, rate, layout=stream.layout.name)
        assert isinstance(encoder, av.AudioStream)
        self._encoders[stream.index] = encoder

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, until: Fraction | None) -> None:
        """Adds all sound that begins before a time, in seconds from the origin; None for all that is left."""
        while self._waiting is not None:
            packet, time = self._waiting
            if until is not None and time >= until:
                return
            self._add(packet)
            self._waiting = self._read()

    def finish(self, end: Fraction) -> None:
        """Adds the sound up to a time, or all if the whole clip has been read, then flushes the encoders."""
        self.write(None if self._clip.ended else end)
        for encoder in self._encoders.values():
            self._output.mux(encoder.encode(None))

    def _read(self) -> "tuple[av.Packet[av.AudioStream], Fraction] | None":
        """The next packet from the origin on, with its time from there, in seconds."""
        import av

        try:
            for packet in self._packets:
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None:  # The last packet is empty.
                    continue
                time = stamp * packet.time_base - self._clip.origin
                if time >= 0 or not self._clip.starts_later:
                    return packet, time
        except av.FFmpegError:  # If the pictures are damaged too, reading them raises.
            self.remarks.append("the sound is damaged, and ends there")
        return None

    def _add(self, packet: "av.Packet[av.AudioStream]") -> None:
        import av

        index, origin = packet.stream.index, self._clip.origin
        if index in self._copies:
            shift = round(origin / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = self._copies[index]
            self._output.mux(packet)
            return
        # A damaged packet stays silent.
        with contextlib.suppress(av.FFmpegError):
            for frame in packet.decode():
                if frame.pts is not None and frame.time_base:
                    frame.pts -= round(origin / frame.time_base)
                self._output.mux(self._encoders[index].encode(frame))


def check_writable(path: str | os.PathLike) -> None:
    """Raises an InputError unless a clip can be written to `path`, going by its extension, and PyAV is there."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"cannot write {path}: the name of a clip must end in one of {', '.join(_FORMATS)}")
    with project.needing("av"):
        import av  # noqa: F401


def _open(path: str | os.PathLike) -> "av.container.InputContainer":
    with project.needing("av"):
        import av

    with files.reading(path, "video"):
        if os.path.isdir(path):
            raise InputError(f"cannot read {path}: it is a folder")
        # Without "file:", a name with a colon in it would be taken for an address.
        container = av.open(f"file:{os.fspath(path)}", metadata_errors="ignore")
        if container.format.name in _NO_CLIPS:
            container.close()
            raise InputError(f"cannot read {path}: it is not a valid video")
        return container


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


def _fraction(number: float | None) -> Fraction | None:
    """A number as it is typed: 0.1 is 1/10, and 29.97 as good as 30000/1001."""
    return None if number is None else Fraction(str(number))


def _least(*numbers: Fraction | None) -> Fraction | None:
    """The least of the numbers that are known."""
    return min((number for number in numbers if number), default=None)
