"""Do steady pictures of a clip flicker less, and keep their style? Clips in files, and pans and zooms over photos.

For each, means over the styles: the warping error of the clip itself; that of steady pictures, as part of that of
frames painted one by one; and how many per cent higher their style loss is. With --vary, the same for other values of
the constants that were tuned, each in rows of its own.
"""

import contextlib
import importlib
import pathlib
import tempfile
import unittest.mock
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

import measuring
from magstyle.evaluation.measures import Evaluation
from magstyle.training.jobs import StylesObjective
from magstyle.video import codec

PHOTO = pathlib.Path(__file__).resolve().parents[1] / "examples" / "coffee.jpg"
COLUMNS = ["clip", "of the clip", "steady / one by one", "worst style", "style loss, + %", "worst style, + %"]
# The motion per frame in its pixels, and the factor by which the visible width changes per frame.
PAN, SLOW_PAN, ZOOM = (2.3, 0.4), (0.6, 0.0), 0.988
RATE = 25


def measure(
    clips: Sequence[str],
    photos: Sequence[str],
    model: str,
    style_dataset_file: str,
    vgg_checkpoint: str,
    image_size: int,
    num_frames: int,
    vary: Sequence[str],
) -> Iterator[list[str]]:
    # This photo is not used, only the clips.
    objective = StylesObjective(content_files=PHOTO, vgg_checkpoint=vgg_checkpoint, image_size=image_size, batch_size=1)
    evaluation = Evaluation(style_dataset_file, objective)
    transformer = evaluation.open(model)
    with tempfile.TemporaryDirectory() as folder:
        moving = []
        for photo in photos:
            for name, step, zoom in (("pan", PAN, 1.0), ("slow pan", SLOW_PAN, 1.0), ("zoom", (0.0, 0.0), ZOOM)):
                moving.append(pathlib.Path(folder, f"{name} over {pathlib.Path(photo).stem}.mp4"))
                write_moving(moving[-1], photo, image_size, num_frames, step, zoom)
        for clip in [*clips, *moving]:
            frames = evaluation.read_clip(clip, num_frames)
            for constant in ["", *vary]:
                with changed(constant) if constant else contextlib.nullcontext():
                    found = evaluation.measure_steadiness(transformer, frames)
                yield [f"{pathlib.Path(clip).stem} {constant}".rstrip(), *figures(found)]


def figures(found: dict[str, np.ndarray]) -> list[str]:
    """The columns of a row, from the result of `Evaluation.measure_steadiness`."""
    ratio = found["warping_error/steady"] / found["warping_error/one_by_one"]
    more = 100 * (found["relative_style_loss/steady"] / found["relative_style_loss/one_by_one"] - 1)
    return [
        f"{found['warping_error/clip'].mean():.3f}",
        f"{ratio.mean():.2f}",
        f"{ratio.max():.2f}",
        f"{more.mean():.0f}",
        f"{more.max():.0f}",
    ]


def changed(constant: str) -> contextlib.AbstractContextManager:
    """A block in which a constant of magstyle.video has another value, as in "steadiness._TRACE=0.16"."""
    name, value = constant.split("=")
    module, attribute = name.split(".")
    number = float(value)
    return unittest.mock.patch.object(
        importlib.import_module(f"magstyle.video.{module}"), attribute, int(number) if number.is_integer() else number
    )


def write_moving(
    path: pathlib.Path, photo: str, side: int, num_frames: int, step: tuple[float, float], zoom: float
) -> None:
    """Writes a clip of a camera moving over a photo; halfway through, it sees 80 % of the shorter side."""
    image = Image.open(photo).convert("RGB")
    scale = 0.8 * min(image.size) / side
    height, width = side, side * 4 // 3 // 4 * 4
    middle = np.array(image.size) / 2
    size = (height, width)
    with codec.Writer(path, size, Fraction(1, RATE), Fraction(RATE)) as writer:
        for k in range(num_frames):
            away = k - num_frames / 2
            pixel = scale * zoom**away
            left, top = middle + scale * away * np.array(step) - pixel * np.array([width, height]) / 2
            box = (left, top, left + pixel * width, top + pixel * height)
            seen = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
            writer.write(np.asarray(seen), Fraction(k, RATE), Fraction(1, RATE))


if __name__ == "__main__":
    parser = measuring.parser(__doc__)
    parser.add_argument("--clips", nargs="*", default=[], help="clips")
    parser.add_argument("--photos", nargs="*", default=[], help="photos to pan and zoom over")
    parser.add_argument("--model", default="painters", help="the model that paints them")
    parser.add_argument("--style_dataset_file", required=True, help="the model's paintings")
    parser.add_argument("--vgg_checkpoint", default="imagenet", help="the network that measures the style")
    parser.add_argument("--image_size", type=int, default=256, help="shorter side of the frames")
    parser.add_argument("--num_frames", type=int, default=24, help="of each clip, from its start")
    parser.add_argument("--vary", nargs="*", default=[], help="other values, such as steadiness._TRACE=0.16")
    flags = parser.parse_args()
    measuring.print_table(COLUMNS, measure(**vars(flags)))
