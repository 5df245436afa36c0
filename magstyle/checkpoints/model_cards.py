"""What the model cards in `magstyle/pretrained/` say about the bundled models and their paintings."""

import functools
import pathlib
import re
from typing import NamedTuple

_FOLDER = pathlib.Path(__file__).parents[1] / "pretrained"
_FIRST_SENTENCE = r"^# (\S+)\n+(.+?\.)\s"
_UNKNOWN = "not known to us"
_PAINTINGS = r"^\| style \| painter \| title \| year \|.*\n\|[-|]+\n((?:\|.*\n)+)"


class Painting(NamedTuple):
    """The painting from which a style was learned; the year may be ""."""

    painter: str
    title: str
    year: str


@functools.cache
def purposes() -> dict[str, str]:
    """The first sentence of each model's card, by the name of the model."""
    return {name: " ".join(text.split()) for card in _cards() for name, text in re.findall(_FIRST_SENTENCE, card, re.S)}


@functools.cache
def paintings() -> dict[str, Painting]:
    """The paintings of all bundled models, by the name of the style; a fine-tuned model has the same names."""
    rows = "".join(table for card in _cards() for table in re.findall(_PAINTINGS, card, re.M))
    found = {}
    for row in rows.splitlines():
        style, painter, title, year = (cell.strip() for cell in row.split("|")[1:5])
        found[style.strip("`")] = Painting(re.sub(r" \(.*\)", "", painter), title, year.replace(_UNKNOWN, ""))
    return found


def _cards() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.md"))]
