"""How long is the set-up of a file for images of any size, relative to a picture, and how much of it is taking memory?

XNNPACK either keeps the addresses of pixels, for more pictures of the same size, or computes them afresh for each.

The set-up is the time to open a file and the extra time of its first picture. `memory alone` is the time to take the
same memory from the system, page by page, without any work. The numbers are medians of processes.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

import litert_opening
import measuring
import networks
from magstyle.export import tflite

COLUMNS = ["alpha", "pixels", "addresses", "seconds", "memory, MiB", "set-up / seconds", "memory alone / seconds"]


def measure(alphas: Sequence[float], sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for alpha in alphas:
        content = tflite.convert(networks.style_transformer(alpha), 0)
        for side, keep_addresses in itertools.product(sides, (True, False)):
            options = {"repetitions": 3, "keep_addresses": keep_addresses}
            openings = [litert_opening.measure(content, side, **options) for _ in range(repetitions)]
            first, later, memory, taking = np.transpose(openings)
            yield [
                *(f"{alpha:g}", f"{side} x {side}", "kept" if keep_addresses else "computed anew"),
                *(f"{np.median(later):.3f}", f"{np.median(memory) / 2**20:.0f}"),
                f"{np.median(first / later - 1):.2f}",
                f"{np.median(taking / later):.2f}",
            ]


if __name__ == "__main__":
    flags = measuring.parser(__doc__, alphas=[1.0, 0.5, 0.25], sides=[384, 1024, 2048], repetitions=5).parse_args()
    measuring.print_table(COLUMNS, measure(**vars(flags)))
