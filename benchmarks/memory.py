"""How much memory and time does a photo take, and does `Stylizer` foresee it?

The peak is that of the process, which stylises all photos, from small to large. The foreseen memory is the least that
suffices: LiteRT takes more if it is free, to paint photos of a few megapixels in one piece, which is faster than tiles.

With --fit, it prints the coefficients of magstyle/painting/memory.py instead, in float32 numbers per pixel. They are
fitted by least squares to the memory by which fresh processes grow, one for each network; memory.py rounds them up.
"""

import itertools
import multiprocessing
import pathlib
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import psutil

import measuring
import networks
from magstyle.checkpoints import model_files
from magstyle.models import vgg
from magstyle.painting import margin, memory
from magstyle.painting.engines import KerasEngine, LiteRTEngine
from magstyle.painting.stylizer import Stylizer

COLUMNS = ["alpha", "photo", "peak, GiB", "foreseen, GiB", "seconds", "s / megapixel"]
FIT_COLUMNS = ["memory of", "constant", "per channel", "per feature", "foreseen / measured, least", "most"]
PAINTING = ["litert", "litert without addresses", "litert per pixel", "keras"]
TRAINING = ["training", "fine-tuning"]
# Styles with a weight for each pixel, and photos in a step of training, whose sides are this many times smaller.
REGIONS, BATCH, SMALLER = 2, 2, 4


def measure(engine: str, alphas: Sequence[float], photos: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    models = {alpha: networks.style_transformer(alpha) for alpha in alphas}
    for model in models.values():
        Stylizer(model, engine).stylize(np.zeros((64, 64, 3)), 0)
    before = peak_memory()
    # The peak of a process never falls, so from small to large.
    cases = sorted(
        (memory.needed(model.convolutions, engine, height, width), alpha, width, height)
        for alpha, model in models.items()
        for width, height in photos
    )
    for needed, alpha, width, height in cases:
        stylizer = Stylizer(models[alpha], engine)  # This frees the graph of the one before.
        photo = np.random.default_rng(0).random((height, width, 3), np.float32)
        took = measuring.seconds(lambda photo=photo, stylizer=stylizer: stylizer.stylize(photo, 0))
        yield [
            f"{alpha:g}",
            f"{width} x {height}",
            f"{peak_memory() / 2**30:.2f}",
            f"{(before + needed) / 2**30:.2f}",
            f"{took:.1f}",
            f"{took / (width * height / 1e6):.2f}",
        ]


def fit(kinds: Sequence[str], alphas: Sequence[float], side: int) -> Iterator[list[str]]:
    """The rows of coefficients.

    Args:
        kinds: of work, in PAINTING and TRAINING.
        alphas: of the networks, at least two.
        side: of the photo, in pixels; a quarter of that for training.
    """
    with tempfile.TemporaryDirectory() as folder:
        narrow = str(narrow_vgg(pathlib.Path(folder)))
        for kind in kinds:
            vggs = ["random:0", narrow] if kind in TRAINING else [""]
            cases = []
            for alpha, vgg_checkpoint in itertools.product(alphas, vggs):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    cases.append(pool.apply(grown, (kind, alpha, vgg_checkpoint, side)))
            terms, measured, foreseen = (np.array(values) for values in zip(*cases, strict=True))
            coefficients = np.linalg.lstsq(terms, measured, rcond=None)[0]
            cells = [f"{coefficient:.2f}" for coefficient in coefficients]
            ratios = foreseen / measured
            yield [kind, *cells, *[""] * (3 - len(cells)), f"{ratios.min():.2f}", f"{ratios.max():.2f}"]


def grown(kind: str, alpha: float, vgg_checkpoint: str, side: int) -> tuple[list[float], float, float]:
    """Measures a process of its own.

    Returns:
        The terms that coefficients are fitted to; and the numbers per pixel that were measured and foreseen.
    """
    if kind in TRAINING:
        return grown_by_training(kind, alpha, vgg_checkpoint, side // SMALLER)
    model = networks.style_transformer(alpha)
    weights = np.full(model.num_styles, 0.25, np.float32)
    regions = 0
    if kind == "litert per pixel":
        regions = REGIONS
        weights = np.zeros((side, side, model.num_styles), np.float32)
        weights[..., :regions] = 0.5
    network = model_files.read_network(model)

    def paint(photo: np.ndarray) -> None:
        engine = KerasEngine(model) if kind == "keras" else LiteRTEngine(network)
        if kind == "litert without addresses":
            engine.expect([photo.shape[:2]])
        engine.paint(photo, weights if regions == 0 else weights[: len(photo), : len(photo)], lambda share: None)

    paint(np.zeros((64, 64, 3), np.float32))
    before = psutil.Process().memory_info().rss
    paint(np.zeros((side, side, 3), np.float32))
    measured = (peak_memory() - before) / side**2 / 4
    if kind == "keras":
        needed = memory.needed(network.convolutions, "keras", side, side)
    else:
        keeps = kind != "litert without addresses"
        framed = margin.framed(side)
        needed = memory.needed_in_one_piece(network.convolutions, framed, framed, regions, keeps)
    return [1.0, max(memory.tensors(network.convolutions))], measured, needed / side**2 / 4


def grown_by_training(kind: str, alpha: float, vgg_checkpoint: str, side: int) -> tuple[list[float], float, float]:
    """The same as `grown`, for some steps of training."""
    model = networks.style_training(alpha, vgg_checkpoint, frozen=kind == "fine-tuning")
    pixels = BATCH * side**2
    before = psutil.Process().memory_info().rss
    batch = {"image": np.zeros((BATCH, side, side, 3), np.float32), "label": np.arange(BATCH, dtype=np.int32)}
    for _ in range(3):
        model.train_on_batch(batch)
    measured = (peak_memory() - before) / pixels / 4
    terms = [1.0, sum(memory.tensors(model.transformer.convolutions)), memory.features(model.vgg)]
    return terms, measured, memory.needed_to_train(model.transformer, model.vgg, BATCH, side) / pixels / 4


def narrow_vgg(folder: pathlib.Path) -> pathlib.Path:
    """A VGG-16 of a quarter of the width, in a file."""
    path = folder / "vgg.npz"
    weights = vgg.random_weights(0)
    np.savez(path, **{name: quarter(value) for name, value in weights.items()})
    return path


def quarter(values: np.ndarray) -> np.ndarray:
    """A quarter of the channels of a kernel [k, k, C_in, C_out] or a bias [C_out], but all three of an image."""
    inputs = values[:, :, : max(3, values.shape[2] // 4)] if values.ndim == 4 else values
    return inputs[..., : values.shape[-1] // 4]


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def size(text: str) -> tuple[int, int]:
    """Width and height of `WIDTHxHEIGHT`."""
    width, height = map(int, text.split("x"))
    return width, height


if __name__ == "__main__":
    parser = measuring.parser(__doc__, alphas=[1.0, 0.25])
    megapixels = [(3000, 2000), (4000, 3000), (6000, 4000)]
    parser.add_argument("--photos", type=size, nargs="+", default=megapixels, help="WIDTHxHEIGHT, in pixels")
    parser.add_argument("--engine", default="litert", choices=["litert", "keras"], help="the engine that computes")
    kinds = [*PAINTING, *TRAINING]
    parser.add_argument("--fit", nargs="*", choices=kinds, help="coefficients to fit, all if none is named")
    parser.add_argument("--side", type=int, default=1024, help="of the photo that they are fitted to, in pixels")
    flags = parser.parse_args()
    if flags.fit is not None:
        measuring.print_table(FIT_COLUMNS, fit(flags.fit or kinds, flags.alphas, flags.side))
        sys.exit()
    measuring.print_table(COLUMNS, measure(flags.engine, flags.alphas, flags.photos))
