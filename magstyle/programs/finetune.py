"""Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

bin/finetune.py --checkpoint=model.keras --style_dataset_file=mine.tfrecord --content_files=photos --train_dir=finetuned

The network keeps the styles that it has, and paints those of the new dataset too, with the strokes that it knows.
"""

from magstyle.programs import command_line, training_flags
from magstyle.training.jobs import FinetuningJob


def define_flags() -> None:
    training_flags.define(FinetuningJob)


def main(arguments: list[str]) -> None:
    training_flags.train("finetune", FinetuningJob, arguments)


def run() -> None:
    command_line.run(define_flags, main)
