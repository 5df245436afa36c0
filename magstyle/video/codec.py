"""Video clips: frames in, frames and sound out, by PyAV, which is FFmpeg in Python.

A clip is read and written frame by frame, so memory does not grow with its length. The module `pictures` converts its
frames to RGB by the clip's own colour space and range, in which they are written again.
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

from magstyle import files, limits, options
from magstyle.errors import InputError
from magstyle.video import containers
from magstyle.video.containers import check_writable
from magstyle.video.pictures import FULL_RANGE, Colors, Pictures, deinterlaced
from magstyle.video.sound import Sound

if TYPE_CHECKING:
    import av


_MICROSECONDS = 10**6
# A file that lacks more than this, in seconds, is reported as cut short.
_CUT_SHORT = 1
# Decoders that read the transparency of these codecs, which FFmpeg's own decoders ignore.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Times are written no finer than this, in seconds, so that `containers.LONGEST` fits into the 31 bits of an MP4 file.
_FINEST = Fraction(1, 500_000)
# A frame stays where it is even if it is early by up to this, in seconds, since many files round times to milliseconds.
_ROUNDED = Fraction(1, 1000)
_COLORS = Colors()


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of a clip.

    Attributes:
        image: uint8 RGB [H, W, 3].
        time: when it is shown, in seconds from the first moment that is read.
        duration: how long it is shown, in seconds.
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
        path: the file: any codec that FFmpeg reads, in any container that holds its own pictures.
        image_size: shorter side of the frames, in pixels; that of the file by default.
        start: seconds from the clip's start; the first frame is the next one from there.
        duration: seconds to read; to the end by default.
        fps: frames per second to read at most; where there are more, they are evenly spaced, and those between them are
            left out. All by default.

    Attributes:
        path: the file.
        size: height and width of the frames.
        colors: the colours in which its frames are to be written.
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
            self._container = stack.enter_context(containers.open_clip(path))
            self._read_header(image_size)
            self._close = stack.pop_all().close

    def _read_header(self, image_size: int | None) -> None:
        """Decodes the first frame, and sets all attributes."""
        import av

        with files.parsing(self.path, "video"):
            stream = self._container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or not stream.codec_context:
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        with files.parsing(self.path, "video"):
            self._stream = stream
            self._stream.thread_type = "AUTO"
            begin = self._seek()
        assert self._stream.time_base  # Only a stream that is being written may lack it.
        self._base = self._stream.time_base
        self._clock = containers.Clock(None if self.starts_later else begin)
        self._decoded = self._decode(begin if self.starts_later else None)
        self._first = next(self._decoded, None)
        if self._first is None:
            if self.starts_later:
                raise InputError(f"start={self._start} is after the end of {self.path}", "start")
            raise InputError(f"cannot read {self.path}: there are no pictures in it")
        self.origin = self._first.time if self.starts_later else begin
        self.duration = _least(self._said_duration(), self._most)
        self.rate = _least(self._stream.average_rate or None, self._fps)
        self.time_base = _common_measure(self._base, 1 / self._fps) if self._fps else self._base
        self._pictures = Pictures(self.path, self._stream, self._first.frame, image_size)
        self.size, self.colors = self._pictures.size, self._pictures.colors

    def _seek(self) -> Fraction:
        """The start of the clip, in the file's time; seeks to it, unless the whole file is read."""
        begin = Fraction(self._container.start_time or 0, _MICROSECONDS)
        if self.starts_later:
            begin += Fraction(str(self._start))
            # This leads to the last frame before it from which the others can be decoded.
            self._container.seek(int(begin * _MICROSECONDS))
        return begin

    @property
    def remarks(self) -> list[str]:
        """Sentences about differences between the frames so far and the file."""
        jumps = ["the times in the clip jump; they go on without a gap"] if self._clock.jumps else []
        return [*self._pictures.remarks, *jumps]

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def frames(self) -> Iterator[Frame]:
        """All frames, once.

        Raises:
            InputError: at the damage, if the clip is damaged.
        """
        kept = _thinned(self._shown(), 1 / self._fps) if self._fps else self._shown()
        for frame, time, duration in kept:
            yield Frame(self._pictures.picture(frame), time, duration)

    def _shown(self) -> Iterator[_Decoded]:
        """The frames of the clip, with their times from the origin."""
        following = self._first
        while following is not None:
            frame, time, duration = following
            time -= self.origin
            if self._most is not None:
                if time >= self._most:
                    return
                duration = min(duration, self._most - time)
            yield _Decoded(frame, time, duration)
            following = next(self._decoded, None)
        self.ended = True

    def _decode(self, begin: Fraction | None) -> Iterator[_Decoded]:
        """Frames from `begin` on, with their times in the file's time, which increase."""
        last, count, step = None, 0, 1 / (self._stream.average_rate or self._stream.guessed_rate or Fraction(25))
        for frame in deinterlaced(self.path, self._stored()):
            base = frame.time_base or self._base
            if frame.pts is not None:
                time = self._clock.read(frame.pts * base, step)
            elif last is not None:
                time = last + step
            else:
                time = Fraction(self._container.start_time or 0, _MICROSECONDS)
            if last is not None and time <= last:
                continue
            last, count = time, count + 1
            if begin is None or time >= begin:
                duration = min(frame.duration * base, Fraction(containers.LONGEST))
                yield _Decoded(frame, time, duration if duration > 0 else step)
        if last is not None and not self._clock.jumps and (begin is not None or count < self._stream.frames):
            self._check_complete(last)

    def _stored(self) -> "Iterator[av.VideoFrame]":
        """The frames as they are stored.

        Raises:
            InputError: at the damage, if the clip is damaged.
        """
        import av

        codec = self._stream.codec_context.name
        if self._stream.metadata.get("alpha_mode") == "1" and codec in _WITH_ALPHA:
            decoder = av.CodecContext.create(_WITH_ALPHA[codec], "r")
            assert isinstance(decoder, av.VideoCodecContext)
            packets = self._container.demux(self._stream)
            frames = (frame for packet in packets for frame in decoder.decode(packet))
        else:
            frames = self._container.decode(self._stream)
        while True:
            with files.parsing(self.path, "video"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

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


class Writer:
    """A clip that is being written; a context manager, which completes it.

    Args:
        path: the file, whose extension chooses the format: .mp4, .mov and .mkv (H.264), .webm (VP9) or .gif.
        size: height and width of the frames.
        time_base: all their times are multiples of it, in seconds.
        rate: frames per second, on average; None if that is unknown.
        colors: the meaning of its colours.
        sound_of: the clip whose sound it gets; silent by default.

    Raises:
        InputError: as `check_writable`, and for frames that the encoder refuses.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        size: tuple[int, int],
        time_base: Fraction,
        rate: Fraction | None = None,
        colors: Colors = _COLORS,
        sound_of: Clip | None = None,
    ):
        check_writable(path)
        self._path, self._format, self._colors = path, containers.format_of(path), colors
        self._time_base = self._format.time_base or max(time_base, _FINEST)
        # The number of time bases and the time of the last frame, and when it ends.
        self._last, self._time, self._end = -1, Fraction(-1), Fraction(0)
        self._waiting: av.Packet[av.VideoStream] | None = None
        height, width = size
        self._missing = (-height % self._format.multiple, -width % self._format.multiple)
        self._size = (height + self._missing[0], width + self._missing[1])
        self._refused: list[str] = []
        if not self._opens(rate, sound_of):
            # The file can hold each stream of sound alone, but not all of them together.
            self._opens(rate, None)
            self._refused = ["the sound is left out: the file cannot hold it"]

    def _opens(self, rate: Fraction | None, sound_of: Clip | None) -> bool:
        """Opens the file and writes its header; returns False if FFmpeg refuses that because of the sound."""
        import av

        suffix = pathlib.Path(self._path).suffix.lower()
        self._sound = None
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(av.open(f"file:{self._path}", "w", self._format.muxer))
            self._stream = self._add_pictures(rate)
            if sound_of:
                self._sound = stack.enter_context(Sound(sound_of, self._container, suffix))
            try:
                self._container.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError):
                    raise
                if self._sound and self._sound.is_there:
                    return False
                height, width = self._size
                raise InputError(
                    f"{self._format.encoder} cannot encode pictures of {width} x {height} pixels"
                ) from error
            self._close = stack.pop_all().close
        return True

    def _add_pictures(self, rate: Fraction | None) -> "av.VideoStream":
        import av

        stream = self._container.add_stream(self._format.encoder, rate or Fraction(25), self._format.options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = self._size
        stream.pix_fmt = self._format.pixels
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
        import av

        if kind is not None:
            # A file that is given up need not be complete.
            with contextlib.suppress(av.FFmpegError):
                self._close()
            return
        with self._encoding():
            try:
                self._encode(None)
                if self._waiting:
                    self._mux_last(self._waiting)
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
        return [*(padded if padding else []), *(self._sound.remarks if self._sound else []), *self._refused]

    def write(self, image: np.ndarray, time: Fraction, duration: Fraction) -> None:
        """Adds a frame, and the sound before it.

        Args:
            image: uint8 RGB [H, W, 3], of the clip's size.
            time: when it is shown, in seconds; later than all frames before.
            duration: how long, in seconds.

        Raises:
            InputError: for a frame that the encoder refuses.
        """
        if self._sound:
            self._sound.write(time)
        self._end = time + duration
        frame = self._frame(image)
        # Times are rounded: two frames may have the same, or one be shown for less than the format allows.
        least = math.ceil(self._format.shortest / self._time_base)
        if self._last < 0 or time - self._time < self._format.shortest - _ROUNDED:
            least = 0
        self._last = frame.pts = max(round(time / self._time_base), self._last + max(1, least))
        self._time = time
        frame.time_base, frame.duration = self._time_base, max(1, round(duration / self._time_base))
        self._encode(frame)

    def _encode(self, frame: "av.VideoFrame | None") -> None:
        """Encodes a frame, or those that the encoder still holds for None, and writes all packets but the last."""
        with self._encoding():
            for packet in self._stream.encode(frame):
                if self._waiting:
                    self._container.mux(self._waiting)
                self._waiting = packet

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[None]:
        """Turns what FFmpeg raises in the block into an InputError, except errors of the operating system."""
        import av

        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise InputError(f"cannot write the pictures with {self._format.encoder}: {error}") from error

    def _mux_last(self, packet: "av.Packet[av.VideoStream]") -> None:
        """Writes the last packet, whose frame is shown until the end."""
        shown = max(self._end - self._last * self._time_base, self._format.shortest, self._time_base)
        packet.duration = round(shown / packet.time_base)
        self._container.mux(packet)

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
            src_color_range=FULL_RANGE,
            dst_colorspace=self._colors.space,
            dst_color_range=self._colors.range,
        )


def _fraction(number: float | None) -> Fraction | None:
    """A number as it is typed: 0.1 is 1/10, and 29.97 as good as 30000/1001."""
    return None if number is None else Fraction(str(number))


def _least(*numbers: Fraction | None) -> Fraction | None:
    """The least of the numbers that are known."""
    return min((number for number in numbers if number), default=None)


def _common_measure(first: Fraction, second: Fraction) -> Fraction:
    """The largest number of which both are multiples."""
    denominator = math.lcm(first.denominator, second.denominator)
    return Fraction(math.gcd(int(first * denominator), int(second * denominator)), denominator)


def _thinned(frames: Iterator[_Decoded], least: Fraction) -> Iterator[_Decoded]:
    """Frames with at least some time between them, in seconds.

    A frame that follows too soon is shown later, once that time has passed, unless another one is due by then.
    """
    shown: _Decoded | None = None
    early: _Decoded | None = None
    damage: InputError | None = None
    end = Fraction(0)
    try:
        for frame in frames:
            end = frame.time + frame.duration
            if shown and early and frame.time > shown.time + least:
                yield shown._replace(duration=least)
                shown, early = early._replace(time=shown.time + least), None
            if shown and frame.time < shown.time + least - _ROUNDED:
                early = frame
                continue
            if shown:
                yield shown._replace(duration=frame.time - shown.time)
            shown, early = frame, None
    except InputError as error:  # The frames before the damage are still to come.
        damage = error
    if shown and early and end > shown.time + least:
        yield shown._replace(duration=least)
        shown = early._replace(time=shown.time + least)
    if shown:
        yield shown._replace(duration=end - shown.time)
    if damage:
        raise damage


def fastest(path: str | os.PathLike) -> float | None:
    """The most frames per second that a clip written to `path` can have, by its extension; None for no limit."""
    shortest = containers.format_of(path).shortest
    return float(1 / shortest) if shortest else None
