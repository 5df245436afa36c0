"""Lists the styles of a model: number, name, painter, title and year, as far as they are known.

magstyle styles
magstyle styles finetuned
magstyle styles --sheet=styles.jpg --photo=photo.jpg

Without a name, the model is `painters`; `magstyle models` lists others.
"""

import pathlib

from absl import flags

from magstyle import project
from magstyle.checkpoints import model_cards, model_files
from magstyle.errors import InputError
from magstyle.names import printable
from magstyle.programs import command_line, shared_flags

FLAGS = flags.FLAGS

# The shorter side of the photo that is painted for a sheet, which shows it smaller.
_SIDE = 480


def define_flags() -> None:
    shared_flags.define_checkpoint()
    flags.DEFINE_string("sheet", None, "File for a sheet of a photo in every style, instead of the list.")
    flags.DEFINE_string("photo", None, "The photo of the sheet; by default, one of a pagoda.")
    shared_flags.mark_as_paths("sheet", "photo")


def main(arguments: list[str]) -> None:
    if arguments and not FLAGS["checkpoint"].present:
        FLAGS["checkpoint"].value = arguments.pop(0)
    command_line.refuse(arguments)
    if FLAGS.sheet:
        write_sheet()
    elif FLAGS.photo:
        raise InputError("photo needs sheet=FILE", "photo", "sheet")
    else:
        list_styles()


def list_styles() -> None:
    """Prints the styles of the model, a line each."""
    known = model_cards.paintings()
    names = model_files.read_network(FLAGS.checkpoint).style_names
    command_line.print_rows(
        [
            (f"{number:2}", printable(name), ", ".join(filter(None, known.get(name, ()))))
            for number, name in enumerate(names)
        ]
    )


def write_sheet() -> None:
    """Paints a photo in every style, and writes the sheet."""
    from magstyle.data import images  # Imported here, as a list needs none of these.
    from magstyle.painting import grids
    from magstyle.painting.stylizer import Stylizer

    path, photo = command_line.path_of("sheet"), command_line.path_of("photo") or project.file("examples", "pagoda.jpg")
    assert path
    images.check_output(path, [photo], "sheet")
    images.check_writable(path, 1, 1)  # The name alone; the size fits.
    image = images.read_image(photo, _SIDE)
    network = model_files.read_network(FLAGS.checkpoint)
    shared_flags.import_engine()
    images.write_image(path, grids.every_style(Stylizer(network), image, pathlib.Path(photo).name))
    print(path)


def run() -> None:
    command_line.run(define_flags, main)
