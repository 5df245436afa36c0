"""Runs a program of bin/: flags parsed by absl, every foreseeable failure answered by one sentence.

Ctrl-C and SIGTERM end it with 130 and 143, cleanly.

Import it before anything that imports TensorFlow, whose start-up log it silences.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from magstyle.errors import InputError


def _import_tensorflow_silently() -> None:
    """Spares people three lines about CUDA drivers per start; TF_CPP_MIN_LOG_LEVEL=0 brings them back.

    TensorFlow 2.21 logs while it is imported, whatever that variable says (tensorflow/tensorflow#100442).
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _stop(number: int, _) -> None:
    sys.exit(128 + number)


# From here on, so that Ctrl-C during the import of TensorFlow is no traceback either. What is half done cleans up.
signal.signal(signal.SIGINT, _stop)
signal.signal(signal.SIGTERM, _stop)
if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
    _import_tensorflow_silently()


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Parses the flags and calls `main(argv)`; exits with 1 after an `InputError`."""
    if main.__module__ != "__main__":
        # Installed as a console script: absl's --help lists the flags of sys.argv[0], which defines none itself.
        for flag in flags.FLAGS.get_key_flags_for_module(main.__module__):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def guarded(argv: Sequence[str]) -> None:
        try:
            main(argv)
            sys.stdout.flush()
        except InputError as error:
            _exit(error)
        except BrokenPipeError:
            # The reader of our stdout (`| head`) has gone; Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _exit(error)


def _exit(error: Exception) -> None:
    sentence = " ".join(str(error).split())
    sys.exit(f"{os.path.basename(sys.argv[0])}: {sentence}")
