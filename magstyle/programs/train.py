"""Trains a network on paintings: one network for all styles of a style dataset, on any photos.

bin/train.py --style_dataset_file=styles.tfrecord --content_files=photos --train_dir=train

Started again with the same --train_dir, it goes on where it was stopped.
"""

from magstyle.programs import command_line, training_flags
from magstyle.training.jobs import TrainingJob


def define_flags() -> None:
    training_flags.define(TrainingJob)


def main(arguments: list[str]) -> None:
    training_flags.train("train", TrainingJob, arguments)


def run() -> None:
    command_line.run(define_flags, main)
