"""Stylises a whole dataset, one picture per photo, as an Apache Beam pipeline on one machine or many.

bin/stylize_dataset.py --checkpoint=model.keras --content_files=photos --output_format=jpg --output_dir=stylized
bin/stylize_dataset.py --checkpoint=model.keras --tfrecord_files='imagenet/train-*' --image_size=256 --output_dir=out

Run again with the same flags, it resumes where it stopped.
"""

import sys

from absl import flags

from magstyle.checkpoints import model_files
from magstyle.datasets.dataset_files import stylize_dataset
from magstyle.datasets.jobs import DatasetJob
from magstyle.painting.brush import model_of
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_string(
        "style",
        "random",
        "A style by number, name or part of a name, a mixture {style: weight}, or random: one style per photo.",
    )
    option_flags.define_options(DatasetJob, skip=("style",))


def main(arguments: list[str]) -> None:
    source = shared_flags.photos(arguments, "tfrecord_files", "tfds_name")
    # Refuses invalid options before TensorFlow is imported.
    DatasetJob(**command_line.values_for(DatasetJob, **source))
    command_line.import_tensorflow()
    shared_flags.import_engine()
    network = model_files.read_network(model_of(FLAGS.checkpoint, FLAGS.style_image), any_painting=True)
    made = stylize_dataset(
        **command_line.values_for(
            DatasetJob,
            **source,
            output_dir=command_line.path_of("output_dir"),
            checkpoint=network,
            style_image=(),  # The network knows them.
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
