"""Trains a network that paints in the style of any painting, on hundreds of paintings or more.

bin/train_predictor.py --style_files=paintings --content_files=photos --train_dir=train

Started again with the same --train_dir, it goes on where it was stopped.
"""

from absl import flags

from magstyle.programs import command_line, shared_flags, training_flags
from magstyle.training.jobs import PredictorTrainingJob

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_style_files()
    training_flags.define(PredictorTrainingJob, skip=("style_files",))


def main(arguments: list[str]) -> None:
    training_flags.train("train_predictor", PredictorTrainingJob, [], style_files=FLAGS.style_files + arguments)


def run() -> None:
    command_line.run(define_flags, main)
