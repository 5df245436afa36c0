#!/usr/bin/env python3
"""Turns any model that can be opened into a .keras file, or into a Magenta checkpoint.

bin/convert_checkpoint.py --checkpoint=multistyle-pastiche-generator-varied.ckpt --output=varied.keras
bin/convert_checkpoint.py --checkpoint=mine.keras --output=magenta/model.ckpt
"""

import os
from collections.abc import Sequence

from absl import flags

from magstyle import app, checkpoints
from magstyle.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_string("output", None, "File to write: .keras, or .ckpt for a Magenta V2 checkpoint.")
flags.DEFINE_bool("float16", False, "Store the weights of a .keras file with 16 bits, in half the space.")
flags.DEFINE_integer("num_styles", None, "Not needed; if given, the model must have that many styles.")
flags.DEFINE_float("alpha", None, "Not needed; if given, the model must have that width.")
flags.mark_flag_as_required("output")


def main(argv: Sequence[str]) -> None:
    if argv[1:]:
        raise InputError(f"unexpected argument {argv[1]}")
    output = os.path.expanduser(FLAGS.output)
    for path in (output, f"{output}.index"):
        if os.path.exists(path):
            raise InputError(f"{path} exists already; remove it first, or choose another --output")
    model = checkpoints.load_model(FLAGS.checkpoint, FLAGS.num_styles, FLAGS.alpha)
    checkpoints.save_model(model, output, FLAGS.float16)
    print(output)


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
