"""How fast is the network, beside the same of plain layers? Both paint the same photo, in turns, in one process."""

from collections.abc import Iterator, Sequence

import numpy as np

import measuring
import networks

COLUMNS = ["alpha", "pixels", "plain, s", "ours, s", "plain / ours", "largest difference"]


def measure(alphas: Sequence[float], sides: Sequence[int], repetitions: int) -> Iterator[list[str]]:
    for alpha in alphas:
        ours = networks.style_transformer(alpha)
        plain = networks.of_keras_layers(ours)
        for side in sides:
            inputs = [np.random.default_rng(0).random((1, side, side, 3), np.float32), np.eye(4, dtype=np.float32)[:1]]
            difference = np.abs(ours.predict_on_batch(inputs) - plain.predict_on_batch(inputs)).max()
            calls = {
                "plain": lambda inputs=inputs, model=plain: model.predict_on_batch(inputs),
                "ours": lambda inputs=inputs, model=ours: model.predict_on_batch(inputs),
            }
            times = measuring.in_turns(calls, repetitions)
            yield [
                f"{alpha:g}",
                f"{side} x {side}",
                f"{np.median(times['plain']):.3f}",
                f"{np.median(times['ours']):.3f}",
                f"{np.median(times['plain'] / times['ours']):.2f}",
                f"{difference:.1e}",
            ]


if __name__ == "__main__":
    flags = measuring.parser(__doc__, alphas=[1.0, 0.25], sides=[256, 512, 1024], repetitions=5).parse_args()
    measuring.print_table(COLUMNS, measure(flags.alphas, flags.sides, flags.repetitions))
