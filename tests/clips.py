"""Small clips to test with."""

import os
from fractions import Fraction

import av
import numpy as np

from tests.samples import picture

WIDTH, HEIGHT = 64, 48


def frames(count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[np.ndarray]:
    """Frames of a picture that moves by two pixels a frame, uint8 [H, W, 3] each."""
    width, height = size
    wide = np.asarray(picture(0, (width + 2 * count, height)))
    return [wide[:, 2 * k : 2 * k + width] for k in range(count)]


def write_clip(
    path: os.PathLike,
    count: int = 6,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    times: list[int] | None = None,
    sound: str | None = "aac",
    rotation: int = 0,
    ratio: Fraction = Fraction(1),
    **colors: int,
) -> None:
    """Writes a clip of 10 frames per second, with a tone of the same length.

    Args:
        path: the file to write.
        count: number of frames.
        size: width and height, in pixels.
        times: times of the frames, in hundredths of a second; 10 frames per second by default.
        sound: the codec of the sound; None for silence.
        rotation: rotation of the display, in degrees.
        ratio: aspect ratio of a pixel, its width divided by its height.
        colors: attributes of the codec, such as color_range.
    """
    times = times or [10 * k for k in range(count)]
    # faststart puts the index first, so that a truncated file can be read.
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", 10, {"crf": "5"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 100)
        video.codec_context.sample_aspect_ratio = ratio
        for name, value in colors.items():
            setattr(video.codec_context, name, value)
        if rotation:
            video.set_display_rotation(rotation)
        tone = container.add_stream(sound, 8000, layout="mono") if sound else None
        for image, time in zip(frames(count, size), times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=colors.get("colorspace", 5),
                src_color_range=2,
                dst_color_range=colors.get("color_range", 1),
            )
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone:
            wave = np.sin(np.arange(80 * times[-1] + 800) * 0.3)[None] * 9000
            samples = av.AudioFrame.from_ndarray(wave.astype(np.int16), "s16", "mono")
            samples.sample_rate = 8000
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))


def write_frames(
    path: os.PathLike,
    frames: list[av.VideoFrame],
    codec: str = "ffv1",
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    sound: tuple[str, int, str] | None = None,
    **colors: int,
) -> None:
    """Writes a clip of frames as they are, in any container.

    Args:
        path: the file to write.
        frames: the frames, all of the same size and pixel format.
        codec: the codec of the frames.
        times: times of the frames, in milliseconds; 10 frames per second by default.
        options: options of the codec.
        sound: the codec, the sample rate and the layout of a tone as long as that; None for silence.
        colors: attributes of the codec, such as color_trc.
    """
    base = Fraction(1, 1000) if times else Fraction(1, 10)
    # Each packet of sound in a transport stream can then be found by itself.
    packets = {"max_delay": "0"} if str(path).endswith(".ts") else {}
    with av.open(str(path), "w", container_options=packets) as container:
        video = container.add_stream(codec, 10, options or {})
        video.width, video.height, video.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        video.codec_context.time_base = base
        for name, value in colors.items():
            setattr(video.codec_context, name, value)
        tone = container.add_stream(sound[0], sound[1], layout=sound[2]) if sound else None
        for frame, time in zip(frames, times or range(len(frames)), strict=True):
            frame.pts, frame.time_base = time, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound:
            _, rate, layout = sound
            wave = np.sin(np.arange(rate * len(frames) // 10) * 0.3).astype(np.float32) * 0.3
            # One value for each channel after the other; PyAV takes no more than eight channels one by one.
            values = np.repeat(wave, av.AudioLayout(layout).nb_channels)[None]
            samples = av.AudioFrame.from_ndarray(values, "flt", layout)
            samples.sample_rate = rate
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))


def plain_frames(count: int, pixels: str = "yuv420p", size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[av.VideoFrame]:
    """The same frames as `frames`, in a pixel format."""
    return [av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pixels) for image in frames(count, size)]


def read(path: os.PathLike) -> tuple[list[np.ndarray], list[float]]:
    """The stored frames of a clip, uint8 [H, W, 3] each, and their times in seconds."""
    with av.open(str(path)) as container:
        found = list(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for frame in found], [frame.time for frame in found]


def sound_of(path: os.PathLike) -> list[tuple[float, bytes]]:
    """The time in seconds and the bytes of each packet of a clip's sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def duration_of(path: os.PathLike) -> float:
    """How long a clip lasts, in seconds, as the file says."""
    with av.open(str(path)) as container:
        return container.duration / av.time_base
