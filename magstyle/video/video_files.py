"""Clips in files to painted clips in files, with their sound."""

import contextlib
import functools
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
from tqdm import tqdm

from magstyle import files, options
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.names import counted
from magstyle.painting import strokes
from magstyle.painting.regions import Part, Regions, blended
from magstyle.painting.stylizer import Stylizer, listed
from magstyle.video import codec, optical_flow
from magstyle.video.jobs import ClipJob
from magstyle.video.steadiness import FramePainter, Steadiness

# A frame, with its motion from the previous one if pictures are to be steady and there is one.
MovingFrame = tuple[codec.Frame, optical_flow.Motion | None]
# The weights [num_styles] of the area outside all masks, given a time in seconds; None if it stays unpainted.
_StyleAt = Callable[[Fraction], np.ndarray | None]
# The parts of a frame, each with the whole picture in its style, float32 [H, W, 3] in [0, 1].
_Layers = list[tuple[Part, np.ndarray]]
# The number of float32 pictures of a frame's size in memory at a time: those being read, painted and written; and those
# that motion and steadiness add, as measured. For each style beyond the first, these are two that are painted or
# finished, the strokes of the one before, and the one before as it was finished.
_PICTURES, _PICTURES_OF_STEADINESS, _PICTURES_OF_STYLE = 12, 24, 4


@options.takes(ClipJob)
def stylize_video(job: ClipJob) -> pathlib.Path:
    """Paints a clip in a style of a model, and keeps its sound.

    Frames keep their times, even uneven ones. The clip keeps its colour space and range; HDR and wide gamuts become
    SDR. It is turned upright, its pixels become square, interlaced frames are deinterlaced, and transparency becomes
    white. Sound is copied unchanged, encoded anew if the new file cannot hold it, or left out if that fails. Reading,
    painting and writing overlap, and memory does not grow with the length of the clip. stderr shows the progress, and
    says what differs from the clip.

    If painting is interrupted, or the clip is damaged, the frames painted until then are written.

    Returns:
        The path of the painted clip.

    Raises:
        InputError: before any work, for a clip that cannot be read or does not fit into memory, styles that the model
            does not have, an output_video that exists already, or if `steady` needs OpenCV and it is missing. At the
            end, for a clip that is damaged. For a file that cannot be written.
    """
    output = _checked_output(job.output_video)
    if job.steady:
        optical_flow.opencv()  # If it is missing, say so before any work.
    fps = min((fps for fps in (job.fps, codec.fastest(output)) if fps), default=None)
    with codec.Clip(files.expanded(job.input_video), job.image_size, job.start, job.duration, fps) as clip:
        painter = _ClipPainter(job, clip)
        painter.check_size()
        interruption = _write(output, clip, painter, job.steady)
    if isinstance(interruption, InputError):
        raise InputError(f"{interruption}; {output} holds the frames before", *interruption.arguments) from interruption
    if interruption:
        raise interruption
    return output


class _ClipPainter:
    """Paints the frames of a clip, first to last.

    Each frame goes through `paint`, then through `finish`, while the next one may be painted already. Without motion,
    each is painted by itself. Every style paints whole frames, and is kept steady by itself, so that nothing in motion
    carries the strokes of one style into the region of another.

    Args:
        job: the styles, and how to paint.
        clip: the clip.

    Raises:
        InputError: for a model, styles, masks or colours that cannot be used.
    """

    def __init__(self, job: ClipJob, clip: codec.Clip):
        self._job, self._size = job, clip.size
        self._stylizer = Stylizer(job.model, job.engine)
        self._regions = Regions(job.mask, self._stylizer)
        self._style_at = _styles_over_time(job, self._stylizer, self._regions, clip)
        self._regions.check_shape(clip.size, str(clip.path))
        self._areas = self._regions.read(clip.size)
        _ = job.colors  # An image that cannot be read is refused now.
        most = len(job.mask) + 1  # Styles: one for each mask, and one for the rest.
        self._painters = [FramePainter(clip.size, job.stroke_size) for _ in range(most)]
        self._steadiness = [Steadiness() for _ in range(most)]

    def check_size(self) -> None:
        """Raises an InputError if painting such frames does not fit into memory."""
        largest = self._painters[0].largest_canvas() if self._job.steady else self._size
        pictures = _PICTURES + (_PICTURES_OF_STEADINESS if self._job.steady else 0)
        pictures += _PICTURES_OF_STYLE * (len(self._painters) - 1)
        keeps = pictures * math.prod(self._size) * 3 * 4 + self._regions.memory(*self._size)
        self._stylizer.check_size(*largest, keeps, stroke_size=self._job.stroke_size, finish=False)

    def paint(self, frame: codec.Frame, motion: optical_flow.Motion | None) -> _Layers:
        """The pictures of a frame in the styles that are seen."""
        image, layers = images.to_float(frame.image), []
        parts = self._regions.parts(self._areas, self._style_at(frame.time))
        for painter, part in zip(self._painters, parts, strict=False):
            stylize = functools.partial(
                self._stylizer.stylize,
                style_weights=part.weights,
                stroke_size=self._job.stroke_size,
                finish=False,
            )
            picture = painter.paint(image, motion, stylize)
            # The strength refers to the frame itself, not to the frame on its canvas.
            layers.append((part, strokes.with_strength(picture, image, self._job.strength)))
        return layers

    def finish(self, frame: codec.Frame, motion: optical_flow.Motion | None, layers: _Layers) -> np.ndarray:
        """The picture of a frame as it is written, uint8 [H, W, 3]."""
        image, parts = images.to_float(frame.image), [part for part, _ in layers]
        pictures = (
            steadiness.steady(picture, motion)
            for steadiness, (_, picture) in zip(self._steadiness, layers, strict=False)
        )
        picture = self._job.recolor(image, blended(parts, pictures))
        if self._style_at(frame.time) is None:
            picture = self._regions.leave_rest(self._areas, image, picture)
        return images.to_uint8(picture)


class _Pipeline:
    """Paints a frame while the next one is read and the previous one is written, each on a thread of its own.

    A context manager: however its block ends, both threads are done then, and the error of a write that failed is
    raised.

    Args:
        frames: the frames to paint.
        write: writes a frame with its pictures; called for one after the other.

    Attributes:
        written: the number of frames written so far.
    """

    def __init__(
        self,
        frames: Iterator[MovingFrame],
        write: Callable[[codec.Frame, optical_flow.Motion | None, _Layers], None],
    ):
        self._frames, self._write = frames, write
        self._reading, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.written = 0
        # It is not left to a future, which Ctrl-C might keep from the painting thread.
        self._failure: BaseException | None = None

    def __enter__(self) -> "_Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._join()
        finally:
            self._check()

    def run(self, paint: Callable[[codec.Frame, optical_flow.Motion | None], _Layers]) -> None:
        """Paints all frames.

        Args:
            paint: gives the pictures of a frame.
        """
        following, writing = self._reading.submit(next, self._frames, None), None
        while (read := following.result()) is not None:
            following = self._reading.submit(next, self._frames, None)
            layers = paint(*read)
            if writing:
                writing.result()
            self._check()
            writing = self._writing.submit(self._write_one, *read, layers)

    def _write_one(self, frame: codec.Frame, motion: optical_flow.Motion | None, layers: _Layers) -> None:
        try:
            self._write(frame, motion, layers)
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
    files.check_new(output, "output_video")
    return output


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

        def write(frame: codec.Frame, motion: optical_flow.Motion | None, layers: _Layers) -> None:
            writer.write(painter.finish(frame, motion, layers), frame.time, frame.duration)
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
    remarks = [*clip.remarks, *writer.remarks]
    if interruption and not isinstance(interruption, InputError):
        remarks.append(f"interrupted after {counted(pipeline.written, 'frame')}; the clip so far is written")
    with contextlib.suppress(OSError):  # After SIGHUP, the terminal has gone.
        print("".join(f"{remark}\n" for remark in remarks), end="", file=sys.stderr)
    return interruption


def _frames(clip: codec.Clip, with_motion: bool) -> Iterator[MovingFrame]:
    """The frames of a clip, with their motions if wanted."""
    before = None
    for frame in clip.frames():
        yield frame, optical_flow.motion(before, frame.image) if with_motion and before is not None else None
        before = frame.image


def _styles_over_time(job: ClipJob, stylizer: Stylizer, regions: Regions, clip: codec.Clip) -> _StyleAt:
    """The styles of a clip; with masks, "photo" may be one of them."""
    several = listed(job.which_styles, stylizer.network.style_names)
    if job.walk and len(several) < 2:
        raise InputError(
            f"walk leads from style to style, and which_styles={job.which_styles} is only one", "walk", "which_styles"
        )
    if not job.walk and len(several) != 1:
        raise InputError(
            f"which_styles={job.which_styles} must be one style or a mixture; walk leads from each of several to the "
            "next",
            *("which_styles", "walk"),
        )
    if not job.walk:
        weights = regions.of_rest(several[0], stylizer)
        return lambda time: weights
    return _walk([stylizer.style_weights(style) for style in several], clip)


def _walk(weights: Sequence[np.ndarray], clip: codec.Clip) -> _StyleAt:
    """From each of several weights [num_styles] to the next, from the first frame of a clip to the last."""
    if not clip.duration:
        raise InputError(
            f"{clip.path} does not say how long it is, which walk must know; give duration", "walk", "duration"
        )
    last = clip.duration - (1 / clip.rate if clip.rate else 0)

    def weights_at(time: Fraction) -> np.ndarray:
        place = min(1.0, float(time / last)) * (len(weights) - 1) if last > 0 else 0.0
        before = min(int(place), len(weights) - 2)
        return weights[before] + np.float32(place - before) * (weights[before + 1] - weights[before])

    return weights_at
