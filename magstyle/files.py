"""Users' files: what is wrong with one is one sentence when it is read, and none is ever half written."""

import contextlib
import os
import pathlib
import re
import shutil
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import psutil

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None
    import msvcrt

from magstyle.errors import InputError, is_out_of_memory

# Weights hardly compress; what asks for more than this many times its file's size was made to fill the memory.
_EXPANSION = 20
_SMALL = 2**20


@contextlib.contextmanager
def reading(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """A guard around whatever reads a file: all that goes wrong in the block becomes an InputError of one sentence.

    Args:
        path: of the file.
        kind: what it must be, such as ".npz file".

    Raises:
        InputError: for a path that `check_regular` refuses; for what the operating system says of the file, the lack of
            memory, or any other exception, which means that the file is not of that kind.
    """
    check_regular(path)
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Every library has exceptions of its own for damaged files, and none lists them.
        if is_out_of_memory(error):
            reason = "there is no memory for it"
        else:
            reason = getattr(error, "strerror", None) or f"it is no {kind}, or a damaged one"
        raise InputError(f"cannot read {path}: {reason}") from error


def read_bytes(path: str) -> bytes:
    """The bytes of a file, local or in a bucket; raises an InputError if it cannot be read."""
    if "://" not in path:
        check_regular(path)
        try:
            return pathlib.Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(for_tensorflow(path), "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path}: {error.message}") from error


def check_regular(path: str | os.PathLike) -> None:
    """Raises an InputError for a named pipe or a device, which a reader would wait for for ever.

    Folders, and paths where there is nothing, are left to what the operating system says of them.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"cannot read {path}: it is no regular file")


def check_expansion(path: str | os.PathLike, size: int, stored: int | None = None) -> None:
    """Raises an InputError if a file asks for out of proportion more memory than it takes on disk.

    Args:
        path: of the file.
        size: how many bytes it is to take in memory.
        stored: how many it takes on disk; the size of the file by default.
    """
    stored = os.path.getsize(path) if stored is None else stored
    if size > _EXPANSION * stored + _SMALL:
        raise InputError(f"cannot read {path}: it asks for {size} bytes of memory, but holds only {stored}")


def check_archive(path: str | os.PathLike) -> None:
    """Raises an InputError for a zip archive, such as .keras or .npz, that `check_expansion` refuses."""
    with zipfile.ZipFile(path) as archive:
        check_expansion(path, sum(member.file_size for member in archive.infolist()))


def check_hdf5(path: str | os.PathLike, file: BinaryIO | None = None) -> int:
    """Raises an InputError for an HDF5 file that `check_expansion` refuses.

    Args:
        path: of the file.
        file: its content, where it is part of the file at `path`.

    Returns:
        How many bytes its arrays take in memory.
    """
    import h5py  # Here, as most readers can do without.

    sizes = []
    with h5py.File(path if file is None else file, "r") as content:
        content.visititems(lambda _, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
    check_expansion(path, sum(sizes))
    return sum(sizes)


def expanded(path: str | os.PathLike) -> pathlib.Path:
    """The path, "~" replaced by the home of its user; raises an InputError if there is none."""
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot find {path}: there is no home of that user") from error


def for_tensorflow(path: str | os.PathLike) -> str:
    """A path, local or in a bucket, as TensorFlow takes it, in any locale.

    Raises:
        InputError: if it is not in UTF-8, or begins as `https://` does, for which TensorFlow has no file system.
    """
    try:
        found = os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"cannot use {path}: TensorFlow takes only paths in UTF-8") from error
    scheme, address, _ = found.partition("://")
    if address:
        import tensorflow as tf  # Here, as local files can do without.

        if scheme not in tf.io.gfile.get_registered_schemes():
            raise InputError(f"cannot use {path}: there are no files at {scheme}://; download it first")
    return found


def inside(path: str | os.PathLike, source: object, suffix: str) -> pathlib.Path:
    """Where to write what is made of a checkpoint: a path or, where that is a folder, a file in it.

    Args:
        path: "~" is expanded.
        source: the checkpoint, by whose name such a file is called, "model" if it has none.
        suffix: of such a file.

    Raises:
        InputError: as `expanded`.
    """
    path = expanded(path)
    if not path.is_dir():
        return path
    name = os.path.basename(os.path.abspath(source)) if isinstance(source, str | os.PathLike) else "model"
    return path / (re.sub(r"\.(keras|pb|ckpt|index)$", "", name) + suffix)


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
