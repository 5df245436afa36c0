"""Names of styles and files, from wherever they come, as text that can be printed and written."""

import sys
import unicodedata

# Control characters, halves of characters (such as bytes of a file name that is no text), line and paragraph breaks.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def printable(name: str) -> str:
    r"""A name as one line of text: what is none of that is written as Python escapes it, as in `a\nb`."""
    return "".join(c.encode("unicode_escape").decode() if _is_unprintable(c) else c for c in name)


def in_file_name(name: str) -> str:
    """A name as a part of one of a file: what cannot be in that, on this machine, becomes `_`."""
    return "".join("_" if c in "/\\" or _is_unprintable(c) or not _file_system_has(c) else c for c in name)


def to_bytes(text: str) -> bytes:
    """Text with names of files in it as UTF-8, the names with their own bytes."""
    return text.encode("utf-8", "surrogateescape")


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE


def _file_system_has(character: str) -> bool:
    try:
        character.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return False
    return True
