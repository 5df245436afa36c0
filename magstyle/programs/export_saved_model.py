"""Writes any model as a SavedModel, for TensorFlow Serving and for all that loads one, in the layout of the former.

bin/export_saved_model.py --checkpoint=painters --output_dir=serving/painters

It becomes version 1, in serving/painters/1; started again, it becomes version 2.
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

    print(export_saved_model(FLAGS.checkpoint, command_line.path_of("output_dir")))


def run() -> None:
    command_line.run(define_flags, main)
