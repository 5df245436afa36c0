"""Does a training in bfloat16 end at the losses of one in float32? Both start alike and see the same photos.

Over the last three quarters the learning rate falls to 0. The losses are means over the last steps, as photos differ,
and over several pairs of trainings with different seeds: different rounding leads a training elsewhere, so one pair
tells little. The last column is the standard error of the mean ratio.
"""

import itertools
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

import magstyle
import measuring

COLUMNS = ["loss", "float32", "bfloat16", "bfloat16 / float32", "standard error"]
# Whether each takes --mixed_precision.
PRECISIONS = {"float32": False, "bfloat16": True}
LOSSES = ["total_loss", "total_content_loss", "total_style_loss"]


def measure(
    style_files: Sequence[str],
    content_files: Sequence[str],
    vgg_checkpoint: str,
    image_size: int,
    batch_size: int,
    alpha: float,
    steps: int,
    last: int,
    seeds: Sequence[int],
) -> Iterator[list[str]]:
    ends = {precision: {loss: [] for loss in LOSSES} for precision in PRECISIONS}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        styles = folder / "styles.tfrecord"
        magstyle.create_style_dataset(style_files, styles, image_size=image_size, vgg_checkpoint=vgg_checkpoint)
        for seed, (precision, mixed) in itertools.product(seeds, PRECISIONS.items()):
            train_dir = folder / f"{precision}-{seed}"
            magstyle.train(
                styles,
                train_dir,
                alpha=alpha,
                content_files=content_files,
                vgg_checkpoint=vgg_checkpoint,
                image_size=image_size,
                batch_size=batch_size,
                train_steps=steps,
                decay_steps=steps * 3 // 4,
                mixed_precision=mixed,
                save_summaries_secs=0,
                save_interval_secs=1e6,
                seed=seed,
            )
            for loss, values in end_of_curves(train_dir, steps - last).items():
                ends[precision][loss].append(np.mean(values))
    for loss in LOSSES:
        single, mixed = (np.array(ends[precision][loss]) for precision in PRECISIONS)
        ratios = mixed / single
        error = f"{ratios.std(ddof=1) / len(ratios) ** 0.5:.4f}" if len(ratios) > 1 else ""
        yield [loss, f"{single.mean():.4g}", f"{mixed.mean():.4g}", f"{ratios.mean():.4f}", error]


def end_of_curves(train_dir: pathlib.Path, start: int) -> dict[str, list[float]]:
    """The losses that a training logged for TensorBoard after a step, by name."""
    found = {loss: [] for loss in LOSSES}
    for path in train_dir.glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag in found and event.step > start:
                    found[value.tag].append(float(tf.make_ndarray(value.tensor)))
    return found


if __name__ == "__main__":
    parser = measuring.parser(__doc__)
    parser.add_argument("--style_files", nargs="+", required=True, help="paintings: names, globs, folders")
    parser.add_argument("--content_files", nargs="+", required=True, help="photos: names, globs, folders")
    parser.add_argument("--vgg_checkpoint", default="random:0", help="the loss network")
    parser.add_argument("--image_size", type=int, default=64, help="side of photos and paintings, in pixels")
    parser.add_argument("--batch_size", type=int, default=2, help="photos per step")
    parser.add_argument("--alpha", type=float, default=0.25, help="of the network")
    parser.add_argument("--steps", type=int, default=500, help="of each training")
    parser.add_argument("--last", type=int, default=50, help="steps that the losses are means of")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(8)), help="a pair of trainings for each")
    measuring.print_table(COLUMNS, measure(**vars(parser.parse_args())))
