"""Makes a model of paintings at once, without training: each painting is a style by the name of its file.

bin/add_styles.py --style_files=paintings --output_model=mine.keras

Every program takes the model; `bin/stylize.py --checkpoint=mine.keras` paints with it.
"""

from absl import flags

from magstyle.checkpoints.jobs import AddStylesJob
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    shared_flags.define_style_files()
    option_flags.define_options(AddStylesJob, skip=("style_files",))


def main(arguments: list[str]) -> None:
    output_model = command_line.new_path_of("output_model", suffix=".keras")
    given = command_line.values_for(AddStylesJob, style_files=FLAGS.style_files + arguments, output_model=output_model)
    command_line.import_tensorflow()
    from magstyle.checkpoints import paintings

    print(paintings.add_styles(**given))


def run() -> None:
    command_line.run(define_flags, main)
