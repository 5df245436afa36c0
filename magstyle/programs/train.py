"""Trains a network on paintings: one network for all styles of a style dataset, on any photos.

bin/train.py --style_dataset_file=styles.tfrecord --content_files=photos --train_dir=train

Started again with the same --train_dir, it goes on where it was stopped.
"""

from absl import flags

from magstyle.programs import command_line, shared_flags, training_flags


def define_flags() -> None:
    flags.DEFINE_float(
        "alpha", None, "Width of the network: multiplies all numbers of filters; 1 by default.", lower_bound=1 / 32
    )
    flags.DEFINE_string(
        "initial_checkpoint",
        None,
        "A model to start from, with its width: styles of the same names go on, new ones start from the mean of all.",
    )
    training_flags.define_training()
    shared_flags.mark_as_paths("train_dir", "initial_checkpoint", *shared_flags.PATHS_OF_DATA)


def main(arguments: list[str]) -> None:
    training_flags.train("train", arguments)


def run() -> None:
    command_line.run(define_flags, main)
