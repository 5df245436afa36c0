"""Makes a style dataset of paintings: what bin/train.py and bin/finetune.py learn from.

bin/create_style_dataset.py --style_files='paintings/*.jpg' --image_size=512 --output_file=styles.tfrecord
"""

from absl import flags

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
        lower_bound=16,
    )
    flags.mark_flags_as_required(["style_files", "output_file"])
    shared_flags.mark_as_paths("style_files", "output_file", "vgg_checkpoint")


def main(arguments: list[str]) -> None:
    output_file = command_line.new_path_of("output_file")
    command_line.import_tensorflow()
    from magstyle.gram_matrices import create_style_dataset

    flags_as_typed = {"style_files": FLAGS.style_files + arguments, "output_file": output_file}
    print(create_style_dataset(**command_line.values_for(create_style_dataset, **flags_as_typed)))


def run() -> None:
    command_line.run(define_flags, main)
