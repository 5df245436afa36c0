"""How much memory and time does a photo take, and does `Stylizer` foresee it?

The peak is that of the process, which stylises all photos, from small to large. What is foreseen is the least that will
do: LiteRT takes more where it is free, to paint photos of a few megapixels in one piece, which is faster than tiles.
"""

import resource
import sys
from collections.abc import Iterator, Sequence

import numpy as np

import measuring
import networks
from magstyle.painting import memory
from magstyle.painting.stylizer import Stylizer

COLUMNS = ["alpha", "photo", "peak, GiB", "foreseen, GiB", "seconds", "s / megapixel"]


def measure(engine: str, alphas: Sequence[float], photos: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    models = {alpha: networks.style_transformer(alpha) for alpha in alphas}
    for model in models.values():
        Stylizer(model, engine).stylize(np.zeros((64, 64, 3)), 0)
    before = peak_memory()
    # The peak of a process never falls, so from small to large.
    cases = sorted(
        (memory.needed(model.convolutions, engine, height, width), alpha, width, height)
        for alpha, model in models.items()
        for width, height in photos
    )
    for needed, alpha, width, height in cases:
        stylizer = Stylizer(models[alpha], engine)  # The last one's graph goes.
        photo = np.random.default_rng(0).random((height, width, 3), np.float32)
        took = measuring.seconds(lambda photo=photo, stylizer=stylizer: stylizer.stylize(photo, 0))
        yield [
            f"{alpha:g}",
            f"{width} x {height}",
            f"{peak_memory() / 2**30:.2f}",
            f"{(before + needed) / 2**30:.2f}",
            f"{took:.1f}",
            f"{took / (width * height / 1e6):.2f}",
        ]


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def size(text: str) -> tuple[int, int]:
    """Width and height of `WIDTHxHEIGHT`."""
    width, height = map(int, text.split("x"))
    return width, height


if __name__ == "__main__":
    parser = measuring.parser(__doc__, alphas=[1.0, 0.25])
    megapixels = [(3000, 2000), (4000, 3000), (6000, 4000)]
    parser.add_argument("--photos", type=size, nargs="+", default=megapixels, help="WIDTHxHEIGHT, in pixels")
    parser.add_argument("--engine", default="litert", choices=["litert", "keras"], help="what computes")
    flags = parser.parse_args()
    measuring.print_table(COLUMNS, measure(flags.engine, flags.alphas, flags.photos))
