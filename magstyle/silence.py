"""Silences C++ libraries that log to stderr and have no setting to stop it."""

import atexit
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator

# All threads of a process share one stderr.
_lock = threading.Lock()


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Discards everything that is written to stderr during the block, by C++ code too."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with _lock, contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
        except OSError:  # stderr is closed.
            stderr = None
        if stderr is not None:
            stack.callback(os.close, stderr)
            stack.callback(os.dup2, stderr, 2)
            _redirect()
        yield


@functools.cache
def silence_the_end() -> None:
    """Discards what is written to stderr after Python has ended, by libraries that log when they are unloaded."""
    atexit.register(_redirect)


def _redirect() -> None:
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 2)
