"""Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

bin/finetune.py --checkpoint=model.keras --style_dataset_file=mine.tfrecord --content_files=photos --train_dir=finetuned

The network keeps the styles that it has, and paints those of the new dataset too, with the strokes that it knows.
"""

from absl import flags

from magstyle.programs import command_line, shared_flags, training_flags


def define_flags() -> None:
    shared_flags.define_checkpoint()
    shared_flags.define_alpha()
    flags.DEFINE_bool("keep_styles", True, "Keep the styles that the model has; otherwise the new ones replace them.")
    training_flags.define_training()
    shared_flags.mark_as_paths("train_dir", *shared_flags.PATHS_OF_DATA)


def main(arguments: list[str]) -> None:
    training_flags.train("finetune", arguments)


def run() -> None:
    command_line.run(define_flags, main)
