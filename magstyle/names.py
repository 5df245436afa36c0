"""Turns names of styles and files, wherever they come from, and numbers of things into text that can be printed."""

import re
import sys
import unicodedata
from collections.abc import Iterable

# Control characters, surrogates (such as bytes of a file name that is not text), line and paragraph breaks.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def printable(name: str) -> str:
    r"""Makes a name one line of printable text; escapes other characters as Python does, as in `a\nb`."""
    return "".join(c.encode("unicode_escape").decode() if _is_unprintable(c) else c for c in name)


def in_file_name(name: str) -> str:
    """Makes a name usable as part of a file name: characters that this machine's file names cannot have become `_`."""
    return "".join("_" if c in "/\\" or _is_unprintable(c) or not _file_system_has(c) else c for c in name)


def meant_by(part: str, names: Iterable[str]) -> list[str]:
    """The names that a part of a name stands for, whatever its case and punctuation.

    They are those that are the same as the part; if there are none, those that begin with it; and if there are none of
    these, those that contain it.
    """
    wanted, simplified = _simplified(part), {name: _simplified(name) for name in names}
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = [name for name in simplified if wanted and fits(simplified[name], wanted)]
        if found:
            return found
    return []


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 style" or "3 batches"."""
    ending = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{ending}"


def to_bytes(text: str) -> bytes:
    """Encodes text in UTF-8, keeping the original bytes of the file names in it."""
    return text.encode("utf-8", "surrogateescape")


def _simplified(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE


def _file_system_has(character: str) -> bool:
    try:
        character.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return False
    return True
