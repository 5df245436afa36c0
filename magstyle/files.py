"""Users' files: a file that cannot be read is an error of one sentence, and no file is left half written."""

import contextlib
import functools
import io
import os
import pathlib
import platform
import re
import shutil
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import psutil

from magstyle.errors import InputError, is_out_of_memory

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Weights hardly compress: anything that expands further, beyond _SMALL bytes, is treated as a decompression bomb.
_EXPANSION = 20
_SMALL = 2**20
# In bytes, on all common disks.
_LONGEST_NAME = 255
# The folders that this process has written to.
_TIDY: set[str] = set()
_TIDYING = threading.Lock()


@contextlib.contextmanager
def reading(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Guards a block that opens and reads a file: calls `check_regular`, and guards as `parsing` does."""
    check_regular(path)
    with parsing(path, kind):
        yield


@contextlib.contextmanager
def parsing(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Turns whatever the block raises while it reads a file into an InputError of one sentence.

    The block holds only the library's calls, or a parser of our own, which fails in as many ways on damaged bytes. In
    any other code of ours, an exception is a bug, and must be seen as one.

    Args:
        path: the file.
        kind: the kind that the file must be, such as ".npz file".

    Raises:
        InputError: if the block raises an error of the operating system, runs out of memory, or raises anything else,
            which means that the file is not of that kind or is damaged.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Every library has exceptions of its own for damaged files, and none lists them.
        if is_out_of_memory(error):
            reason = "there is no memory for it"
        else:
            reason = getattr(error, "strerror", None) or f"it is not a valid {kind}"
        raise InputError(f"cannot read {path}: {reason}") from error


def read_bytes(path: str) -> bytes:
    """Reads the bytes of a file, local or in a bucket; raises an InputError if that fails."""
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
    """Raises an InputError for a named pipe or a device, on which a reader would wait forever.

    Folders and missing files pass: the operating system reports them when they are opened.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"cannot read {path}: it is not a regular file")


def check_expansion(path: str | os.PathLike, size: int, stored: int | None = None) -> None:
    """Raises an InputError if a file takes far more memory than its size on disk accounts for.

    Args:
        path: the file.
        size: the bytes that it would take in memory.
        stored: the bytes that it takes on disk; the size of the file by default.
    """
    stored = os.path.getsize(path) if stored is None else stored
    if size > _EXPANSION * stored + _SMALL:
        raise InputError(f"cannot read {path}: it asks for {size} bytes of memory, but holds only {stored}")


def check_archive(path: str | os.PathLike) -> None:
    """Raises an InputError for a zip archive, such as .keras or .npz, if `check_expansion` refuses it.

    So it does if `check_hdf5` refuses an HDF5 file in the archive.
    """
    with zipfile.ZipFile(path) as archive:
        check_expansion(path, sum(member.file_size for member in archive.infolist()))
        for name in archive.namelist():
            if name.endswith((".h5", ".hdf5")):
                check_hdf5(path, io.BytesIO(archive.read(name)))


def check_hdf5(path: str | os.PathLike, file: BinaryIO | None = None) -> int:
    """Raises an InputError for an HDF5 file that `check_expansion` refuses, or that takes content from other files.

    HDF5 would follow links and arrays out of the file, and read whatever file of the user's they name.

    Args:
        path: the file.
        file: its content, if that is only a part of the file at `path`.

    Returns:
        The bytes that its arrays take in memory.
    """
    import h5py  # Here, as most readers do without it.

    sizes: list[int] = []

    # What these return but None ends the visit.
    def leads_outside(_: str, link: object) -> bool | None:
        return None if isinstance(link, h5py.HardLink | h5py.SoftLink) else True

    def lies_outside(_: str, item: object) -> bool | None:
        if not isinstance(item, h5py.Dataset):
            return None
        sizes.append(item.nbytes)
        return True if item.external or item.is_virtual else None

    with h5py.File(path if file is None else file, "r") as content:
        if content.visititems_links(leads_outside) or content.visititems(lies_outside):
            raise InputError(f"cannot read {path}: it takes content from other files")
    check_expansion(path, sum(sizes))
    return sum(sizes)


def check_name(path: str | os.PathLike) -> None:
    """Raises an InputError for a path at which no file can be, such as a name that is too long.

    What can be said only once the file is written, such as a full disk, `replacing` says.
    """
    _check_local(path)
    place, missing = pathlib.Path(path).absolute(), []
    try:
        while not _exists(place):
            missing.append(place.name)
            place = place.parent
        for name in missing:  # Of a file in a missing folder, the operating system says only that.
            _exists(place / name)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def check_new(path: str | os.PathLike, argument: str) -> None:
    """Raises an InputError for a path, given as this argument, where there is a file already or none can be."""
    check_name(path)
    if os.path.lexists(path):
        raise InputError(f"{path} exists already; remove it first, or choose another {argument}", argument)


def expanded(path: str | os.PathLike) -> pathlib.Path:
    """Replaces "~" in a path by the user's home folder.

    Raises:
        InputError: if there is no such folder, or if the path is an address, such as `gs://bucket/out`.
    """
    _check_local(path)
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot find {path}: that user has no home folder") from error


def for_tensorflow(path: str | os.PathLike) -> str:
    """Returns a path, local or in a bucket, as TensorFlow expects it in any locale.

    Raises:
        InputError: if it is not in UTF-8, or begins with a scheme, such as `https://`, that TensorFlow cannot open.
    """
    try:
        found = os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"cannot use {path}: TensorFlow takes only paths in UTF-8") from error
    scheme, address, _ = found.partition("://")
    if address:
        import tensorflow as tf  # Here, as local files do without it.

        if scheme not in tf.io.gfile.get_registered_schemes():
            raise InputError(f"cannot use {path}: there are no files at {scheme}://; download it first")
    return found


def inside(path: str | os.PathLike, source: object, suffix: str) -> pathlib.Path:
    """Returns the path of a file made from a checkpoint: the given path or, if that is a folder, a file in it.

    Args:
        path: the path; "~" is expanded.
        source: the checkpoint, after which a file in a folder is named, or "model" if it is not a path.
        suffix: the extension of a file in a folder.

    Raises:
        InputError: as `expanded`.
    """
    path = expanded(path)
    if not os.path.isdir(path):
        return path
    name = os.path.basename(os.path.abspath(source)) if isinstance(source, str | os.PathLike) else "model"
    return path / (re.sub(r"\.(keras|pb|ckpt|index|meta|data-\d{5}-of-\d{5})$", "", name) + suffix)


def make_folder(path: str | os.PathLike) -> pathlib.Path:
    """Makes a folder and its parents, unless they exist.

    Raises:
        InputError: if the folder cannot be made or written to.
    """
    _check_local(path)
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"cannot write to the folder {path}: permission denied")
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path`, to write a file or a folder to; renames it to `path` after the block.

    Makes the folder of `path` if it is missing, and removes from it what killed programs left half written. If the
    block fails, removes what it wrote and leaves `path` as it was.

    Raises:
        InputError: if the operating system refuses (no space, no permission, a folder of that name).
    """
    path = pathlib.Path(path)
    check_name(path)
    folder = make_folder(path.parent)
    _tidy_once(folder)
    temporary = folder / _temporary_name(path.name)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        _remove(temporary)


@contextlib.contextmanager
def locked(path: str | os.PathLike, refusal: InputError) -> Iterator[None]:
    """Locks a file, made if it is missing, for this process during the block.

    The operating system unlocks it however the process ends; the file stays. On a disk without locks, does nothing.

    Args:
        path: the file.
        refusal: the error to raise if another process holds the lock.

    Raises:
        InputError: the refusal; or if the file cannot be made.
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


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes what killed programs of this machine left half written in a folder; nothing below it."""
    prefix = _temporary_prefix()
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            process, dash, _ = name.removeprefix(prefix).partition("-")
            if name.startswith(prefix) and dash and process.isdecimal() and _has_ended(int(process)):
                _remove(pathlib.Path(folder, name))


def _exists(path: pathlib.Path) -> bool:
    """Whether there is a file or a folder; raises an OSError where there can be none, or nobody may look."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):  # What stands in the way of a folder, `make_folder` says.
        return False
    return True


def _check_local(path: str | os.PathLike) -> None:
    """Raises an InputError for an address, of which `pathlib` would make a local folder such as `gs:`."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):  # A single letter is a drive of Windows.
        raise InputError(f"cannot use {path}: it must be a path on a local or shared disk, not an address")


def _lock(file: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _temporary_name(name: str) -> str:
    """The name of the file that becomes `name`: hidden, and with the same extension, by which libraries choose formats.

    It tells the machine, as others may write to the same folder, and the process. Of a long name, it has only the end.
    """
    prefix = f"{_temporary_prefix()}{os.getpid()}-"
    while len(os.fsencode(prefix + name)) > _LONGEST_NAME:
        name = name[1:]
    return prefix + name


@functools.cache
def _temporary_prefix() -> str:
    """How all temporary names begin on this machine or, as processes are numbered there anew, in this container."""
    try:
        numbering = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        numbering = 0
    return f".magstyle-{zlib.crc32(f'{platform.node()} {numbering}'.encode()):08x}-"


def _tidy_once(folder: pathlib.Path) -> None:
    """Removes the leftovers of a folder when this process first writes to it."""
    with _TIDYING:  # Else one thread could take for a leftover what another has begun to write.
        key = os.path.realpath(folder)
        if key not in _TIDY:
            remove_leftovers(folder)
            _TIDY.add(key)


def _remove(path: pathlib.Path) -> None:
    """Removes a file, or a folder with all that it holds, if it is there."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def _has_ended(process: int) -> bool:
    # If the number is now our own, the process that wrote the file had it before us.
    return process == os.getpid() or not psutil.pid_exists(process)
