"""What programs print to: stdout and stderr that show every name, and end a program without a traceback."""

import codecs
import io
import os
import sys
from typing import Any, NoReturn

# The name under which `_as_it_is_or_escaped` is registered with Python.
_ERRORS = "magstyle.as_it_is_or_escaped"


def prepare() -> None:
    """Makes stdout and stderr print every name, and end the program without a traceback if they cannot be written."""
    codecs.register_error(_ERRORS, _as_it_is_or_escaped)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # It is closed, by `>&-`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_StandardOutput(before.fileno(), "w", closefd=False)),
        before.encoding,
        _ERRORS,
        line_buffering=bool(before.line_buffering or getattr(before, "write_through", False)),
    )


def exit_with(sentence: str) -> NoReturn:
    """Ends the program with code 1, and prints a sentence after the program's name."""
    sys.exit(f"{os.path.basename(sys.argv[0])}: {' '.join(sentence.split())}")


class _StandardOutput(io.FileIO):
    """Ends the program if its output cannot be written: in silence if the reader, such as `| head`, has gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # Python writes the rest when it exits, and would complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                sys.exit(1)
            exit_with(f"cannot write to standard output: {error.strerror}")


def _as_it_is_or_escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """Prints file names that are not valid text byte by byte, and characters that the terminal lacks as Python does."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)
