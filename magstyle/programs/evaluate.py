"""Says how well a model paints: its losses style by style, and grids of pictures.

Beside the losses of the training stand four measures that models can be compared by, whatever they were trained with:
relative_style_loss is the style loss of the pictures, relative to that of the photos, averaged over conv1 to conv4;
relative_content_loss is their content loss at conv3, relative to that of another photo; palette and pattern are the
distances of their colours and small shapes from the painting's, relative to the photos'. All are 0 at best, and 1 for
what has nothing of the painting, or nothing of the photo.

bin/evaluate.py --train_dir=train --style_dataset_file=styles.tfrecord --content_files=photos --eval_dir=eval
bin/evaluate.py --video=clip.mp4 ...           also says how steadily a clip is painted
bin/evaluate.py --eval_interval_secs=60 ...    follows a training that runs, until Ctrl-C
"""

import sys

from absl import flags

from magstyle.programs import command_line, shared_flags, training_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string("train_dir", "painters", "The training folder, or any other model; --checkpoint is the same.")
    flags.DEFINE_alias("checkpoint", "train_dir")
    flags.DEFINE_string("eval_dir", None, "Folder for TensorBoard's curves and the grids; made if it is missing.")
    flags.DEFINE_bool("learning_curves", True, "Measure the losses.")
    flags.DEFINE_bool("style_grid", False, "Paint photos, and noise, in every style.")
    flags.DEFINE_bool("style_crossover", False, "Paint the paintings in every style.")
    flags.DEFINE_integer(
        "num_evals",
        32,
        "Batches of photos to measure the losses on, or frames of --video, each in every style.",
        lower_bound=1,
    )
    flags.DEFINE_string("video", None, "Also measure how steadily this clip is painted, frame by frame and steady.")
    flags.DEFINE_integer(
        "optimize_pairs", 0, "Compare so many pairs of photo and style with L-BFGS on the same losses.", lower_bound=0
    )
    flags.DEFINE_float("eval_interval_secs", 0, "Look for a new checkpoint so often; 0: once.", lower_bound=0)
    shared_flags.define_alpha()
    training_flags.define_data()
    flags.mark_flag_as_required("eval_dir")
    shared_flags.mark_as_paths("train_dir", "eval_dir", "video", *shared_flags.PATHS_OF_DATA)


def main(arguments: list[str]) -> None:
    given = training_flags.data(arguments)
    command_line.import_tensorflow()
    shared_flags.import_engine()
    import tensorflow as tf

    from magstyle import files
    from magstyle.checkpoints import model_files
    from magstyle.evaluation.measures import Evaluation
    from magstyle.training.objective import Objective

    objective = Objective(**command_line.values_for(Objective, **given))
    evaluation = Evaluation(FLAGS.style_dataset_file, objective)
    frames = evaluation.read_clip(command_line.path_of("video"), FLAGS.num_evals) if FLAGS.video else None
    eval_dir = files.make_folder(command_line.path_of("eval_dir"))
    writer = tf.summary.create_file_writer(files.for_tensorflow(eval_dir))
    for path in model_files.follow(FLAGS.train_dir, FLAGS.eval_interval_secs):
        transformer, step = evaluation.open(path, FLAGS.alpha), max(0, model_files.step(path))
        report(evaluation, frames, transformer, step, eval_dir, writer)


def report(evaluation, frames, transformer, step: int, eval_dir, writer) -> None:
    """Prints what is found, writes the grids, and both to TensorBoard; `frames` are of a clip, if there is one."""
    import tensorflow as tf

    from magstyle.data import images
    from magstyle.training import summaries

    with summaries.writing(writer, step):
        if FLAGS.learning_curves:
            found = evaluation.measure(transformer, FLAGS.num_evals)
            print_losses(found, [painting.name for painting in evaluation.paintings])
            print(f"at step {step}, over {FLAGS.num_evals} batches of {FLAGS.batch_size} photos", file=sys.stderr)
            for name, values in found.items():
                tf.summary.scalar(name, values.mean())
                for painting, value in zip(evaluation.paintings, values, strict=True):
                    tf.summary.scalar(f"{name}/{painting.name}", value)
        if frames:
            found = evaluation.measure_steadiness(transformer, frames)
            print_losses(found, [painting.name for painting in evaluation.paintings])
        if FLAGS.optimize_pairs:
            print_pairs(evaluation.compare_with_optimization(transformer, FLAGS.optimize_pairs))
        for name in ("style_grid", "style_crossover"):
            if FLAGS[name].value:
                grid = getattr(evaluation, name)(transformer)
                path = eval_dir / f"{name}-{step:06d}.png"
                images.write_image(path, grid)
                tf.summary.image(name, grid[None])
                print(path)


def print_losses(losses: dict, styles: list[str]) -> None:
    """A table, a row for each style and one for the means."""
    names = [name for name in losses if not name.startswith("weighted_")]
    width = max(len("mean"), *map(len, styles))
    print(f"{'style':{width}}  {'  '.join(names)}")
    rows = {style: [losses[name][k] for name in names] for k, style in enumerate(styles)}
    for title, values in {**rows, "mean": [losses[name].mean() for name in names]}.items():
        print(f"{title:{width}}  {'  '.join(f'{value:{len(n)}.4g}' for n, value in zip(names, values, strict=True))}")


def print_pairs(pairs) -> None:
    """A table of the losses of pictures beside those of optimised ones, as they come."""
    from tqdm import tqdm

    print("style  total_loss  after_lbfgs  ratio")
    ratios = []
    for style, network, optimized in tqdm(pairs, total=FLAGS.optimize_pairs):
        ratios.append(network / optimized)
        tqdm.write(f"{style}  {network:.4g}  {optimized:.4g}  {ratios[-1]:.3g}")
    print(f"mean  ratio {sum(ratios) / len(ratios):.3g}, largest {max(ratios):.3g}")


def run() -> None:
    command_line.run(define_flags, main)
