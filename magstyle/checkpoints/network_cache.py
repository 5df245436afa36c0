"""Networks that only Keras and TensorFlow could open, kept as `.npz` files in the user's cache folder.

A file is named after what the network was read from, by which version of this package, and after its own content. So it
is never taken for another one, and a damaged one is none; whatever goes wrong here, the network is read anew.
"""

import contextlib
import glob
import hashlib
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence

import magstyle
from magstyle import files
from magstyle.checkpoints import networks
from magstyle.checkpoints.networks import Network
from magstyle.errors import InputError


def read(parts: Sequence[str | os.PathLike]) -> Network | None:
    """The network that was read from these files, as this version reads them; None where it is not there.

    Args:
        parts: all files of the checkpoint.
    """
    with contextlib.suppress(OSError):
        source = _digest_of_files(parts)
        for path in _folder().glob(f"{glob.escape(source)}-*.npz"):
            content = path.read_bytes()
            if path.stem == f"{source}-{_digest([content])}":
                return networks.unpack(content)
    return None


def write(parts: Sequence[str | os.PathLike], network: Network) -> None:
    """Keeps a network, as far as the disk lets it.

    Args:
        parts: all files of the checkpoint that it was read from.
        network: what was read.
    """
    content = networks.pack(network)
    with (
        contextlib.suppress(OSError, InputError),
        files.replacing(_folder() / f"{_digest_of_files(parts)}-{_digest([content])}.npz") as temporary,
    ):
        temporary.write_bytes(content)


def _folder() -> pathlib.Path:
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(os.path.expanduser(base)) / "magstyle"


def _digest_of_files(parts: Sequence[str | os.PathLike]) -> str:
    return _digest(pathlib.Path(part).read_bytes() for part in parts)


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256(magstyle.__version__.encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
