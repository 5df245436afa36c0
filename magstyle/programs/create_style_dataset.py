"""Makes a style dataset of paintings: what bin/train.py and bin/finetune.py learn from.

bin/create_style_dataset.py --style_files='paintings/*.jpg' --image_size=512 --output_file=styles.tfrecord

It overwrites no file; started again with the same flags, it says that the file is there already.
"""

import os
import sys

from absl import flags

from magstyle import files
from magstyle.programs import command_line, option_flags, shared_flags
from magstyle.training.jobs import StyleDatasetJob

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_style_files()
    option_flags.define_options(StyleDatasetJob, skip=("style_files",))


def main(arguments: list[str]) -> None:
    output_file = files.expanded(FLAGS.output_file)
    given = command_line.values_for(StyleDatasetJob, style_files=FLAGS.style_files + arguments, output_file=output_file)
    command_line.import_tensorflow()
    from magstyle.training import gram_matrices

    if os.path.lexists(output_file):
        if not gram_matrices.is_made_of(**given):
            files.check_new(output_file, "output_file")
        print(f"{output_file} is there already, made from the same paintings in the same way", file=sys.stderr)
    else:
        gram_matrices.create_style_dataset(**given)
    print(output_file)


def run() -> None:
    command_line.run(define_flags, main)
