#!/usr/bin/env python3
"""Writes a web page that paints photos in the browser: a folder of static files, for any web server.

bin/build_page.py --checkpoint=painters --output_dir=site

To look at it here: python -m http.server --bind 127.0.0.1 --directory site
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from magstyle import app, checkpoints
from magstyle.errors import InputError
from magstyle.export import litert, page

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint", "painters", "The model: a bundled one, a .keras file, a training folder, a Magenta checkpoint or .pb."
)
flags.DEFINE_string("output_dir", None, "Folder for the page; an earlier page in it is replaced.")
flags.DEFINE_integer("image_size", 768, "Longest side of the pictures that are saved, a multiple of 4.", lower_bound=8)
flags.DEFINE_integer(
    "preview_size", 384, "Longest side of the pictures that are shown while something moves.", lower_bound=8
)
flags.DEFINE_string(
    "photo",
    str(pathlib.Path(__file__).parents[1] / "examples" / "coffee.jpg"),
    "The photo in the thumbnails, and the example of the page.",
)
flags.mark_flag_as_required("output_dir")


def main(argv: Sequence[str]) -> None:
    if argv[1:]:
        raise InputError(f"unexpected argument {argv[1]}")
    model = checkpoints.load_model(FLAGS.checkpoint)
    folder = pathlib.Path(FLAGS.output_dir).expanduser()
    photo = pathlib.Path(FLAGS.photo).expanduser()
    page.build(model, folder, photo, rounded("image_size"), rounded("preview_size"))
    print(folder / "index.html")


def rounded(name: str) -> int:
    """The value of a flag, as a size that the network takes."""
    size = litert.rounded(FLAGS[name].value)
    if size != FLAGS[name].value:
        print(f"--{name}={FLAGS[name].value} is rounded to {size}, a multiple of 4", file=sys.stderr)
    return size


def console_entry_point() -> None:
    app.run(main)


if __name__ == "__main__":
    app.run(main)
