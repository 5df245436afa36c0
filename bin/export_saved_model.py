#!/usr/bin/env python3
"""Writes any model as a SavedModel, for TensorFlow Serving and for all that loads one, in the layout of the former.

bin/export_saved_model.py --checkpoint=painters --output_dir=serving/painters

It becomes version 1, in serving/painters/1; started again, it becomes version 2.
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from magstyle import app, checkpoints, files
from magstyle.errors import InputError
from magstyle.export import saved_model

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_string("output_dir", None, "Folder for the versions of the model; made if it is missing.")
flags.mark_flag_as_required("output_dir")


def main(argv: Sequence[str]) -> None:
    if argv[1:]:
        raise InputError(f"unexpected argument {argv[1]}")
    model = checkpoints.load_model(FLAGS.checkpoint)
    versions = files.make_folder(pathlib.Path(FLAGS.output_dir).expanduser())
    taken = [int(name) for name in os.listdir(versions) if name.isdecimal()]
    folder = versions / str(max(taken, default=0) + 1)
    saved_model.save(model, folder)
    print(folder)


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
