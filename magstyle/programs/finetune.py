"""Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

bin/finetune.py --checkpoint=model.keras --style_dataset_file=mine.tfrecord --content_files=photos --train_dir=finetuned

The new network paints the styles of the new dataset, with the strokes that the old one knows.
"""

from magstyle.programs import command_line, shared_flags, training_flags


def define_flags() -> None:
    shared_flags.define_checkpoint()
    shared_flags.define_alpha()
    training_flags.define_training()
    shared_flags.mark_as_paths("train_dir", *shared_flags.PATHS_OF_DATA)


def main(arguments: list[str]) -> None:
    training_flags.train("finetune", arguments)


def run() -> None:
    command_line.run(define_flags, main)
