"""Turns any model that can be opened into a .keras file, or into a Magenta checkpoint.

bin/convert_checkpoint.py --checkpoint=multistyle-pastiche-generator-varied.ckpt --output=varied.keras
bin/convert_checkpoint.py --checkpoint=mine.keras --output=magenta/model.ckpt
"""

from absl import flags

from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string(
        "output", None, "File to write: .keras, .ckpt for a Magenta V2 checkpoint, or a folder for a .keras file."
    )
    flags.DEFINE_bool("float16", False, "Store the weights of a .keras file with 16 bits, in half the space.")
    shared_flags.define_num_styles_and_alpha()
    flags.mark_flag_as_required("output")
    shared_flags.mark_as_paths("output")


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    output = command_line.new_path_of("output", ".index", suffix=".keras")
    command_line.import_tensorflow()
    from magstyle import checkpoints

    checkpoints.save_model(shared_flags.open_model(), output, FLAGS.float16)
    print(output)


def run() -> None:
    command_line.run(define_flags, main)
