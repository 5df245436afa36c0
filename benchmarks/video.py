"""Do reading, painting and writing a clip overlap? Frames per second of `stylize_video`, and of painting alone.

Painting alone paints frames that are already in memory, one by one, including motion and steadiness if pictures are
steady. Both run in turns in one process, each with a new `Stylizer`, like a program.
"""

import itertools
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

import measuring
from magstyle import Stylizer, stylize_video
from magstyle.data import images
from magstyle.video import codec, optical_flow
from magstyle.video.steadiness import FramePainter, Steadiness

COLUMNS = ["clip", "frames", "steady", "painting alone, frames/s", "stylize_video, frames/s", "stylize_video / alone"]


def measure(
    clips: Sequence[str], model: str, image_size: int, num_frames: int, repetitions: int
) -> Iterator[list[str]]:
    for path in clips:
        with codec.Clip(path, image_size) as clip:
            frames = list(itertools.islice(clip.frames(), num_frames))
        duration = float(frames[-1].time - frames[0].time + frames[-1].duration)
        for steady in (False, True):
            calls = {
                "alone": lambda frames=frames, steady=steady: paint([frame.image for frame in frames], model, steady),
                "clip": lambda path=path, duration=duration, steady=steady: paint_clip(
                    path, model, image_size, duration, steady
                ),
            }
            times = measuring.in_turns(calls, repetitions)
            height, width, _ = frames[0].image.shape
            yield [
                f"{pathlib.Path(path).stem}, {width} x {height}",
                str(len(frames)),
                "yes" if steady else "no",
                *(f"{len(frames) / np.median(times[name]):.2f}" for name in ("alone", "clip")),
                f"{np.median(times['alone'] / times['clip']):.2f}",
            ]


def paint(frames: Sequence[np.ndarray], model: str, steady: bool) -> None:
    """Paints frames, uint8, without reading or writing any."""
    stylizer, painter, steadiness = Stylizer(model), FramePainter(frames[0].shape[:2]), Steadiness()
    before = None
    for frame in frames:
        motion = optical_flow.motion(before, frame) if steady and before is not None else None
        picture = painter.paint(images.to_float(frame), motion, lambda canvas: stylizer.stylize(canvas, 0))
        steadiness.steady(picture, motion)
        before = frame


def paint_clip(path: str, model: str, image_size: int, duration: float, steady: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder, "painted.mp4")
        stylize_video(path, output, checkpoint=model, image_size=image_size, duration=duration, steady=steady)


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=3)
    parser.add_argument("--clips", nargs="+", required=True, help="clips to paint")
    parser.add_argument("--model", default="painters", help="the model that paints them")
    parser.add_argument("--image_size", type=int, default=480, help="shorter side of the frames")
    parser.add_argument("--num_frames", type=int, default=24, help="of each clip, from its start")
    flags = parser.parse_args()
    measuring.print_table(COLUMNS, measure(**vars(flags)))
