#!/usr/bin/env python3
"""Says how well a model paints: its losses style by style, and grids of pictures.

Beside the losses of the training stand two that models can be compared by, whatever they were trained with:
relative_style_loss is the style loss of the pictures, relative to that of the photos, averaged over conv1 to conv4;
relative_content_loss is their content loss at conv3, relative to that of another photo. Both are 0 at best, and 1 for
what has nothing of the painting, or nothing of the photo.

bin/evaluate.py --train_dir=train --style_dataset_file=styles.tfrecord --content_files=photos --eval_dir=eval
bin/evaluate.py --eval_interval_secs=60 ...    follows a training that runs, until Ctrl-C
"""

import itertools
import os
import sys
import time
from collections.abc import Sequence

from magstyle import app  # First: it silences TensorFlow, which Keras imports.

# isort: split
import numpy as np
import tensorflow as tf
from absl import flags
from magstyle.bin import training_flags
from tqdm import tqdm

from magstyle import checkpoints, files, grids, losses, summaries
from magstyle.data import content, images
from magstyle.data.styles import Style
from magstyle.errors import InputError
from magstyle.optimization import pixels
from magstyle.stylizer import Stylizer
from magstyle.training.model import StyleTraining

FLAGS = flags.FLAGS
flags.DEFINE_string("train_dir", "painters", "The training folder, or any other model; --checkpoint is the same.")
flags.DEFINE_alias("checkpoint", "train_dir")
flags.DEFINE_string("eval_dir", None, "Folder for TensorBoard's curves and the grids; made if it is missing.")
flags.DEFINE_bool("learning_curves", True, "Measure the losses.")
flags.DEFINE_bool("style_grid", False, "Paint photos, and noise, in every style.")
flags.DEFINE_bool("style_crossover", False, "Paint the paintings in every style.")
flags.DEFINE_integer("num_evals", 32, "Batches of photos to measure the losses on, each in every style.", lower_bound=1)
flags.DEFINE_integer(
    "optimize_pairs", 0, "Compare so many pairs of photo and style with L-BFGS on the same losses.", lower_bound=0
)
flags.DEFINE_float("eval_interval_secs", 0, "Look for a new checkpoint so often; 0: once.", lower_bound=0)
flags.DEFINE_float("alpha", None, "Not needed; if given, the model must have that width.")
flags.adopt_module_key_flags(training_flags)
flags.mark_flag_as_required("eval_dir")

PHOTOS_IN_GRID = 4
STYLE_BLOCKS = (1, 2, 3, 4)
CONTENT_BLOCK = 3
LBFGS_EVALUATIONS = 300


def main(argv: Sequence[str]) -> None:
    paintings = training_flags.open_styles()
    photos = training_flags.open_photos(argv[1:])
    eval_dir = files.make_folder(os.path.expanduser(FLAGS.eval_dir))
    writer = tf.summary.create_file_writer(str(eval_dir))
    evaluated, model = None, None
    while True:
        path = _latest()
        if path not in (None, evaluated):
            transformer = checkpoints.load_model(path, len(paintings), FLAGS.alpha)
            if model is None:
                model = training_flags.build_training(transformer, paintings, [CONTENT_BLOCK], STYLE_BLOCKS)
            model.transformer.set_weights(transformer.get_weights())
            evaluate(model, max(0, checkpoints.step(path)), paintings, photos, eval_dir, writer)
            evaluated = path
        if not FLAGS.eval_interval_secs:
            break
        time.sleep(FLAGS.eval_interval_secs)


def _latest() -> str | None:
    """The newest checkpoint; None if the training that is followed has none yet."""
    try:
        return checkpoints.latest(os.path.expanduser(FLAGS.train_dir))
    except InputError:
        if FLAGS.eval_interval_secs:
            return None
        raise


def evaluate(model: StyleTraining, step: int, paintings: Sequence[Style], photos: content.Source, eval_dir, writer):
    with summaries.writing(writer, step):
        if FLAGS.learning_curves:
            found = measure(model, len(paintings), photos)
            write_table(found, paintings, step)
            for name, values in found.items():
                tf.summary.scalar(name, values.mean())
                for painting, value in zip(paintings, values, strict=True):
                    tf.summary.scalar(f"{name}/{painting.name}", value)
        if FLAGS.optimize_pairs:
            compare_with_optimization(model, paintings, photos)
        stylizer = Stylizer(model.transformer)
        if FLAGS.style_grid:
            write_grid(eval_dir / f"style_grid-{step:06d}.png", stylizer, some_photos(photos), paintings)
        if FLAGS.style_crossover:
            squares = grids.paintings_as_squares(paintings, FLAGS.image_size)
            write_grid(eval_dir / f"style_crossover-{step:06d}.png", stylizer, squares, paintings)


def measure(model: StyleTraining, num_styles: int, photos: content.Source) -> dict[str, np.ndarray]:
    """The losses [num_styles] by name: means over the same photos in every style."""
    sums, of_photos, of_others, other = {}, {}, [], None
    with tqdm(total=FLAGS.num_evals * num_styles, unit="batch", mininterval=1) as progress:
        for batch in batches(photos, FLAGS.batch_size).take(FLAGS.num_evals):
            for style in range(num_styles):
                labels = np.full(FLAGS.batch_size, style, np.int32)
                for name, values in model.predict_on_batch({"image": batch, "label": labels}).items():
                    sums.setdefault(name, np.zeros(num_styles))[style] += values.mean()
                progress.update()
            features = model.vgg.predict_on_batch(batch)
            for name, values in style_losses(features, model.gram_matrices).items():
                of_photos[name] = of_photos.get(name, 0) + values
            content_name = end_point(model, CONTENT_BLOCK)
            in_turn = features[content_name] if other is None else np.concatenate([other, features[content_name]])
            of_others += [np.mean(np.square(one - two)) for one, two in itertools.pairwise(in_turn)]
            other = in_turn[-1:]
    found = {name: total / FLAGS.num_evals for name, total in sums.items()}
    names = [f"style_loss/{end_point(model, block)}" for block in STYLE_BLOCKS]
    found["relative_style_loss"] = np.mean([sums[name] / of_photos[name] for name in names], axis=0)
    if of_others:
        found["relative_content_loss"] = found[f"content_loss/{content_name}"] / np.mean(of_others)
    return found


def end_point(model: StyleTraining, block: int) -> str:
    """The name of the last features of a block of the loss network."""
    return next(name for name in model.vgg.output if name.endswith(f"/conv{block}"))


def style_losses(features: dict[str, np.ndarray], gram_matrices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The style losses [num_styles] of plain photos, by name: means over the batch."""
    found = {}
    for name, targets in gram_matrices.items():
        grams = np.asarray(losses.gram_matrix(features[name]))
        found[f"style_loss/{name}"] = np.array([np.mean(np.square(grams - target)) for target in targets])
    return found


def compare_with_optimization(model: StyleTraining, paintings: Sequence[Style], photos: content.Source) -> None:
    """Prints the total loss of some pictures beside that of what L-BFGS makes of the photo, pair by pair."""
    print("style  total_loss  after_lbfgs  ratio")
    ratios = []
    for k, image in enumerate(tqdm(batches(photos, 1).take(FLAGS.optimize_pairs), total=FLAGS.optimize_pairs)):
        label = np.array([k % len(paintings)])
        network = float(model.predict_on_batch({"image": image, "label": label})["total_loss"][0])

        def total_loss(picture, image=image, label=label):
            return model.losses_of(picture, image, label)["total_loss"][0]

        _, optimized = pixels.minimize(total_loss, image[0].numpy(), LBFGS_EVALUATIONS)
        ratios.append(network / optimized)
        tqdm.write(f"{paintings[label[0]].name}  {network:.4g}  {optimized:.4g}  {ratios[-1]:.3g}")
    print(f"mean  ratio {np.mean(ratios):.3g}, largest {max(ratios):.3g}")


def batches(photos: content.Source, batch_size: int) -> tf.data.Dataset:
    """The photos, [batch_size, S, S, 3] in [0, 1]."""
    found = content.batches(photos, FLAGS.image_size, batch_size, 1, FLAGS.seed)
    return found.map(lambda batch: batch["image"])


def write_table(losses: dict[str, np.ndarray], paintings: Sequence[Style], step: int) -> None:
    names = [name for name in losses if not name.startswith("weighted_")]
    width = max(len("mean"), *(len(painting.name) for painting in paintings))
    print(f"{'style':{width}}  {'  '.join(names)}")
    rows = {painting.name: [losses[name][k] for name in names] for k, painting in enumerate(paintings)}
    for title, values in {**rows, "mean": [losses[name].mean() for name in names]}.items():
        print(f"{title:{width}}  {'  '.join(f'{value:{len(n)}.4g}' for n, value in zip(names, values, strict=True))}")
    print(f"at step {step}, over {FLAGS.num_evals} batches of {FLAGS.batch_size} photos", file=sys.stderr)


def some_photos(photos: content.Source) -> np.ndarray:
    """Some photos and, to see what a style paints of nothing, noise: [N, S, S, 3] in [0, 1]."""
    batch = next(iter(batches(photos, PHOTOS_IN_GRID))).numpy()
    noise = np.random.default_rng(FLAGS.seed).random(batch[:1].shape, np.float32)
    return np.concatenate([batch, noise])


def write_grid(path, stylizer: Stylizer, photos: np.ndarray, paintings: Sequence[Style]) -> None:
    grid = grids.style_grid(stylizer, photos, paintings)
    images.write_image(path, grid)
    tf.summary.image(path.stem.split("-")[0], grid[None])
    print(path)


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
