"""The folder of a web page: `site.js`, which lists its files, and how a new page takes the place of an earlier one.

A folder that we are given may come from anywhere, and so may a `site.js` in it. So we check all that it says before we
write or remove anything: it must be whole, and list only names that pages have, of files that lie in the folder itself.
"""

import filecmp
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

from magstyle import files
from magstyle.errors import InputError

# The files of every page.
SOURCE = pathlib.Path(__file__).with_name("page")
EXAMPLE = "example.jpg"
NETWORK = "network.tflite"
LIVE_NETWORK = "live.tflite"
PREDICTOR = "predictor.tflite"
# The generated script that lists the page's files and styles; we also recognise a page of ours by it.
_SITE = "site.js"
_START, _END = "self.SITE = ", ";\n"
# Every page has had these.
_ALWAYS = {_SITE, "index.html", "app.js", "sw.js", "worker.js"}
# The names of generated files, also those of earlier versions. A file that leaves SOURCE must be added here.
_GENERATED = re.compile(
    rf"{_SITE}|{EXAMPLE}|(network|live|predictor|preview|picture)\.tflite|styles/[0-9]+\.jpg|litert/(wasm/)?[a-z_-]+\.(js|wasm)"
)


def check_replaceable(folder: pathlib.Path) -> None:
    """Raises an InputError for a folder that is neither missing nor empty nor a page of ours, or cannot be written."""
    if os.path.isdir(folder):
        _earlier_files(folder)
        files.make_folder(folder)
    elif os.path.lexists(folder):
        raise InputError(f"cannot make the folder {folder}: there is a file of that name")


def write_site(site: Mapping[str, object], folder: pathlib.Path) -> None:
    """Writes site.js, with the page's files and a hash of them, which names the page's cache for offline use.

    Args:
        site: all else that the page needs to know.
        folder: the folder, with all other files of the page.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256(json.dumps(site).encode())
    for path in paths:
        digest.update(path.read_bytes())
    names = [path.relative_to(folder).as_posix() for path in paths]
    large = [name for name in names if name.startswith("litert/") or name.endswith(".tflite")]
    small = [name for name in [*names, _SITE] if name not in large]
    site = {"version": digest.hexdigest()[:16], **site, "small": small, "large": large}
    (folder / _SITE).write_text(f"{_START}{json.dumps(site)}{_END}", encoding="utf-8")


def install(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Moves a new page to its folder; of what is there, only an earlier page changes.

    Raises:
        InputError: as `check_replaceable`; or for another file where the new page has one.
    """
    if not os.path.exists(folder):
        new.chmod(0o755)
        os.replace(new, folder)
        return
    old = _earlier_files(folder)
    names = _listed(new)
    assert names  # write_site has just written them.
    _check_places(folder, names)
    for name in sorted(names - old):
        # After an interrupted build, files of the same page may be there already.
        if (folder / name).exists() and not filecmp.cmp(new / name, folder / name, shallow=False):
            raise _not_ours(folder, name)
    # site.js comes last: it tells browsers of the new version, and us that the folder is ours.
    for name in sorted(names, key=lambda name: name == _SITE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / name, folder / name)
    for name in old - names:
        (folder / name).unlink(missing_ok=True)


def _earlier_files(folder: pathlib.Path) -> set[str]:
    """The names of the files of the page that a folder holds; none for an empty folder.

    Raises:
        InputError: for a folder that holds anything else, or a page with links.
    """
    if not any(folder.iterdir()):
        return set()
    names = _listed(folder)
    if names is None:
        raise _not_ours(folder)
    _check_places(folder, names)
    return names


def _listed(folder: pathlib.Path) -> set[str] | None:
    """The names that site.js in a folder lists; None if it is not ours from beginning to end."""
    path = folder / _SITE
    try:
        files.check_regular(path)
        text = path.read_text(encoding="utf-8")
        site = json.loads(text.removeprefix(_START).removesuffix(_END))
    except (OSError, ValueError, RecursionError, InputError):
        return None
    if not (text.startswith(_START) and text.endswith(_END) and isinstance(site, dict)):
        return None
    names: list[object] = []
    for key in ("small", "large"):
        listed = site.get(key)
        if not isinstance(listed, list):
            return None
        names += listed
    ours = [name for name in names if isinstance(name, str) and _is_of_a_page(name)]
    is_whole = len(ours) == len(names) and set(ours) >= _ALWAYS
    return set(ours) if is_whole and re.fullmatch("[0-9a-f]{16}", str(site.get("version"))) else None


def _is_of_a_page(name: str) -> bool:
    return bool(_GENERATED.fullmatch(name)) or name in os.listdir(SOURCE)


def _check_places(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Raises an InputError if one of these names is, or lies behind, a link, or is not that of a file."""
    real = folder.resolve()
    for name in sorted(names):
        path = folder / name
        if path.resolve() != real / name or (path.exists() and not path.is_file()):
            raise _not_ours(folder, name)


def _not_ours(folder: pathlib.Path, name: str = "") -> InputError:
    which = f", {name}" if name else ""
    return InputError(
        f"{folder} holds something other than a page of magstyle{which}; output_dir must be a new or empty folder",
        "output_dir",
    )
