"""Writes any model as a SavedModel, for TensorFlow Serving and every other program that loads one.

bin/export_saved_model.py --checkpoint=painters --output_dir=serving/painters

The first becomes version 1, in serving/painters/1; started again, the program writes version 2.
"""

from absl import flags

from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string("output_dir", None, "Folder for the versions of the model; made if it is missing.")
    flags.mark_flag_as_required("output_dir")
    shared_flags.mark_as_paths("output_dir")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    command_line.import_tensorflow()
    from magstyle.export.saved_model import export_saved_model

    print(export_saved_model(FLAGS.checkpoint, FLAGS.output_dir))


def run() -> None:
    command_line.run(define_flags, main)
