"""Trains a narrow network to paint like a wide one, several times as fast; it needs no paintings.

bin/distil.py --teacher=painters --content_files=photos --train_dir=train

Started again with the same --train_dir, it goes on where it was stopped.
"""

from magstyle.programs import command_line, training_flags
from magstyle.training.jobs import DistillationJob


def define_flags() -> None:
    training_flags.define(DistillationJob)


def main(arguments: list[str]) -> None:
    training_flags.train("distil", DistillationJob, arguments)


def run() -> None:
    command_line.run(define_flags, main)
