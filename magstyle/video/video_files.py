"""Clips in files to painted clips in files, with their sound."""

import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from tqdm import tqdm

from magstyle import files, limits, options
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
# A frame, with its motion from the one before if pictures are to be steady and there is one.
MovingFrame = tuple[codec.Frame, optical_flow.Motion | None]
# How many float32 pictures of a frame's size are in memory at a time: those being read, painted and written; and, as
# measured, those that motion and steadiness take in addition.
_PICTURES, _PICTURES_OF_STEADINESS = 12, 24


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

    Frames keep their times, even uneven ones, and the clip keeps its colour space and range. It is turned upright, and
    its pixels become square. Sound is copied unchanged, or encoded anew if the new file cannot hold it. Reading,
    painting and writing overlap, and memory does not grow with the length of the clip. Progress is shown on stderr.

    If painting is interrupted, or the clip is damaged, the frames painted until then are written.

    Args:
        input_video: the clip, of any container and codec that FFmpeg reads.
        output_video: the clip to write: .mp4 (H.264; an odd side repeats its last row or column), .webm (VP9), or .gif,
            which has no sound.
        checkpoint: the model, anything that `magstyle.load_model` opens.
        engine: as for `Stylizer`: "litert" on this machine's CPU, "keras", or "auto".
        which_styles: a style by number or name, or {style: weight} for a mixture; for a walk several, or "all".
        walk: go from each of several styles to the next, from the first frame to the last.
        image_size: shorter side of the pictures, in pixels; that of the clip by default.
        mask: images, each with the style of its white area in every frame, as for `stylize_photos`; the area outside
            all masks takes `which_styles`, or stays unpainted if that is "photo".
        strength, stroke_size: as for `stylize_photos`.
        start: where to begin, in seconds from the clip's start.
        duration: seconds to paint; to the end by default.
        fps: frames per second to paint at most; the frames between are left out. All by default.
        preserve_color: keep the clip's colours and take only the strokes.
        steady: let strokes move with what they paint; painted one by one, frames flicker.

    Returns:
        The path of the painted clip.

    Raises:
        InputError: before any work, for a clip that cannot be read or does not fit into memory, styles that the model
            does not have, an output_video that exists already, or if `steady` needs OpenCV and it is missing. At the
            end, for a clip that is damaged. For a file that cannot be written.
    """
    options.check_value("strength", strength, limits.Strength)
    options.check_value("stroke_size", stroke_size, limits.StrokeSize)
    output = _checked_output(output_video)
    if steady:
        optical_flow.opencv()  # If it is missing, say so before any work.
    with codec.Clip(files.expanded(input_video), image_size, start, duration, fps) as clip:
        stylizer = Stylizer(checkpoint, engine)
        styles = _styles_over_time(which_styles, walk, stylizer, clip, clip_may_stay=len(mask) > 0)
        masks = _read_masks(mask, stylizer, clip)
        painter = _ClipPainter(stylizer, styles, masks, clip.size, strength, stroke_size, preserve_color)
        painter.check_size(steady)
        interruption = _write(output, clip, painter, steady)
    if isinstance(interruption, InputError):
        raise InputError(f"{interruption}; {output} holds the frames before", *interruption.arguments) from interruption
    if interruption:
        raise interruption
    return output


class _Styles(NamedTuple):
    """The weights [num_styles] that a clip is painted with.

    Attributes:
        at: gives the weights at a time, in seconds; None if the area outside all masks stays unpainted.
        ends: the weights that those at any time are mixed from.
    """

    at: Callable[[Fraction], np.ndarray | None]
    ends: Sequence[np.ndarray]


class _Masks(NamedTuple):
    """The masks of a clip.

    Attributes:
        areas: [H, W] in [0, 1] each, of the size of the frames.
        weights: [num_styles] of the white area of each.
    """

    areas: list[np.ndarray]
    weights: list[np.ndarray]


@dataclasses.dataclass
class _ClipPainter:
    """Paints the frames of a clip, first to last.

    Each frame goes through `paint`, then through `finish`, while the next one may be painted already. Without motion,
    each is painted by itself.
    """

    stylizer: Stylizer
    styles: _Styles
    masks: _Masks
    size: tuple[int, int]
    strength: float
    stroke_size: float
    preserve_color: bool

    def __post_init__(self) -> None:
        self._painter, self._steadiness = FramePainter(self.size, self.stroke_size), Steadiness()

    def check_size(self, steady: bool) -> None:
        """Raises an InputError if painting such frames does not fit into memory."""
        largest = self._painter.largest_canvas() if steady else self.size
        pictures = _PICTURES + (_PICTURES_OF_STEADINESS if steady else 0)
        keeps, styles_of_pixels = pictures * math.prod(self.size) * 3 * 4, 0
        if self.masks.areas:
            styles_of_pixels = int(np.count_nonzero(np.any([*self.masks.weights, *self.styles.ends], axis=0)))
            keeps += regions.needed(len(self.masks.areas), self.stylizer.network.num_styles, *largest)
        self.stylizer.check_size(*largest, keeps, regions=styles_of_pixels, stroke_size=self.stroke_size)

    def paint(self, frame: codec.Frame, motion: optical_flow.Motion | None) -> np.ndarray:
        """The picture of a frame, float32 [H, W, 3] in [0, 1]."""

        def stylize(canvas: np.ndarray, placement: Placement) -> np.ndarray:
            return self.stylizer.stylize(canvas, self._weights(frame.time, placement), stroke_size=self.stroke_size)

        image = images.to_float(frame.image)
        picture = self._painter.paint(image, motion, stylize)
        # The strength refers to the frame itself, not to the frame on its canvas.
        return strokes.with_strength(picture, image, self.strength)

    def finish(self, frame: codec.Frame, motion: optical_flow.Motion | None, picture: np.ndarray) -> np.ndarray:
        """The picture of a frame as it is written, uint8 [H, W, 3]."""
        picture = self._steadiness.steady(picture, motion)
        if self.preserve_color:
            picture = keep_color(images.to_float(frame.image), picture)
        if self.styles.at(frame.time) is None:
            image = images.to_float(frame.image)
            picture = image + regions.covered(self.masks.areas)[..., None] * (picture - image)
        return images.to_uint8(picture)

    def _weights(self, time: Fraction, placement: Placement) -> np.ndarray:
        """The weights [num_styles] of a frame or, with masks, those of each pixel of its canvas."""
        weights = self.styles.at(time)
        if self.masks.areas:
            areas = [placement.lay(area) for area in self.masks.areas]
            return regions.style_weights(areas, self.masks.weights, weights)
        assert weights is not None  # Only a clip with masks may stay as it is elsewhere.
        return weights


class _Pipeline:
    """Paints a frame while the next one is read and the one before is written, each on a thread of its own.

    A context manager: however its block ends, both threads are done then, and the error of a write that failed is
    raised.

    Args:
        frames: the frames to paint.
        write: writes a frame with its picture; called for one after the other.

    Attributes:
        written: how many frames have been written.
    """

    def __init__(
        self,
        frames: Iterator[MovingFrame],
        write: Callable[[codec.Frame, optical_flow.Motion | None, np.ndarray], None],
    ):
        self._frames, self._write = frames, write
        self._reading, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.written = 0
        # Not left to a future, which Ctrl-C might keep from the painting thread.
        self._failure: BaseException | None = None

    def __enter__(self) -> "_Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._join()
        finally:
            self._check()

    def run(self, paint: Callable[[codec.Frame, optical_flow.Motion | None], np.ndarray]) -> None:
        """Paints all frames.

        Args:
            paint: gives the picture of a frame.
        """
        following, writing = self._reading.submit(next, self._frames, None), None
        while (read := following.result()) is not None:
            following = self._reading.submit(next, self._frames, None)
            picture = paint(*read)
            if writing:
                writing.result()
            self._check()
            writing = self._writing.submit(self._write_one, *read, picture)

    def _write_one(self, frame: codec.Frame, motion: optical_flow.Motion | None, picture: np.ndarray) -> None:
        try:
            self._write(frame, motion, picture)
        except BaseException as error:
            self._failure = error
        else:
            self.written += 1

    def _join(self) -> None:
        try:
            self._reading.shutdown()
            self._writing.shutdown()
        except BaseException:  # A second Ctrl-C must not close the file while a frame is being written to it.
            self._join()
            raise

    def _check(self) -> None:
        if self._failure:
            raise self._failure


def _checked_output(output_video: str | os.PathLike) -> pathlib.Path:
    """The path to write to; raises an InputError if there is a file already, or the name is not that of a clip."""
    output = files.expanded(output_video)
    codec.check_writable(output)
    if output.exists():
        raise InputError(f"{output} exists already; remove it first, or choose another output_video", "output_video")
    return output


def _read_masks(mask: regions.Masks, stylizer: Stylizer, clip: codec.Clip) -> _Masks:
    mask_images, weights = regions.opened(mask, stylizer)
    for image in mask_images:
        regions.check_shape(image, clip.size, str(clip.path))
    return _Masks([regions.read(image, clip.size) for image in mask_images], weights)


def _write(output: pathlib.Path, clip: codec.Clip, painter: _ClipPainter, steady: bool) -> BaseException | None:
    """Writes a clip, painted.

    Returns:
        The error or interruption that ended it before its end, if frames had been written by then.
    """
    interruption: BaseException | None = None
    total = clip.duration and clip.rate and max(1, math.ceil(clip.duration * clip.rate))
    with (
        files.replacing(output) as temporary,
        codec.Writer(temporary, clip.size, clip.time_base, clip.rate, clip.colors, sound_of=clip) as writer,
        tqdm(total=total, unit="frame") as bar,
    ):

        def write(frame: codec.Frame, motion: optical_flow.Motion | None, picture: np.ndarray) -> None:
            writer.write(painter.finish(frame, motion, picture), frame.time, frame.duration)
            bar.update()

        pipeline = _Pipeline(_frames(clip, steady), write)
        try:
            with pipeline:
                pipeline.run(painter.paint)
        except (KeyboardInterrupt, SystemExit, InputError) as error:
            if not pipeline.written:
                raise
            interruption = error
    # Said only now, because completing the file may fail, too.
    for remark in writer.remarks:
        print(remark, file=sys.stderr)
    if interruption and not isinstance(interruption, InputError):
        print(f"interrupted after {pipeline.written} frames; these are written", file=sys.stderr)
    return interruption


def _frames(clip: codec.Clip, with_motion: bool) -> Iterator[MovingFrame]:
    """The frames of a clip, with their motions if wanted."""
    before = None
    for frame in clip.frames():
        yield frame, optical_flow.motion(before, frame.image) if with_motion and before is not None else None
        before = frame.image


def _styles_over_time(
    which_styles: Style | Sequence[Style], walk: bool, stylizer: Stylizer, clip: codec.Clip, clip_may_stay: bool
) -> _Styles:
    """The styles of a clip; "photo" is one of them if the clip may stay as it is."""
    names = stylizer.network.style_names
    if isinstance(which_styles, str) and which_styles == "all" and "all" not in names:
        which_styles = list(names)
    several = list(which_styles) if isinstance(which_styles, list | tuple | np.ndarray) else [cast(Style, which_styles)]
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
        return _Styles(lambda time: None, [])
    weights = [stylizer.style_weights(style) for style in several]
    if not walk:
        return _Styles(lambda time: weights[0], weights)
    if not clip.duration:
        raise InputError(
            f"{clip.path} does not say how long it is, which walk must know; give duration", "walk", "duration"
        )
    last = clip.duration - (1 / clip.rate if clip.rate else 0)

    def weights_at(time: Fraction) -> np.ndarray:
        place = min(1.0, float(time / last)) * (len(weights) - 1) if last > 0 else 0.0
        before = min(int(place), len(weights) - 2)
        return weights[before] + np.float32(place - before) * (weights[before + 1] - weights[before])

    return _Styles(weights_at, weights)
