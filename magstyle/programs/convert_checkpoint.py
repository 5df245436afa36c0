"""Converts any model, or several with the same convolutions, into a .keras file or a Magenta checkpoint.

bin/convert_checkpoint.py --checkpoint=multistyle-pastiche-generator-varied.ckpt --output=varied.keras
bin/convert_checkpoint.py --checkpoint=mine.keras --output=magenta/model.ckpt
bin/convert_checkpoint.py --checkpoint=painters --checkpoint=finetuned --output=all_styles.keras
"""

from absl import flags

from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    flags.DEFINE_multi_string(
        "checkpoint",
        ["painters"],
        f"{shared_flags.MODEL} Given again, it merges models with the same convolutions into one.",
    )
    flags.DEFINE_string(
        "output", None, "File to write: .keras, .ckpt for a Magenta V2 checkpoint, or a folder for a .keras file."
    )
    flags.DEFINE_bool("float16", False, "Store the weights of a .keras file with 16 bits, in half the space.")
    shared_flags.define_num_styles_and_alpha()
    flags.mark_flag_as_required("output")
    shared_flags.mark_as_paths("checkpoint", "output")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    output = command_line.new_path_of("output", ".index", suffix=".keras")
    command_line.import_tensorflow()
    from magstyle.checkpoints import model_files

    [first, *others] = FLAGS.checkpoint
    model = model_files.load_model(
        model_files.merge_models(FLAGS.checkpoint) if others else first,
        FLAGS.num_styles,
        FLAGS.alpha,
        any_painting=True,
    )
    model_files.save_model(model, output, FLAGS.float16)
    print(output)


def run() -> None:
    command_line.run(define_flags, main)
