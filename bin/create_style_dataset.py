#!/usr/bin/env python3
"""Makes a style dataset of paintings: what bin/train.py and bin/finetune.py learn from.

bin/create_style_dataset.py --style_files='paintings/*.jpg' --image_size=512 --output_file=styles.tfrecord
"""

import os
from collections.abc import Sequence

from absl import flags

from magstyle import app, checkpoints
from magstyle.data import images, styles
from magstyle.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("style_files", None, "Painting, glob or folder; more may follow without the flag.")
flags.DEFINE_string("output_file", None, "TFRecord file to write.")
flags.DEFINE_bool("compute_gram_matrices", True, "Store Gram matrices; otherwise training computes them.")
flags.DEFINE_string(
    "vgg_checkpoint", "imagenet", "VGG: imagenet, a Keras .h5 file, a slim checkpoint, a .npz file, or random:SEED."
)
flags.DEFINE_integer(
    "image_size", None, "Scale the shorter side of the paintings to this; strokes are learned at it.", lower_bound=16
)
flags.mark_flags_as_required(["style_files", "output_file"])


def main(argv: Sequence[str]) -> None:
    output = os.path.expanduser(FLAGS.output_file)
    if os.path.exists(output):
        raise InputError(f"{output} exists already; remove it first, or choose another --output_file")
    paintings = images.find(FLAGS.style_files + argv[1:])
    for painting in paintings:
        images.read_size(painting)
    vgg = checkpoints.load_vgg(FLAGS.vgg_checkpoint) if FLAGS.compute_gram_matrices else None
    styles.write(paintings, output, vgg, FLAGS.image_size)
    print(output)


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
