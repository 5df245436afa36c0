"""Stylises a whole dataset, one picture per photo, as an Apache Beam pipeline on one machine or many.

bin/stylize_dataset.py --checkpoint=model.keras --content_files=photos --output_format=jpg --output_dir=stylized
bin/stylize_dataset.py --checkpoint=model.keras --tfrecord_files='imagenet/train-*' --image_size=256 --output_dir=out

Started again with the same flags, it goes on where it was stopped.
"""

import sys

from absl import flags

from magstyle.datasets import dataset_files
from magstyle.errors import InputError
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    shared_flags.define_content_files()
    flags.DEFINE_multi_string("tfrecord_files", None, "Or: TFRecord file or glob, of Examples with image/encoded.")
    shared_flags.define_tfds()
    flags.DEFINE_string("output_dir", None, "Folder for shards or pictures; made if it is missing.")
    flags.DEFINE_enum(
        "output_format", "tfrecord", dataset_files.OUTPUT_FORMATS, "TFRecord shards, or a folder of pictures."
    )
    flags.DEFINE_string(
        "style",
        "random",
        "A style by number, name or part of a name, a mixture {style: weight}, or random: one style per photo.",
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
    shared_flags.mark_as_paths("tfrecord_files", "output_dir")


def main(arguments: list[str]) -> None:
    source = shared_flags.photos(arguments, "tfrecord_files", "tfds_name")
    if FLAGS.num_shards and not ("content_files" in source and FLAGS.output_format == "tfrecord"):
        raise InputError("--num_shards is for TFRecord shards of --content_files; leave it out")
    command_line.import_tensorflow()
    shared_flags.import_engine()
    from magstyle.checkpoints import model_files

    network = model_files.read_network(FLAGS.checkpoint)
    made = dataset_files.stylize_dataset(
        **command_line.values_for(
            dataset_files.stylize_dataset,
            **source,
            output_dir=command_line.path_of("output_dir"),
            checkpoint=network,
            style=command_line.style("style", network.style_names, "random"),
        )
    )
    skipped = "shards" if FLAGS.output_format == "tfrecord" else "pictures"
    print(
        f"pictures written: {made.written}, failed: {made.failed}; {skipped} that were there: {made.skipped}",
        file=sys.stderr,
    )
    print(*made.paths, sep="\n")


def run() -> None:
    command_line.run(define_flags, main)
