"""How fast are the two engines, compared with the same network of plain layers? All paint the same photo in turns."""

from collections.abc import Iterator, Sequence

import numpy as np

import measuring
import networks
from magstyle.checkpoints import model_files
from magstyle.painting.engines import KerasEngine, LiteRTEngine

COLUMNS = [
    *("alpha", "pixels", "plain, s", "keras, s", "litert, s", "plain / keras", "plain / litert", "largest difference")
]


def measure(alphas: Sequence[float], sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for alpha in alphas:
        ours = networks.style_transformer(alpha)
        plain = networks.of_keras_layers(ours)
        engines = {"keras": KerasEngine(ours), "litert": LiteRTEngine(model_files.read_network(ours))}
        for side in sides:
            photo, weights = (
                np.random.default_rng(0).random((side, side, 3), np.float32),
                np.eye(4, dtype=np.float32)[0],
            )
            calls = {
                name: lambda engine=engine, photo=photo, weights=weights: engine.paint(
                    photo, weights, lambda share: None
                )
                for name, engine in {"plain": KerasEngine(plain), **engines}.items()
            }
            difference = max(np.abs(calls[name]() - calls["plain"]()).max() for name in engines)
            times = measuring.in_turns(calls, repetitions)
            yield [
                f"{alpha:g}",
                f"{side} x {side}",
                f"{np.median(times['plain']):.3f}",
                *(f"{np.median(times[name]):.3f}" for name in engines),
                *(f"{np.median(times['plain'] / times[name]):.2f}" for name in engines),
                f"{difference:.1e}",
            ]


if __name__ == "__main__":
    flags = measuring.parser(__doc__, alphas=[1.0, 0.25], sides=[256, 512, 1024], repetitions=5).parse_args()
    measuring.print_table(COLUMNS, measure(flags.alphas, flags.sides, flags.repetitions))
