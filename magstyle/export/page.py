"""A static web page that paints photos in the browser with LiteRT.js: HTML, CSS and JavaScript, without a server."""

import functools
import io
import math
import pathlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable

import numpy as np
from PIL import Image

from magstyle import files, options, sizes
from magstyle.checkpoints import model_files, paintings
from magstyle.checkpoints.networks import Network, Predictor
from magstyle.data import images
from magstyle.errors import InputError
from magstyle.export import example_photo, litert_js, page_folder, tflite
from magstyle.export.jobs import PageJob
from magstyle.litert import predictor as predictor_graph
from magstyle.painting.stylizer import Stylizer

# The builds of the runtime; a browser needs one: without threads, with threads, or without relaxed SIMD.
_RUNTIMES = [f"litert_wasm{build}_internal.{kind}" for build in ("", "_threaded", "_compat") for kind in ("js", "wasm")]

_THUMBNAIL_SIDE = 160

# The numbers in a LiteRT file that depend on a side of its images: [position, factor, summand] of each, where the int32
# at `position`, counted in int32s, is `factor * (side // step) + summand`. There is one list for each remainder of
# `side / step`.
Places = list[list[list[int]]]


@options.takes(PageJob)
def build_page(job: PageJob) -> pathlib.Path:
    """Writes the page.

    A LiteRT model in the browser has one shape, while photos and cameras have many. So the page holds one file, and a
    list of the numbers in it that are heights and widths, which the browser sets before it opens the file. The weights
    are float32: LiteRT.js 2.5 leaves the convolutions of a float16 file to slower kernels.

    With a model for any painting, the page holds its style predictor, too, and has no styles but those of the paintings
    that people choose.

    Returns:
        The path of its index.html.

    Raises:
        InputError: as `load_model`; for a live_checkpoint with other styles, sizes that do not fit into memory, a
            folder that holds something else or cannot be written, or a photo that cannot be read; or if npm cannot
            fetch LiteRT.js.
    """
    folder = files.expanded(job.output_dir)
    image_size, preview_size = sizes.padded(job.image_size), sizes.padded(job.preview_size)
    network = model_files.read_network(job.checkpoint, any_painting=True)
    live = _live_network(job, network)
    Stylizer(network).check_size(image_size, image_size)
    page_folder.check_replaceable(folder)
    example = images.read_image(example_photo() if job.photo is None else files.expanded(job.photo))
    packages = litert_js.packages()
    place = folder.absolute()  # Unlike ".", it has a name.
    files.make_folder(place.parent)
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as temporary:
            unfinished = pathlib.Path(temporary) / place.name
            shutil.copytree(page_folder.SOURCE, unfinished)
            _write_example(example, image_size, unfinished / page_folder.EXAMPLE)
            _write_litert(packages, unfinished / "litert")
            site = {
                "styles": [] if network.predictor else _write_thumbnails(network, example, preview_size, unfinished),
                "numWeights": network.num_styles,
                "network": _write_network(network, unfinished / page_folder.NETWORK),
                "liveNetwork": live and _write_network(live, unfinished / page_folder.LIVE_NETWORK),
                "predictor": network.predictor
                and _write_predictor(network.predictor, unfinished / page_folder.PREDICTOR),
                "previewSize": preview_size,
                "imageSize": image_size,
                "litert": "litert/",
                "example": page_folder.EXAMPLE,
            }
            page_folder.write_site(site, unfinished)
            page_folder.install(unfinished, place)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder / "index.html"


def _live_network(job: PageJob, network: Network) -> Network | None:
    """The network for moving pictures, if it is another than that for photos."""
    bundled = f"{job.checkpoint}-live"
    checkpoint = job.live_checkpoint or (bundled if bundled in model_files.bundled_models() else None)
    if checkpoint is None:
        return None
    live = model_files.read_network(checkpoint)
    if network.predictor or live.style_names != network.style_names:
        raise InputError(
            f"live_checkpoint={checkpoint} must have the styles of checkpoint={job.checkpoint}, in the same order",
            "live_checkpoint",
            "checkpoint",
        )
    return live


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


def _write_network(network: Network, path: pathlib.Path) -> dict[str, str | int | Places]:
    return _write_resizable(path, functools.partial(tflite.convert, network), sizes.MULTIPLE, remainders=1)


def _write_predictor(predictor: Predictor, path: pathlib.Path) -> dict[str, str | int | Places]:
    """Writes the LiteRT file of a predictor; what it returns also tells the sides of paintings, in pixels."""
    architecture = predictor.architecture
    step = math.prod(row.strides for row in architecture.convolutions)
    build = functools.partial(predictor_graph.build, architecture, predictor.parameters)
    file = _write_resizable(path, lambda size: build(*size), step, remainders=step)
    return {**file, "side": paintings.SIDE, "longest": paintings.LONGEST, "smallest": paintings.SMALLEST}


def _write_resizable(
    path: pathlib.Path, convert: Callable[[tuple[int, int]], bytes], step: int, remainders: int
) -> dict[str, str | int | Places]:
    """Writes a LiteRT file for one size, and finds the numbers in it that make it one for another.

    Args:
        path: the file.
        convert: makes the content of the file for a height and width.
        step: how much a side must grow for every side within the network to grow by a whole number.
        remainders: how many of the remainders of a side, divided by `step`, are possible; 1 for multiples of it.

    Returns:
        The name of the file, `step`, and the places of `height` and `width`.
    """
    # No two sides are alike at any depth of the network, so that none of its constants are taken for one.
    base = (101 * step, 127 * step)
    path.write_bytes(convert(base))

    @functools.cache
    def numbers(more: int, wider: int) -> np.ndarray:
        content = convert((base[0] + more, base[1] + wider))
        return np.frombuffer(content, "<i4", len(content) // 4).astype(np.int64)

    def places(steps: int, down: int, right: int) -> Places:
        found = []
        for remainder in range(remainders):
            before, after = (numbers(down * more, right * more) for more in (remainder, remainder + step))
            factors = after - before
            (positions,) = np.nonzero(factors)
            summands = before - factors * steps
            found.append(np.stack([positions, factors[positions], summands[positions]], axis=1).tolist())
        return found

    return {"file": path.name, "step": step, "height": places(101, 1, 0), "width": places(127, 0, 1)}
