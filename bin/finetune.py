#!/usr/bin/env python3
"""Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

bin/finetune.py --checkpoint=model.keras --style_dataset_file=mine.tfrecord --content_files=photos --train_dir=finetuned

The new network paints the styles of the new dataset, with the strokes that the old one knows.
"""

from collections.abc import Sequence

from magstyle import app  # First: it silences TensorFlow, which Keras imports.

# isort: split
from absl import flags
from magstyle.bin import training_flags, training_program

from magstyle import checkpoints
from magstyle.models.transformer import StyleTransformer
from magstyle.training.transfer import freeze_convolutions, with_styles

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_float("alpha", None, "Not needed; if given, the model must have that width.")
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(training_program)


def main(argv: Sequence[str]) -> None:
    training_program.train(argv[1:], build_transformer)


def build_transformer(names: Sequence[str]) -> StyleTransformer:
    transformer = with_styles(checkpoints.load_model(FLAGS.checkpoint, alpha=FLAGS.alpha), names)
    freeze_convolutions(transformer)
    return transformer


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
