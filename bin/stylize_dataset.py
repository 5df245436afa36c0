#!/usr/bin/env python3
"""Stylises a whole dataset, one picture per photo, as an Apache Beam pipeline on one machine or many.

bin/stylize_dataset.py --checkpoint=model.keras --content_files=photos --output_format=jpg --output_dir=stylized
bin/stylize_dataset.py --checkpoint=model.keras --tfrecord_files='imagenet/train-*' --image_size=256 --output_dir=out

Started again with the same flags, it goes on where it was stopped.
"""

import ast
import logging
import pathlib
import sys
import types
from collections.abc import Sequence

import numpy as np
from absl import flags

from magstyle import app, checkpoints, files
from magstyle.data import shards
from magstyle.errors import InputError
from magstyle.stylizer import Stylizer

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_multi_string("content_files", None, "Photo, glob or folder of photos; more may follow without the flag.")
flags.DEFINE_multi_string("tfrecord_files", None, "Or: TFRecord file or glob, of Examples with image/encoded.")
flags.DEFINE_string("tfds_name", None, "Or: an image dataset of TensorFlow Datasets, such as imagenet2012.")
flags.DEFINE_string(
    "tfds_data_dir", None, "Where the datasets of TensorFlow Datasets are, if not at its default place."
)
flags.DEFINE_string("output_dir", None, "Folder for shards or pictures; made if it is missing.")
flags.DEFINE_enum(
    "output_format", "tfrecord", ["tfrecord", "png", "jpg", "webp"], "TFRecord shards, or a folder of pictures."
)
flags.DEFINE_string(
    "style", "random", "A style by number or name, a mixture {style: weight}, or random: one style per photo."
)
flags.DEFINE_integer("image_size", None, "Shorter side of the pictures; as it is by default.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the random styles.", lower_bound=0)
flags.DEFINE_integer(
    "num_shards", None, "TFRecord shards to make of image files; by default, one per 1000.", lower_bound=1
)
flags.DEFINE_string(
    "beam_options", "", "Beam's own, as in '--direct_num_workers=2 --direct_running_mode=multi_processing'."
)
flags.mark_flag_as_required("output_dir")


def main(argv: Sequence[str]) -> None:
    dataset_stylizer = _import_dataset_stylizer()
    folder = files.make_folder(pathlib.Path(FLAGS.output_dir).expanduser())
    dataset = open_dataset(argv[1:], folder)
    stylizer = Stylizer(checkpoints.load_model(FLAGS.checkpoint))
    painter = dataset_stylizer.Painter(stylizer, parse_style(FLAGS.style, stylizer), FLAGS.seed, FLAGS.image_size)
    counts = dataset_stylizer.run(dataset, painter, folder, FLAGS.output_format, FLAGS.beam_options)
    shards_asked = FLAGS.output_format == "tfrecord"
    summary = f"pictures written: {counts['written']}, failed: {counts['failed']}; "
    summary += f"{'shards' if shards_asked else 'pictures'} that were there: {counts['skipped']}"
    print(summary, file=sys.stderr)
    made = [folder / shard.name for shard in dataset.shards] if shards_asked else [folder]
    if counts["failed"]:
        made.append(folder / dataset_stylizer.FAILURES)
    print(*made, sep="\n")


def _import_dataset_stylizer() -> types.ModuleType:
    # Beam warns of every cloud that is not installed, and TFDS tells of every file that it opens.
    logging.getLogger("absl").setLevel(logging.WARNING)
    logging.disable(logging.WARNING)
    try:
        from magstyle import dataset_stylizer
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise InputError("Apache Beam is missing; pip install 'magstyle[beam]'") from error
    logging.disable(logging.NOTSET)
    return dataset_stylizer


def open_dataset(arguments: Sequence[str], folder: pathlib.Path) -> shards.Dataset:
    """The photos of the one source that was given; `arguments` are those that follow the flags."""
    if sum(map(bool, (FLAGS.content_files, FLAGS.tfrecord_files, FLAGS.tfds_name))) != 1:
        raise InputError("give the photos by one of --content_files, --tfrecord_files and --tfds_name")
    if arguments and FLAGS.tfds_name:
        raise InputError(f"unexpected argument {arguments[0]}")
    if FLAGS.num_shards and not (FLAGS.content_files and FLAGS.output_format == "tfrecord"):
        raise InputError("--num_shards is for TFRecord shards of --content_files; leave it out")
    output_dir = str(folder.absolute())
    if FLAGS.content_files:
        num_shards = FLAGS.num_shards if FLAGS.output_format == "tfrecord" else 0
        return shards.from_files([*FLAGS.content_files, *arguments], output_dir, num_shards)
    if FLAGS.tfrecord_files:
        return shards.from_tfrecords([*FLAGS.tfrecord_files, *arguments], output_dir)
    return shards.from_tfds(FLAGS.tfds_name, FLAGS.tfds_data_dir)


def parse_style(style: str, stylizer: Stylizer) -> np.ndarray | None:
    """The weights [num_styles] for all photos, or None for random styles."""
    if style == "random":
        return None
    if style in stylizer.model.style_names:
        return stylizer.style_weights(style)
    try:
        parsed = ast.literal_eval(style)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        parsed = style
    if isinstance(parsed, int | str) or (isinstance(parsed, dict) and parsed):
        return stylizer.style_weights(parsed)
    raise InputError(
        f"--style={style} must be random, a style by number or name, or a mixture such as \"{{0: 0.6, 'scream': 0.4}}\""
    )


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
