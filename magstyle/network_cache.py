"""Networks that only Keras and TensorFlow could open, kept as `.keras` files in the user's cache folder.

A file is named after what the network was read from, by which version of this package, and after its own content. So it
is never taken for another one, and a damaged one is none; whatever goes wrong here, the network is read anew.
"""

import contextlib
import glob
import hashlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence

import magstyle
from magstyle import files, networks
from magstyle.errors import InputError
from magstyle.networks import Network


def read(parts: Sequence[str | os.PathLike]) -> Network | None:
    """The network that was read from these files, as this version reads them; None where it is not there.

    Args:
        parts: all files of the checkpoint.
    """
    with contextlib.suppress(OSError, InputError):
        source = _digest(parts)
        for path in _folder().glob(f"{glob.escape(source)}-*.keras"):
            if path.stem == f"{source}-{_digest([path])}":
                return networks.read_keras(path)
    return None


def write(parts: Sequence[str | os.PathLike], save: Callable[[pathlib.Path], object]) -> None:
    """Keeps a network, as far as the disk lets it.

    Args:
        parts: all files of the checkpoint that it was read from.
        save: writes it to a `.keras` file.
    """
    with contextlib.suppress(OSError, InputError), tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder, "network.keras")
        save(saved)
        with files.replacing(_folder() / f"{_digest(parts)}-{_digest([saved])}.keras") as temporary:
            temporary.write_bytes(saved.read_bytes())


def _folder() -> pathlib.Path:
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(os.path.expanduser(base)) / "magstyle"


def _digest(parts: Sequence[str | os.PathLike]) -> str:
    digest = hashlib.sha256(magstyle.__version__.encode())
    for part in parts:
        digest.update(hashlib.sha256(pathlib.Path(part).read_bytes()).digest())
    return digest.hexdigest()
