"""Measures how well a model paints: its losses style by style, and grids of pictures.

Beside the losses of training are four measures that compare models whatever they were trained with:
relative_style_loss is the style loss of the pictures, relative to that of the photos, averaged over conv1 to conv4;
relative_content_loss is their content loss at conv3, relative to that of another photo; palette and pattern are the
distances of their colours and small shapes from the painting's, relative to the photos'. All are 0 at best, and 1 for
pictures that have nothing of the painting, or nothing of the photo.

bin/evaluate.py --train_dir=train --style_dataset_file=styles.tfrecord --content_files=photos --eval_dir=eval
bin/evaluate.py --video=clip.mp4 ...           also measures how steadily a clip is painted
bin/evaluate.py --eval_interval_secs=60 ...    follows a training that runs, until Ctrl-C
"""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from magstyle import files
from magstyle.errors import InputError
from magstyle.evaluation.jobs import EvaluationJob
from magstyle.limits import CountFromZero, Seconds
from magstyle.names import counted
from magstyle.programs import command_line, option_flags, shared_flags, training_flags
from magstyle.training.jobs import StylesObjective

if TYPE_CHECKING:
    import numpy as np

    from magstyle.evaluation.measures import Evaluation
    from magstyle.evaluation.reports import Reports
    from magstyle.models.transformer import StyleTransformer

FLAGS = flags.FLAGS


def define_flags() -> None:
    training_flags.define(EvaluationJob, skip=("checkpoint",))
    flags.DEFINE_string("train_dir", "painters", "The training folder, or any other model; --checkpoint is the same.")
    flags.DEFINE_alias("checkpoint", "train_dir")
    flags.DEFINE_string(
        "eval_dir", None, "Folder for TensorBoard's curves and the grids; made if it is missing.", required=True
    )
    flags.DEFINE_bool("learning_curves", True, "Measure the losses.")
    flags.DEFINE_bool("style_grid", False, "Paint photos, and noise, in every style.")
    flags.DEFINE_bool("style_crossover", False, "Paint the paintings in every style.")
    flags.DEFINE_string(
        "video", None, "Also measure how steadily the first --num_evals frames of this clip are painted."
    )
    option_flags.define_option(
        *("optimize_pairs", CountFromZero, 0),
        "number of pairs of a photo and a style to compare with the result of L-BFGS on the same losses.",
    )
    option_flags.define_option(
        "eval_interval_secs", Seconds, 0.0, "seconds between two looks for a new checkpoint; 0 looks once."
    )
    shared_flags.define_alpha()
    shared_flags.mark_as_paths("train_dir", "eval_dir", "video")


def main(arguments: list[str]) -> None:
    files.check_name(files.expanded(FLAGS.eval_dir))
    if FLAGS.video and FLAGS.num_evals < 2:
        raise InputError("video needs two frames; give num_evals=2 or more", "video", "num_evals")
    objective = StylesObjective(**command_line.values_for(StylesObjective, **training_flags.data(arguments)))
    command_line.import_tensorflow()
    shared_flags.import_engine()
    from magstyle.checkpoints import model_files
    from magstyle.evaluation.measures import Evaluation
    from magstyle.evaluation.reports import Reports

    evaluation = Evaluation(FLAGS.style_dataset_file, objective)
    frames = evaluation.read_clip(files.expanded(FLAGS.video), FLAGS.num_evals) if FLAGS.video else None
    reports = Reports(files.expanded(FLAGS.eval_dir), [painting.name for painting in evaluation.paintings])
    for path in model_files.follow(FLAGS.train_dir, FLAGS.eval_interval_secs):
        report(evaluation, frames, evaluation.open(path, FLAGS.alpha), max(0, model_files.step(path)), reports)


def report(
    evaluation: "Evaluation",
    frames: "list[np.ndarray] | None",
    transformer: "StyleTransformer",
    step: int,
    reports: "Reports",
) -> None:
    """Measures a model as the flags say, prints the measures and reports them; `frames` come from a clip, if any."""
    names = [painting.name for painting in evaluation.paintings]
    if FLAGS.learning_curves:
        found = evaluation.measure(transformer, FLAGS.num_evals)
        print_losses(found, names)
        batches, photos = counted(FLAGS.num_evals, "batch"), counted(FLAGS.batch_size, "photo")
        print(f"at step {step}, over {batches} of {photos}", file=sys.stderr)
        reports.add_losses(step, found)
    if frames:
        steadiness = evaluation.measure_steadiness(transformer, frames)
        print_losses(steadiness, names)
        reports.add_losses(step, steadiness)
    if FLAGS.optimize_pairs:
        ratio = print_pairs(evaluation.compare_with_optimization(transformer, FLAGS.optimize_pairs))
        reports.add_means(step, {"ratio_to_lbfgs": ratio})
    for kind, paint in (("style_grid", evaluation.style_grid), ("style_crossover", evaluation.style_crossover)):
        if FLAGS[kind].value:
            print(reports.add_grid(step, kind, paint(transformer)))


def print_losses(losses: "Mapping[str, np.ndarray]", styles: Sequence[str]) -> None:
    """Prints a table: a row for each style and one for the means; on a narrow terminal, several tables."""
    names = [name for name in losses if not name.startswith("weighted_")]
    width = max(len("mean"), *map(len, styles))
    rows = {style: {name: losses[name][k] for name in names} for k, style in enumerate(styles)}
    rows["mean"] = {name: losses[name].mean() for name in names}
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for columns in _fitting(names, room - width):
        print(f"{'style':{width}}  {'  '.join(columns)}")
        for title, values in rows.items():
            print(f"{title:{width}}  {'  '.join(f'{values[name]:{len(name)}.4g}' for name in columns)}")


def _fitting(names: Sequence[str], width: int) -> list[list[str]]:
    """The names of columns, two blanks before each, in groups that fit into a width."""
    groups: list[list[str]] = [[]]
    for name in names:
        if groups[-1] and sum(len(other) + 2 for other in [*groups[-1], name]) > width:
            groups.append([])
        groups[-1].append(name)
    return groups


def print_pairs(pairs: Iterable[tuple[str, float, float]]) -> float:
    """Prints a table of the losses of pictures beside those of optimised ones, row by row as they come.

    Returns:
        The mean of their ratios.
    """
    from tqdm import tqdm

    print("style  total_loss  after_lbfgs  ratio")
    ratios: list[float] = []
    for style, network, optimized in tqdm(pairs, total=FLAGS.optimize_pairs):
        ratios.append(network / optimized)
        tqdm.write(f"{style}  {network:.4g}  {optimized:.4g}  {ratios[-1]:.3g}")
    mean = sum(ratios) / len(ratios)
    print(f"mean  ratio {mean:.3g}, largest {max(ratios):.3g}")
    return mean


def run() -> None:
    command_line.run(define_flags, main)
