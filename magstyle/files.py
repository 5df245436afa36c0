"""Writing users' files so that none is ever half written."""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

import psutil

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None
    import msvcrt

from magstyle.errors import InputError


def make_folder(path: str | os.PathLike) -> pathlib.Path:
    """Makes a folder and its parents where they are missing.

    Raises:
        InputError: if it cannot be made, or written to.
    """
    path = pathlib.Path(path)
    if re.match(r"[a-z][a-z0-9]+:/", str(path)):  # Which would become a folder of that name here.
        raise InputError(f"cannot make the folder {path}: it must be on a local or shared disk, not in a bucket")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"cannot write to the folder {path}: permission denied")
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name beside `path` to write a file or a folder to; renames it to `path` after the block.

    The folder of `path` is made if it is missing. If the block fails, what was written goes and `path` is as it was.

    Raises:
        InputError: if the operating system refuses (no space, no permission, a folder of that name).
    """
    path = pathlib.Path(path)
    temporary = _half_written(path)
    make_folder(path.parent)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def locked(path: str | os.PathLike, refusal: InputError) -> Iterator[None]:
    """Holds a file, made if it is missing, so that no other process can do so during the block.

    The operating system lets go of it however the process ends; the file stays. Where a disk knows no locks, there is
    none.

    Args:
        path: of the file.
        refusal: what to raise if it is held already.

    Raises:
        InputError: that one, or if the file cannot be made.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):
            try:
                _lock(file)
            except (BlockingIOError, PermissionError):
                raise refusal from None
        yield
    finally:
        os.close(file)


def remove_leftovers(folder: str | os.PathLike, name: str = ".*") -> None:
    """Removes what programs that were killed had half written in a folder and in those below.

    Args:
        folder: where to look.
        name: a regular expression of the names that the files were to have.
    """
    for below, _, names in os.walk(folder):
        for found in names:
            leftover = re.fullmatch(rf"\.(\d+)-(?:{name})", found)
            if leftover and _has_ended(int(leftover[1])):
                pathlib.Path(below, found).unlink(missing_ok=True)


def _lock(file: int) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)


def _half_written(path: pathlib.Path) -> pathlib.Path:
    """Where this process writes what is to become `path`."""
    # Hidden, and with the same extension: libraries choose the format by it.
    return path.with_name(f".{os.getpid()}-{path.name}")


def _has_ended(process: int) -> bool:
    # A number that is now our own was another's when it wrote.
    return process == os.getpid() or not psutil.pid_exists(process)
