#!/usr/bin/env python3
"""Trains a network on paintings: one network for all styles of a style dataset, on any photos.

bin/train.py --style_dataset_file=styles.tfrecord --content_files=photos --train_dir=train

Started again with the same --train_dir, it goes on where it was stopped.
"""

from collections.abc import Sequence

from magstyle import app  # First: it silences TensorFlow, which Keras imports.

# isort: split
from absl import flags
from magstyle.bin import training_flags, training_program

from magstyle.models.transformer import StyleTransformer

FLAGS = flags.FLAGS
flags.DEFINE_float("alpha", 1.0, "Width of the network: multiplies all numbers of filters.", lower_bound=1 / 32)
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(training_program)


def main(argv: Sequence[str]) -> None:
    training_program.train(argv[1:], lambda names: StyleTransformer(len(names), FLAGS.alpha, style_names=names))


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
