"""Lists the bundled models and those in this folder: their names, styles and sizes, and what they are for.

magstyle models

A name from this list is the value of --checkpoint, and `magstyle styles NAME` lists its styles.
"""

import glob
import os
import sys

from magstyle.checkpoints import model_cards, model_files
from magstyle.errors import InputError
from magstyle.names import counted, printable
from magstyle.programs import command_line

# Style names shown for a model that has no card.
_SHOWN = 3


def define_flags() -> None:
    """Defines no flags."""


def main(arguments: list[str]) -> None:
    command_line.refuse(arguments)
    rows = []
    for name in [*model_files.bundled_models(), *_in_this_folder()]:
        try:
            rows.append(_row(name))
        except InputError as error:
            print(error, file=sys.stderr)
    command_line.print_rows(rows)


def _in_this_folder() -> list[str]:
    """The .keras files in the current folder, and the folders in it that hold any, as training leaves them."""
    folders = {os.path.dirname(path) for path in glob.glob("*/*.keras")}
    found = sorted([*glob.glob("*.keras"), *folders])
    return [f"./{name}" if name in model_files.bundled_models() else name for name in found]


def _row(name: str) -> tuple[str, str, str, str]:
    network = model_files.read_network(name, any_painting=True)
    styles = () if network.predictor else network.style_names
    own = [style for style in styles if style not in model_cards.paintings()]
    learned = ", ".join(map(printable, own[:_SHOWN])) + ", ..." * (len(own) > _SHOWN)
    size = os.path.getsize(model_files.find(name)) / 1e6
    known = "any painting" if network.predictor else counted(len(styles), "style")
    return printable(name), known, f"{size:.1f} MB", model_cards.purposes().get(name, learned)


def run() -> None:
    command_line.run(define_flags, main)
