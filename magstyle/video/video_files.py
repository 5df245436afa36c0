"""Clips in files to painted clips in files, with their sound."""

import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from magstyle import files, limits
from magstyle.checkpoints.networks import Network
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.painting import regions, strokes
from magstyle.painting.colors import preserve_color as keep_color
from magstyle.painting.stylizer import Stylizer
from magstyle.video import codec, optical_flow
from magstyle.video.camera import Placement
from magstyle.video.steadiness import FramePainter, Steadiness

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

Style = int | str | Mapping[int | str, float]
# A frame, with its motion from the one before where that is wanted and there is one, to its picture, float32 [H, W, 3]
# in [0, 1], and that to what is written, uint8; both frame after frame.
Paint = Callable[[codec.Frame, optical_flow.Motion | None], np.ndarray]
Finish = Callable[[codec.Frame, optical_flow.Motion | None, np.ndarray], np.ndarray]
# Of a frame's pictures, as numbers, that are held at a time: read, painted and written ones; and as measured, what
# motion and steadiness take beside these.
_PICTURES, _OF_STEADINESS = 12, 24


def stylize_video(
    input_video: str | os.PathLike,
    output_video: str | os.PathLike,
    *,
    checkpoint: "StyleTransformer | Network | str | os.PathLike" = "painters",
    engine: str = "auto",
    which_styles: Style | Sequence[Style] = 0,
    walk: bool = False,
    image_size: int | None = None,
    mask: regions.Masks = (),
    strength: float = 1.0,
    stroke_size: float = 1.0,
    start: float | None = None,
    duration: float | None = None,
    fps: float | None = None,
    preserve_color: bool = False,
    steady: bool = True,
) -> pathlib.Path:
    """Paints a clip in a style of a model, and keeps its sound.

    Frames keep their times, also where these are uneven, and the clip keeps its colour space and range. It is turned
    upright, and its pixels become square. Sound is copied as it is, or encoded anew where the new file cannot hold it.
    Reading, painting and writing overlap, and memory does not grow with the length of the clip. Progress is shown on
    stderr.

    If it is interrupted, or the clip is damaged, the frames painted until then are written.

    Args:
        input_video: the clip, of any container and codec that FFmpeg reads.
        output_video: the clip to write, .mp4 (H.264; a row or a column is repeated where a side is odd), .webm (VP9)
            or .gif, which has no sound.
        checkpoint: the model, anything that `magstyle.load_model` opens.
        engine: what computes it, as Stylizer's: "litert" on this machine's CPU, "keras", or "auto".
        which_styles: a style by number or name, or {style: weight} for a mixture; for a walk several, or "all".
        walk: go from each of several styles to the next, from the first frame to the last.
        image_size: shorter side of the pictures; as it is by default.
        mask: images, with the style of what is white in each, in every frame, as `stylize_photos` takes them; what is
            in none of them takes `which_styles`, or stays as it is where that is "photo".
        strength, stroke_size: as of `stylize_photos`.
        start: seconds from the clip's start at which to begin.
        duration: seconds to paint; to the end by default.
        fps: frames per second to paint at most; those between are left out. All by default.
        preserve_color: keep the clip's colours, take only the strokes.
        steady: keep strokes where they are on what moves, instead of painting every frame by itself, which flickers.

    Returns:
        The path of the painted clip.

    Raises:
        InputError: before any work, for a clip that cannot be read or does not fit into memory, styles that the model
            does not have, an output_video that is there already, or without OpenCV where pictures are to be steady. In
            the end, for a clip that is damaged.
    """
    limits.check({"strength": strength, "stroke_size": stroke_size})
    output = files.expanded(output_video)
    codec.check_writable(output)
    if output.exists():
        raise InputError(f"{output} exists already; remove it first, or choose another output_video", "output_video")
    if steady:
        optical_flow.opencv()  # If it is missing, that is said before any work.
    with codec.Clip(files.expanded(input_video), image_size, start, duration, fps) as clip:
        stylizer = Stylizer(checkpoint, engine)
        weights_at, weights = _weights_over_time(which_styles, walk, stylizer, clip, clip_may_stay=len(mask) > 0)
        mask_images, mask_weights = regions.opened(mask, stylizer)
        for image in mask_images:
            regions.check_shape(image, clip.size, str(clip.path))
        areas = [regions.read(image, clip.size) for image in mask_images]
        # Without motion, both leave frames and pictures as they are.
        painter, steadiness = FramePainter(clip.size, stroke_size), Steadiness()
        largest = painter.largest_canvas() if steady else clip.size
        pictures = _PICTURES + (_OF_STEADINESS if steady else 0)
        keeps, styles_of_pixels = pictures * math.prod(clip.size) * 3 * 4, 0
        if areas:
            styles_of_pixels = np.count_nonzero(np.any([*mask_weights, *weights], axis=0))
            keeps += regions.needed(len(areas), stylizer.network.num_styles, *largest)
        stylizer.check_size(*largest, keeps, regions=styles_of_pixels, stroke_size=stroke_size)

        def paint(frame: codec.Frame, motion: optical_flow.Motion | None) -> np.ndarray:
            def stylize(canvas: np.ndarray, placement: Placement) -> np.ndarray:
                weights = weights_at(frame.time)
                if areas:
                    weights = regions.style_weights([placement.lay(area) for area in areas], mask_weights, weights)
                return stylizer.stylize(canvas, weights, stroke_size=stroke_size)

            image = images.to_float(frame.image)
            picture = painter.paint(image, motion, stylize)
            # Of the frame as it is, not as it is on the canvas.
            return strokes.with_strength(picture, image, strength)

        def finish(frame: codec.Frame, motion: optical_flow.Motion | None, picture: np.ndarray) -> np.ndarray:
            picture = steadiness.steady(picture, motion)
            if preserve_color:
                picture = keep_color(images.to_float(frame.image), picture)
            if weights_at(frame.time) is None:
                image = images.to_float(frame.image)
                picture = image + regions.covered(areas)[..., None] * (picture - image)
            return images.to_uint8(picture)

        interruption = _write(output, clip, paint, finish, steady)
    if isinstance(interruption, InputError):
        raise InputError(f"{interruption}; {output} holds what is before", *interruption.arguments) from interruption
    if interruption:
        raise interruption
    return output


def _write(
    output: pathlib.Path, clip: codec.Clip, paint: Paint, finish: Finish, with_motion: bool
) -> BaseException | None:
    """Writes the clip that `paint` and `finish` make of another.

    Returns:
        What ended it before its end, when some frames had been written.
    """
    interruption = None
    total = clip.duration and clip.rate and max(1, math.ceil(clip.duration * clip.rate))
    with (
        files.replacing(output) as temporary,
        codec.Writer(temporary, clip.size, clip.time_base, clip.rate, clip.colors, sound_of=clip) as writer,
    ):
        with tqdm(total=total, unit="frame") as bar:
            try:
                _paint_frames(_frames(clip, with_motion), paint, finish, writer, bar)
            except (KeyboardInterrupt, SystemExit, InputError) as error:
                if not bar.n:
                    raise
                interruption = error
        for remark in writer.remarks:
            print(remark, file=sys.stderr)
        if interruption and not isinstance(interruption, InputError):
            print(f"interrupted after {bar.n} frames; what is there so far is written", file=sys.stderr)
    return interruption


def _frames(clip: codec.Clip, with_motion: bool) -> Iterator[tuple[codec.Frame, optical_flow.Motion | None]]:
    """The frames of a clip, with their motions if these are wanted."""
    before = None
    for frame in clip.frames():
        yield frame, optical_flow.motion(before, frame.image) if with_motion and before is not None else None
        before = frame.image


def _paint_frames(
    frames: Iterator[tuple[codec.Frame, optical_flow.Motion | None]],
    paint: Paint,
    finish: Finish,
    writer: codec.Writer,
    bar: tqdm,
) -> None:
    """Paints a frame while the next one is read, and the one before is finished and written."""

    def write(frame: codec.Frame, motion: optical_flow.Motion | None, picture: np.ndarray) -> None:
        writer.write(finish(frame, motion, picture), frame.time, frame.duration)

    written = None
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing:
        following = reading.submit(next, frames, None)
        while (read := following.result()) is not None:
            following = reading.submit(next, frames, None)
            picture = paint(*read)
            if written:
                written.result()
            written = writing.submit(write, *read, picture)
            bar.update()
        if written:
            written.result()


def _weights_over_time(
    which_styles: Style | Sequence[Style], walk: bool, stylizer: Stylizer, clip: codec.Clip, clip_may_stay: bool
) -> tuple[Callable[[Fraction], np.ndarray | None], Sequence[np.ndarray]]:
    """The weights [num_styles] of the frame at a time, in seconds; None of "photo", if the clip may stay as it is.

    Beside them, the weights that they are mixed from.
    """
    names = stylizer.network.style_names
    if isinstance(which_styles, str) and which_styles == "all" and "all" not in names:
        which_styles = list(names)
    several = list(which_styles) if isinstance(which_styles, list | tuple | np.ndarray) else [which_styles]
    if walk and len(several) < 2:
        raise InputError(
            f"walk leads from style to style, and which_styles={which_styles} is but one", "walk", "which_styles"
        )
    if not walk and len(several) != 1:
        raise InputError(
            f"which_styles={which_styles} must be one style or a mixture; walk leads from each of several to the next",
            "which_styles",
            "walk",
        )
    if several == [regions.PHOTO] and regions.PHOTO not in names:
        if not clip_may_stay:
            raise InputError(f"which_styles={regions.PHOTO} needs a mask", "which_styles", "mask")
        return lambda time: None, []
    weights = np.stack([stylizer.style_weights(style) for style in several])
    if not walk:
        return lambda time: weights[0], weights
    if not clip.duration:
        raise InputError(
            f"{clip.path} does not say how long it is, which walk must know; give duration", "walk", "duration"
        )
    last = clip.duration - (1 / clip.rate if clip.rate else 0)

    def weights_at(time: Fraction) -> np.ndarray:
        place = min(1.0, float(time / last)) * (len(weights) - 1) if last > 0 else 0.0
        before = min(int(place), len(weights) - 2)
        return weights[before] + np.float32(place - before) * (weights[before + 1] - weights[before])

    return weights_at, weights
