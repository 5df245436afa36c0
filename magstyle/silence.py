"""Keeps from stderr what libraries in C++ log there, whatever they are asked."""

import atexit
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator

# A process has but one stderr for all threads.
_lock = threading.Lock()


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Lets nobody write to stderr, not even those who do not ask Python."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with _lock, contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
        except OSError:  # It is closed.
            stderr = None
        if stderr is not None:
            stack.callback(os.close, stderr)
            stack.callback(os.dup2, stderr, 2)
            _redirect()
        yield


@functools.cache
def silence_the_end() -> None:
    """Lets nobody write to stderr once Python is done, for libraries that log when they are unloaded."""
    atexit.register(_redirect)


def _redirect() -> None:
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 2)
