"""How often do the measures prefer the picture that people prefer?

A CSV file has a line for each pair of pictures that somebody has looked at, under the line
`painting,photo,better,worse`: the files of the painting, of the photo, and of both pictures of it. A measure agrees if
it is smaller for the better picture. Style, content and palette are those of any_painting.py, pattern and mesh those of
`magstyle evaluate`.
"""

import csv
import pathlib
from collections.abc import Iterator

import numpy as np

import any_painting
import measuring
from magstyle import losses
from magstyle.checkpoints.vgg_files import load_vgg
from magstyle.data import images
from magstyle.evaluation import appearance

COLUMNS = ["measure", "agrees, %", "pairs"]


def measure(pairs: str, vgg_checkpoint: str, image_size: int) -> Iterator[list[str]]:
    vgg = any_painting.judging(load_vgg(vgg_checkpoint))
    folder = pathlib.Path(pairs).parent
    with open(pairs, newline="", encoding="utf-8") as file:
        rows = [{name: str(folder / path) for name, path in row.items()} for row in csv.DictReader(file)]
    smaller: dict[str, list[bool]] = {}
    for row in rows:
        judge = any_painting.Judge(vgg, [row["photo"]], image_size)
        judge.look_at(row["painting"])
        better, worse = (
            _measures(row, images.read_image(row[name], image_size), judge) for name in ("better", "worse")
        )
        for name, value in better.items():
            smaller.setdefault(name, []).append(value < worse[name])
    for name, agrees in sorted(smaller.items(), key=lambda item: -np.mean(item[1])):
        yield [name, f"{100 * np.mean(agrees):.0f}", str(len(agrees))]


def _measures(pair: dict[str, str], picture: np.ndarray, judge: any_painting.Judge) -> dict[str, float]:
    """What the measures say of a picture, by name; 0 is best."""
    found = dict(zip(any_painting.MEASURES, judge.judge(lambda *_: picture, pair["painting"]), strict=True))
    side = min(picture.shape[:2])
    target, photo = (appearance.pattern(images.read_image(pair[name], side)) for name in ("painting", "photo"))
    found["pattern"] = appearance.distance(appearance.pattern(picture), target) / appearance.distance(photo, target)
    found["mesh"] = float(losses.mesh_loss(picture[None])[0])
    return found


if __name__ == "__main__":
    parser = measuring.parser(__doc__)
    parser.add_argument("--pairs", required=True, help="the CSV file; its paths are relative to its folder")
    parser.add_argument("--vgg_checkpoint", default="imagenet", help="the network that measures, a VGG-16")
    parser.add_argument(
        "--image_size", type=int, default=256, help="shorter side of all images, in pixels: best that of the pictures"
    )
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
