"""Are pictures painted at their borders as they are inside? For several margins, 0 being the network alone.

The middle of a photo is painted, and compared with the middle of the painted photo: there, the photo goes on where the
picture ends. "Detail" is the energy of the differences between neighbouring pixels, in strips along the borders over
strips inside; "lines" is the energy of the differences between rows (or columns) of the mean colours of each, in strips
along the borders. Both are divided by the same of the middle of the painted photo, so 1 is best: less detail is pale,
more lines are lines along the border. The last row has the means, and the time of a photo of 1024 x 768 pixels.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

import measuring
from magstyle.data import images
from magstyle.painting import margin
from magstyle.painting.stylizer import Stylizer

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
# How far a photo goes on beyond its middle, in pixels.
BEYOND = 48
# Widths of the strips along borders, and where those inside begin and end.
STRIP, INSIDE = 16, (32, 48)
PHOTO = (768, 1024)


def columns(margins: Sequence[int]) -> list[str]:
    return ["style", *(f"{name}, {pixels}" for name in ("detail", "lines", "time / bare") for pixels in margins)]


def measure(
    photos: Sequence[str], model: str, styles: Sequence[str], margins: Sequence[int], repetitions: int
) -> Iterator[list[str]]:
    stylizer = Stylizer(model)
    read = [images.read_image(photo) for photo in photos]
    rows = []
    for style in styles or stylizer.network.style_names:
        found = np.mean([compare(stylizer, photo, style, margins) for photo in read], axis=0)
        rows.append(found.T.reshape(-1))
        yield [style, *(f"{figure:.2f}" for figure in rows[-1]), *[""] * len(margins)]
    # A stylizer for each margin, since every change of size takes time.
    stylizers = {pixels: Stylizer(model) for pixels in {0, *margins}}
    calls = {
        pixels: lambda pixels=pixels, stylizer=stylizer: paint(stylizer, np.zeros((*PHOTO, 3), np.float32), 0, pixels)
        for pixels, stylizer in stylizers.items()
    }
    times = measuring.in_turns(calls, repetitions)
    ratios = [np.median(times[pixels] / times[0]) for pixels in margins]
    yield ["all", *(f"{figure:.2f}" for figure in [*np.mean(rows, axis=0), *ratios])]


def compare(stylizer: Stylizer, photo: np.ndarray, style: str, margins: Sequence[int]) -> np.ndarray:
    """The detail and the lines for each margin, [margins, 2]."""
    # The grid of the coarsest features, 4 pixels wide, lies on both alike.
    whole, middle = paint(stylizer, photo, style, margin.MARGIN), photo[BEYOND:-BEYOND, BEYOND:-BEYOND]
    return np.array([figures(paint(stylizer, middle, style, pixels)) for pixels in margins]) / figures(
        whole[BEYOND:-BEYOND, BEYOND:-BEYOND]
    )


def paint(stylizer: Stylizer, photo: np.ndarray, style: str | int, pixels: int) -> np.ndarray:
    """The picture of a photo, with a margin of this many pixels."""
    with changed(pixels):
        return stylizer.stylize(photo, style)


@contextlib.contextmanager
def changed(pixels: int) -> Iterator[None]:
    before, margin.MARGIN = margin.MARGIN, pixels
    try:
        yield
    finally:
        margin.MARGIN = before


def figures(picture: np.ndarray) -> np.ndarray:
    """Detail and lines of a picture, [2]."""
    turned = [np.rot90(picture, k) for k in range(4)]  # Each has another border on top.
    border, inside = (sum(detail(side[start:stop]) for side in turned) for start, stop in ((0, STRIP), INSIDE))
    lines = sum(np.square(np.diff(side[:STRIP].mean(axis=1), axis=0)).mean() for side in turned)
    return np.array([border / inside, lines])


def detail(strip: np.ndarray) -> float:
    """The energy of the differences between neighbouring pixels."""
    return sum(float(np.square(np.diff(strip, axis=axis)).mean()) for axis in (0, 1))


if __name__ == "__main__":
    parser = measuring.parser(__doc__, repetitions=9)
    examples = sorted(map(str, EXAMPLES.glob("*.jpg")))
    parser.add_argument("--photos", nargs="+", default=examples, help="photos with sides from 200 pixels")
    parser.add_argument("--model", default="painters", help="the model that paints them")
    parser.add_argument("--styles", nargs="*", default=[], help="of the model; all if none is given")
    parser.add_argument("--margins", type=int, nargs="+", default=[0, margin.MARGIN], help="in pixels, multiples of 4")
    flags = parser.parse_args()
    measuring.print_table(columns(flags.margins), measure(**vars(flags)))
