"""How long does a step of training take, and what do fine-tuning, XLA and mixed precision save?

A plain step trains the same network made of plain layers; the largest difference is the relative difference between
their losses. The columns of the variants give their speed relative to training. All run in turns in one process, in
float32 except for mixed precision.
"""

import pathlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np

import measuring
import networks

COLUMNS = ["VGG", "alpha", "training, s per step", "plain / training", "largest difference"]
VARIANTS = ["fine-tuning", "jit_compile", "mixed_precision"]


def measure(
    alphas: Sequence[float],
    variants: Sequence[str],
    vgg_checkpoint: str,
    image_size: int,
    batch_size: int,
    repetitions: int,
) -> Iterator[list[str]]:
    batch = {
        "image": np.random.default_rng(0).random((batch_size, image_size, image_size, 3), np.float32),
        "label": np.arange(batch_size, dtype=np.int32) % 4,
    }
    for alpha in alphas:
        models = {
            name: networks.style_training(alpha, vgg_checkpoint, plain=name == "plain")
            for name in ("training", "plain")
        }
        losses, plain_losses = (model.predict_on_batch(batch) for model in models.values())
        difference = max(np.abs(losses[name] / plain - 1).max() for name, plain in plain_losses.items())
        for variant in variants:
            keras.mixed_precision.set_global_policy("mixed_bfloat16" if variant == "mixed_precision" else "float32")
            models[variant] = networks.style_training(
                alpha, vgg_checkpoint, frozen=variant == "fine-tuning", jit_compile=variant == "jit_compile"
            )
        keras.mixed_precision.set_global_policy("float32")
        calls = {name: lambda model=model: model.train_on_batch(batch) for name, model in models.items()}
        times = measuring.in_turns(calls, repetitions)
        yield [
            pathlib.Path(vgg_checkpoint).stem,
            f"{alpha:g}",
            f"{np.median(times['training']):.3f}",
            f"{np.median(times['plain'] / times['training']):.2f}",
            f"{difference:.1e}",
            *(f"{np.median(times['training'] / times[variant]):.2f}" for variant in variants),
        ]


if __name__ == "__main__":
    parser = measuring.parser(__doc__, alphas=[1.0, 0.25], repetitions=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, help="compared with training")
    parser.add_argument("--vgg_checkpoint", default="random:0", help="the loss network")
    parser.add_argument("--image_size", type=int, default=256, help="side of the photos, in pixels")
    parser.add_argument("--batch_size", type=int, default=2, help="photos per step")
    flags = parser.parse_args()
    measuring.print_table([*COLUMNS, *flags.variants], measure(**vars(flags)))
