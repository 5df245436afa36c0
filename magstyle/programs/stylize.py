"""Paints photos in the styles of a model: one picture per photo and style, or one mixture of styles per photo.

bin/stylize.py photo.jpg
bin/stylize.py --checkpoint=model.keras --which_styles="0, starry_night" --output_dir=pictures photos/*.jpg
bin/stylize.py --checkpoint=model.keras --which_styles="{wave: 0.6, 7: 0.4}" photos
bin/stylize.py --style_image=painting.jpg photo.jpg
bin/stylize.py --mask=sky.png:starry --which_styles=scream photo.jpg
bin/stylize.py --checkpoint=model.keras --list_styles

Without --checkpoint, the styles are those of the bundled model `painters`.
"""

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from magstyle.data import images, photos
from magstyle.errors import InputError
from magstyle.painting import photo_files
from magstyle.painting.jobs import PhotoJob
from magstyle.painting.regions import PHOTO
from magstyle.programs import command_line, option_flags, shared_flags

FLAGS = flags.FLAGS

# Found by looking: the shorter side of a picture in which strokes show when it is seen as a whole, and the largest
# stroke size of strokes that are not soft.
_SIDE_FOR_STROKES = 1000
_LARGEST_SHARP_STROKES = 4


def define_flags() -> None:
    flags.DEFINE_multi_string("input_image", None, "Photo, glob or folder of photos; needs no flag.")
    shared_flags.define_which_styles("for a picture each, or all, which is the default with --style_image")
    flags.DEFINE_bool("list_styles", False, "Print the numbers and names of the model's styles; nothing is painted.")
    shared_flags.define_num_styles_and_alpha()
    shared_flags.define_masks()
    option_flags.define_options(PhotoJob, skip=("input_image", "which_styles", "mask"))
    shared_flags.mark_as_paths("input_image")


def main(arguments: list[str]) -> None:
    if FLAGS.list_styles:
        list_styles()
        return
    input_image = [*(FLAGS.input_image or []), *arguments]
    if not input_image:
        raise InputError("which photo? Give its name, here or by --input_image; a glob or a folder will do")
    # What is not there is refused at once; and what earlier calls have painted is no photo to read.
    first, *_ = photos.find(input_image, outside=command_line.path_of("output_dir"))
    with images.ReadAhead(FLAGS.image_size) as reader:
        reader.begin(first)
        shared_flags.import_engine(FLAGS.engine)
        network = shared_flags.open_network()
        job = PhotoJob(
            **command_line.values_for(
                PhotoJob,
                input_image=input_image,
                checkpoint=network,
                style_image=(),  # The network knows them.
                which_styles=which_styles(network.style_names),
                mask=command_line.files_and_styles("mask", network.style_names),
            )
        )
        if not FLAGS["stroke_size"].present and (advice := _advice_on_strokes(first)):
            print(advice, file=sys.stderr)  # Now, as a large photo takes a while.
        for path in photo_files.paint(job, reader):
            command_line.print_above_bars(str(path))


def which_styles(style_names: Sequence[str]) -> Any:
    """The styles to paint in, given the names of the model's: all, if they are paintings."""
    if FLAGS.style_image and not FLAGS["which_styles"].present:
        return "all"
    return command_line.styles("which_styles", style_names, "all", PHOTO)


def _advice_on_strokes(photo: str) -> str:
    """How strokes would show in a photo that is so large that it will look coloured rather than painted; else ""."""
    try:
        size = images.read_size(photo, image_size=FLAGS.image_size)
    except InputError:  # Painting says so.
        return ""
    stroke_size = min(min(size) // _SIDE_FOR_STROKES, _LARGEST_SHARP_STROKES)
    return f"{photo} is large for its strokes; --stroke_size={stroke_size} makes them show" if stroke_size > 1 else ""


def list_styles() -> None:
    """Prints the styles of the model, a line each: its number, a blank, its name."""
    for number, name in enumerate(shared_flags.open_network(any_painting=False).style_names):
        print(number, name)


def run() -> None:
    command_line.run(define_flags, main)
