"""Makes a style dataset of paintings: what bin/train.py and bin/finetune.py learn from.

bin/create_style_dataset.py --style_files='paintings/*.jpg' --image_size=512 --output_file=styles.tfrecord

A file that is there is never overwritten; started again with the same flags, it says that the file is as it should be.
"""

import sys

from absl import flags

from magstyle import sizes
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_multi_string("style_files", None, "Painting, glob or folder; more may follow without the flag.")
    flags.DEFINE_string("output_file", None, "TFRecord file to write.")
    flags.DEFINE_bool("compute_gram_matrices", True, "Store Gram matrices; otherwise training computes them.")
    flags.DEFINE_string("vgg_checkpoint", "imagenet", shared_flags.VGG)
    flags.DEFINE_integer(
        "image_size",
        None,
        "Scale the shorter side of the paintings to this; strokes are learned at it.",
        lower_bound=sizes.SMALLEST_FOR_VGG,
    )
    flags.mark_flags_as_required(["style_files", "output_file"])
    shared_flags.mark_as_paths("style_files", "output_file", "vgg_checkpoint")


def main(arguments: list[str]) -> None:
    output_file = command_line.path_of("output_file")
    command_line.import_tensorflow()
    from magstyle.training import gram_matrices

    style_files = FLAGS.style_files + arguments
    if output_file.exists():
        is_made_of = gram_matrices.is_made_of
        given = command_line.values_for(is_made_of, style_dataset_file=output_file, style_files=style_files)
        if not is_made_of(**given):
            command_line.new_path_of("output_file")  # Which refuses it.
        print(f"{output_file} is there already, made of the same", file=sys.stderr)
    else:
        create = gram_matrices.create_style_dataset
        create(**command_line.values_for(create, style_files=style_files, output_file=output_file))
    print(output_file)


def run() -> None:
    command_line.run(define_flags, main)
