"""The sound of a clip, on its way into another: copied packet by packet, or encoded anew if the file cannot hold it.

Whatever is wrong with the sound, the pictures do not suffer: a stream that can be neither copied nor encoded is left
out, and so is each damaged packet.
"""

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from magstyle.video import containers

if TYPE_CHECKING:
    import av

    from magstyle.video import codec

# Whether a file can hold a stream is tried with this number of packets.
_TRIED = 50
# The layouts of 1, 2, ... channels where a clip gives no more than their number.
_USUAL = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
# Layouts to try if an encoder refuses the clip's own, with their numbers of channels.
_ACCEPTED = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}
_MICROSECONDS = 10**6


class _Way(NamedTuple):
    """How a stream gets into a file: copied if `codec` is None, else encoded by it with a rate and a layout."""

    codec: str | None = None
    rate: int = 0
    layout: str = ""


class Sound:
    """The sound of a clip, on its way into another; a context manager, which closes the clip.

    Args:
        clip: the clip.
        output: the file that is being written, before its header.
        suffix: its extension.

    Attributes:
        remarks: sentences about differences from the clip.
    """

    def __init__(self, clip: "codec.Clip", output: "av.container.OutputContainer", suffix: str):
        self.remarks: list[str] = []
        self._clip = clip
        # The keys are the numbers of the streams in the clip.
        self._tracks: dict[int, _Track] = {}
        with contextlib.ExitStack() as stack:
            self._container = stack.enter_context(containers.open_clip(clip.path))
            self._packets = self._open_streams(output, suffix)
            self._waiting = self._read()
            self._close = stack.pop_all().close

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def is_there(self) -> bool:
        """Whether the output gets any sound."""
        return bool(self._tracks)

    def write(self, until: Fraction | None) -> None:
        """Adds all sound that begins before a time, in seconds from the origin; None for all that is left."""
        while self._waiting is not None:
            packet, time, shift = self._waiting
            if until is not None and time >= until:
                return
            if not self._tracks[packet.stream.index].add(packet, shift):
                self._say("some of the sound is damaged, and left out")
            self._waiting = self._read()

    def finish(self, end: Fraction) -> None:
        """Adds the sound up to a time, or all if the whole clip has been read, then flushes the encoders."""
        self.write(None if self._clip.ended else end)
        for track in self._tracks.values():
            track.flush()

    def _say(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)

    def _open_streams(
        self, output: "av.container.OutputContainer", suffix: str
    ) -> "Iterator[av.Packet[av.AudioStream]]":
        """Adds all streams of sound that the output can hold, and returns their packets."""
        streams = self._container.streams.audio
        if streams and not containers.FORMATS[suffix].sound_codec:
            self._say(f"a {suffix} file has no sound")
            return iter(())
        for number, stream in enumerate(streams):
            self._add_stream(number, stream, output, suffix)
        if not self._tracks:
            return iter(())
        packets = self._container.demux([stream for stream in streams if stream.index in self._tracks])
        if self._clip.starts_later:
            self._container.seek(int(self._clip.origin * _MICROSECONDS))
        return packets

    def _add_stream(
        self, number: int, stream: "av.AudioStream", output: "av.container.OutputContainer", suffix: str
    ) -> None:
        """Adds a stream of sound to the output, in the first way that the output accepts, or leaves it out."""
        form = containers.FORMATS[suffix]
        assert form.sound_codec
        name = stream.codec_context.name if stream.codec_context else "of an unknown codec"
        ways = _ways(stream, form.sound_codec)
        way = next((way for way in ways if _works(self._clip.path, number, way, form.muxer)), None)
        if way is None:
            self._say(f"the sound, {name}, is left out: a {suffix} file cannot hold it, and it cannot be encoded anew")
            return
        start = None if self._clip.starts_later else self._clip.origin
        self._tracks[stream.index] = _Track(stream, output, way, start)
        if way.codec:
            layout = "" if way.layout == _layout(stream) else f", {way.layout}"
            self._say(f"a {suffix} file cannot hold the sound as it is, {name}; it becomes {way.codec}{layout}")

    def _read(self) -> "tuple[av.Packet[av.AudioStream], Fraction, Fraction] | None":
        """The next packet from the origin on, its time from there, and the difference to its own time, in seconds.

        FFmpeg fails in many ways on damaged files. If the pictures are damaged too, reading them raises.
        """
        while True:
            try:
                packet = next(self._packets, None)
            except Exception:
                self._say("the sound is damaged, and ends there")
                return None
            if packet is None:
                return None
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None:  # The last packet is empty.
                continue
            track = self._tracks[packet.stream.index]
            time = track.clock.read(stamp * packet.time_base, (packet.duration or 0) * packet.time_base)
            shift = track.clock.shift - self._clip.origin
            if time >= self._clip.origin or not self._clip.starts_later:
                return packet, time - self._clip.origin, shift


class _Track:
    """A stream of sound in the output.

    Args:
        stream: the stream of the clip.
        output: the file that is being written, before its header.
        way: how the stream gets there.
        start: as for its clock.

    Attributes:
        clock: the times of the stream.
        written: the number of packets written so far.
    """

    def __init__(
        self,
        stream: "av.AudioStream",
        output: "av.container.OutputContainer",
        way: _Way,
        start: Fraction | None = None,
    ):
        import av

        self.clock = containers.Clock(start)
        self._output = output
        self.written = 0
        self._is_copy = way.codec is None
        self._resampler: av.AudioResampler | None = None
        if way.codec is None:
            self._target = output.add_stream_from_template(stream)
            return
        target = output.add_stream(way.codec, way.rate, layout=way.layout)
        assert isinstance(target, av.AudioStream)
        self._target = target

    def add(self, packet: "av.Packet[av.AudioStream]", shift: Fraction) -> bool:
        """Adds a packet of the clip, `shift` seconds later than it says; returns False if it is damaged.

        Raises:
            OSError: if the operating system refuses to write it.
        """
        if not self._is_copy:
            return self._decode(packet, shift)
        ticks = round(shift / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.stream = self._target
        return self._mux([packet])

    def flush(self) -> None:
        """Adds what the encoder still holds."""
        if not self._is_copy:
            self._encode(None)

    def _decode(self, packet: "av.Packet[av.AudioStream]", shift: Fraction) -> bool:
        """Adds a packet of the clip, encoded anew; returns False if it is damaged."""
        try:
            frames = packet.decode()
        except Exception:  # As in `Sound._read`.
            return False
        is_whole = True
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts += round(shift / frame.time_base)
            is_whole &= self._encode(frame)
        return is_whole

    def _encode(self, frame: "av.AudioFrame | None") -> bool:
        """Encodes a frame, or what the encoder still holds for None; returns False if FFmpeg refuses it."""
        import av

        last = [None] if frame is None else []
        try:
            packets = [packet for ready in [*self._resampled(frame), *last] for packet in self._target.encode(ready)]
        except (av.FFmpegError, ValueError):
            return False
        return self._mux(packets)

    def _resampled(self, frame: "av.AudioFrame | None") -> "list[av.AudioFrame]":
        """A frame as the encoder takes it, or all that is left for None."""
        import av

        if self._resampler:
            try:
                return self._resampler.resample(frame)
            except ValueError:  # The sound has another rate, format or layout from here on.
                left = self._resampler.resample(None)
        else:
            left = []
        if frame is None:
            return left
        context = self._target.codec_context
        self._resampler = av.AudioResampler(context.format, context.layout, context.sample_rate)
        return [*left, *self._resampler.resample(frame)]

    def _mux(self, packets: "list[av.Packet[av.AudioStream]]") -> bool:
        """Writes packets; returns False if FFmpeg refuses any."""
        import av

        refused = 0
        for packet in packets:
            try:
                self._output.mux(packet)
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError):
                    raise
                refused += 1
        self.written += len(packets) - refused
        return not refused


def _layout(stream: "av.AudioStream") -> str:
    """The layout of a stream's channels; the usual one for their number if the clip says no more than that."""
    name, count = stream.layout.name, stream.layout.nb_channels
    return _USUAL[count - 1] if "channels" in name and 0 < count <= len(_USUAL) else name


def _ways(stream: "av.AudioStream", encoder: str) -> list[_Way]:
    """The ways in which a stream could get into a file, best first."""
    import av

    if stream.codec_context is None:  # FFmpeg does not know its codec.
        return []
    if not stream.rate:
        return [_Way()]
    rates = av.codec.Codec(encoder, "w").audio_rates or [stream.rate]
    if encoder == "libopus":
        rates = [48000]  # It works at this rate inside.
    # The same rate or, so that no tone is lost, the next higher one.
    rate = min(rates, key=lambda rate: (rate < stream.rate, abs(rate - stream.rate)))
    enough = [layout for layout, channels in _ACCEPTED.items() if channels >= stream.layout.nb_channels]
    return [_Way(), *(_Way(encoder, rate, layout) for layout in (_layout(stream), *enough, "stereo"))]


def _works(path: str | os.PathLike, index: int, way: _Way, muxer: str) -> bool:
    """Whether the beginning of a stream of a clip can be written to a file, which stays in memory."""
    import av

    try:
        with containers.open_clip(path) as clip, av.open(io.BytesIO(), "w", muxer) as output:
            stream = clip.streams.audio[index]
            track = _Track(stream, output, way)
            output.start_encoding()
            for packet in itertools.islice(clip.demux(stream), _TRIED):
                track.add(packet, Fraction(0))
            track.flush()
    except Exception:  # As in `Sound._read`; some files show only at their end that they cannot be completed.
        return False
    return track.written > 0
