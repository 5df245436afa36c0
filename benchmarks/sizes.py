"""Does a folder of photos of many sizes take longer than one of equal sizes? Both run in turns in one process.

The photos have as many pixels in total. Every round begins with a new `Stylizer`, like a program.
"""

from collections.abc import Iterator, Sequence

import numpy as np

import measuring
import networks
from magstyle.checkpoints import model_files
from magstyle.painting.stylizer import Stylizer

COLUMNS = ["engine", "alpha", "photos", "equal, s", "many sizes, s", "many / equal"]
# Height over width.
SHAPES = (1.0, 3 / 2, 2 / 3, 4 / 3, 3 / 4, 16 / 9, 9 / 16, 5 / 4, 4 / 5, 7 / 5, 5 / 7, 6 / 5)


def measure(
    engines: Sequence[str], alphas: Sequence[float], sides: Sequence[int], repetitions: int
) -> Iterator[list[str]]:
    for alpha in alphas:
        network = model_files.read_network(networks.style_transformer(alpha))
        for side in sides:
            equal = [(side, side)] * len(SHAPES)
            many = [(round(side * shape**0.5), round(side / shape**0.5)) for shape in SHAPES]
            for engine in engines:
                calls = {
                    name: lambda network=network, engine=engine, photos=photos: paint(Stylizer(network, engine), photos)
                    for name, photos in {"equal": equal, "many": many}.items()
                }
                times = measuring.in_turns(calls, repetitions)
                yield [
                    engine,
                    f"{alpha:g}",
                    f"{len(SHAPES)} of {side * side / 1e6:.1f} megapixels",
                    f"{np.median(times['equal']):.2f}",
                    f"{np.median(times['many']):.2f}",
                    f"{np.median(times['many'] / times['equal']):.2f}",
                ]


def paint(stylizer: Stylizer, photos: Sequence[tuple[int, int]]) -> None:
    stylizer.expect(photos)
    for height, width in photos:
        stylizer.stylize(np.random.default_rng(0).random((height, width, 3), np.float32), 0)


if __name__ == "__main__":
    flags = measuring.parser(
        __doc__, engines=["litert", "keras"], alphas=[0.5], sides=[512, 1024], repetitions=3
    ).parse_args()
    measuring.print_table(COLUMNS, measure(**vars(flags)))
