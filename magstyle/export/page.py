"""A static web page that paints photos in the browser with LiteRT.js: HTML, CSS and JavaScript, without a server."""

import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from magstyle import files, options, sizes
from magstyle.checkpoints import model_files
from magstyle.checkpoints.networks import Network
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export import example_photo, tflite
from magstyle.export.jobs import PageJob
from magstyle.painting.stylizer import Stylizer

if TYPE_CHECKING:
    pass

_SOURCE = pathlib.Path(__file__).with_suffix("")
_EXAMPLE = "example.jpg"

_LITERT_VERSION = "2.5.3"
# Hashes of the two npm packages, by name.
_SHA256 = {
    "core": "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd",
    "wasm-utils": "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7",
}
# The builds of the runtime; a browser needs one: without threads, with threads, or without relaxed SIMD.
_RUNTIMES = [f"litert_wasm{build}_internal.{kind}" for build in ("", "_threaded", "_compat") for kind in ("js", "wasm")]

# The generated script that lists the page's files and styles; we also recognise a page of ours by it.
_SITE = "site.js"
_SITE_START = "self.SITE = "
_THUMBNAIL_SIDE = 160


@options.takes(PageJob)
def build_page(job: PageJob) -> pathlib.Path:
    """Writes the page.

    A LiteRT model in the browser has one shape, while photos and cameras have many. So the page holds one file, and a
    list of the numbers in it that are heights and widths, which the browser sets before it opens the file. The weights
    are float32: LiteRT.js 2.5 leaves the convolutions of a float16 file to slower kernels.

    Returns:
        The path of its index.html.

    Raises:
        InputError: as `load_model`; for sizes that do not fit into memory, a folder that holds something else or cannot
            be written, a photo that cannot be read, or LiteRT.js missing from Keras's cache without a connection to
            registry.npmjs.org.
    """
    folder = files.expanded(job.output_dir)
    image_size, preview_size = sizes.padded(job.image_size), sizes.padded(job.preview_size)
    network = model_files.read_network(job.checkpoint)
    Stylizer(network).check_size(image_size, image_size)
    _check_replaceable(folder)
    example = images.read_image(example_photo() if job.photo is None else files.expanded(job.photo))
    packages = {name: _download(name) for name in _SHA256}
    files.make_folder(folder.parent)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            unfinished = pathlib.Path(temporary) / folder.name
            shutil.copytree(_SOURCE, unfinished)
            _write_example(example, image_size, unfinished / _EXAMPLE)
            _write_litert(packages, unfinished / "litert")
            site = {
                "styles": _write_thumbnails(network, example, preview_size, unfinished),
                "network": _write_network(network, unfinished / "network.tflite"),
                "previewSize": preview_size,
                "imageSize": image_size,
                "litert": "litert/",
                "example": _EXAMPLE,
            }
            _write_site(site, unfinished)
            _install(unfinished, folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder / "index.html"


def _check_replaceable(folder: pathlib.Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()) and _read_site(folder) is None:
            raise InputError(
                f"{folder} holds something other than a page of magstyle; output_dir must be a new or empty folder",
                "output_dir",
            )
        files.make_folder(folder)
    elif folder.exists():
        raise InputError(f"cannot make the folder {folder}: there is a file of that name")


def _read_site(folder: pathlib.Path) -> dict | None:
    """What site.js says of the page in a folder; None if there is no page of ours."""
    try:
        return json.loads((folder / _SITE).read_text(encoding="utf-8").removeprefix(_SITE_START).removesuffix(";\n"))
    except (OSError, ValueError):
        return None


def _download(name: str) -> bytes:
    """The tarball of an npm package, from Keras's cache of downloads if it is there; its content is checked."""
    folder = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    path = files.expanded(folder) / "magstyle" / f"litertjs-{name}-{_LITERT_VERSION}.tgz"
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if _is_package(content, name):
            return content
    url = f"https://registry.npmjs.org/@litertjs/{name}/-/{name}-{_LITERT_VERSION}.tgz"
    received = io.BytesIO()
    try:
        with urllib.request.urlopen(url) as reply:
            size = int(reply.headers["Content-Length"] or 0)
            with tqdm.wrapattr(reply, "read", total=size, desc=f"LiteRT.js {name}", leave=False) as counted:
                shutil.copyfileobj(counted, received)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"cannot download LiteRT.js from {url}: {error}") from error
    content = received.getvalue()
    if not _is_package(content, name):
        raise InputError(f"cannot use what {url} sent as LiteRT.js: its SHA-256 differs from the one we know")
    # Where the cache cannot be written, the next page needs a connection again.
    with contextlib.suppress(InputError), files.replacing(path) as temporary:
        temporary.write_bytes(content)
    return content


def _is_package(content: bytes, name: str) -> bool:
    return hashlib.sha256(content).hexdigest() == _SHA256[name]


def _write_example(example: np.ndarray, image_size: int, path: pathlib.Path) -> None:
    # Written anew, so that it does not tell where and when it was taken.
    picture = _to_pillow(example)
    picture.thumbnail((image_size, image_size), Image.Resampling.LANCZOS)
    picture.save(path, quality=90)


def _write_litert(packages: dict[str, bytes], folder: pathlib.Path) -> None:
    (folder / "wasm").mkdir(parents=True)
    archives = (io.BytesIO(packages[name]) for name in ("core", "wasm-utils"))
    with tarfile.open(fileobj=next(archives)) as core, tarfile.open(fileobj=next(archives)) as wasm_utils:

        def read(archive: tarfile.TarFile, name: str) -> bytes:
            file = archive.extractfile(f"package/{name}")
            assert file is not None, name  # The content of the archives is known.
            return file.read()

        # Browsers do not resolve package names in workers, even with import maps.
        index = read(core, "dist/index.js").replace(b'from "@litertjs/wasm-utils"', b'from "./wasm-utils.js"')
        # Source maps stay behind.
        (folder / "index.js").write_bytes(index[: index.rindex(b"//# sourceMappingURL")])
        utils = read(wasm_utils, "dist/index.js")
        (folder / "wasm-utils.js").write_bytes(utils[: utils.rindex(b"//# sourceMappingURL")])
        for name in _RUNTIMES:
            (folder / "wasm" / name).write_bytes(read(core, f"wasm/{name}"))


def _write_thumbnails(network: Network, example: np.ndarray, size: int, folder: pathlib.Path) -> list[dict[str, str]]:
    """Paints the middle of the example in every style; returns what the page says of the styles."""
    height, width, _ = example.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = _to_pillow(example[top : top + side, left : left + side]).resize((size, size), Image.Resampling.LANCZOS)
    pixels = images.to_float(square)
    stylizer = Stylizer(network)
    (folder / "styles").mkdir()
    styles = []
    for k, name in enumerate(network.style_names):
        path = f"styles/{k}.jpg"
        picture = _to_pillow(stylizer.stylize(pixels, stylizer.style_weights(k)))
        picture.resize((_THUMBNAIL_SIDE,) * 2, Image.Resampling.LANCZOS).save(folder / path, quality=85)
        styles.append({"name": name, "label": _label(name), "thumbnail": path})
    return styles


def _label(name: str) -> str:
    """The name of a style as a title, such as "Hokusai The Great Wave" for hokusai-the-great-wave."""
    words = name.replace("-", " ").replace("_", " ").split()
    return " ".join(word if k and len(word) < 3 else word[:1].upper() + word[1:] for k, word in enumerate(words))


def _to_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(images.to_uint8(image))


def _write_network(network: Network, path: pathlib.Path) -> dict[str, str | list[list[int]]]:
    """Writes the LiteRT file.

    Returns:
        Its name as `file`; and under `height` and `width`, the numbers in it that depend on these: [position, factor,
        summand] for each, where the int32 at `position`, counted in int32s, is `factor * side / 4 + summand`.
    """
    # No two sides are alike at any depth of the network, so that none of its constants are taken for one.
    height, width = 404, 508
    content, *changed = (
        tflite.convert(network, (height + more, width + wider)) for more, wider in ((0, 0), (4, 0), (0, 4))
    )
    path.write_bytes(content)
    numbers = _integers(content)
    places = []
    for side, other in zip((height, width), map(_integers, changed), strict=True):
        factors = other - numbers
        summands = numbers - factors * (side // 4)
        (positions,) = np.nonzero(factors)
        places.append(np.stack([positions, factors[positions], summands[positions]], axis=1).tolist())
    return {"file": path.name, "height": places[0], "width": places[1]}


def _integers(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<i4", len(content) // 4).astype(np.int64)


def _write_site(site: dict, folder: pathlib.Path) -> None:
    """Writes site.js, with the page's files and a hash of them, which names the page's cache for offline use."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256(json.dumps(site).encode())
    for path in paths:
        digest.update(path.read_bytes())
    names = [path.relative_to(folder).as_posix() for path in paths]
    large = [name for name in names if name.startswith("litert/") or name.endswith(".tflite")]
    small = [name for name in [*names, _SITE] if name not in large]
    site = {"version": digest.hexdigest()[:16], **site, "small": small, "large": large}
    (folder / _SITE).write_text(f"{_SITE_START}{json.dumps(site)};\n", encoding="utf-8")


def _install(new: pathlib.Path, folder: pathlib.Path) -> None:
    old = _read_site(folder)
    if old is None:
        new.chmod(0o755)
        os.replace(new, folder)  # Also onto an empty folder.
        return
    site = _read_site(new)
    assert site  # _write_site has just written it.
    # site.js comes last: it tells browsers of the new version, and us that the folder is ours.
    names = [name for name in [*site["small"], *site["large"]] if name != _SITE]
    for name in [*names, _SITE]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / name, folder / name)
    for name in {*old["small"], *old["large"]} - {*names, _SITE}:
        (folder / name).unlink(missing_ok=True)
