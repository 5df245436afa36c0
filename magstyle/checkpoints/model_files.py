"""Opens a style transformer from wherever it lives, and saves it."""

import glob
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from magstyle import files, limits, options
from magstyle.checkpoints import magenta, networks, tensorflow_files
from magstyle.checkpoints.networks import Checkpoint, Network, StyleParameters
from magstyle.errors import InputError
from magstyle.models import random_seed
from magstyle.models.architecture import Architecture, scaled
from magstyle.names import counted

if TYPE_CHECKING:
    from magstyle.models.predictor import ArbitraryStyleTransformer
    from magstyle.models.transformer import StyleTransformer

# Readers by the ends of file names; Magenta's checkpoints may have any name.
_READERS: dict[str, Callable[[str], Network]] = {
    ".keras": networks.read_keras,
    ".pb": magenta.read_frozen_graph,
    "": magenta.read_checkpoint,
}
_BUNDLED = pathlib.Path(__file__).parents[1] / "pretrained"


def bundled_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.keras"))


@overload
def load_model(
    checkpoint: Checkpoint,
    num_styles: int | None = ...,
    alpha: float | None = ...,
    *,
    any_painting: Literal[False] = ...,
) -> "StyleTransformer": ...
@overload
def load_model(
    checkpoint: Checkpoint, num_styles: int | None = ..., alpha: float | None = ..., *, any_painting: bool
) -> "StyleTransformer | ArbitraryStyleTransformer": ...
def load_model(
    checkpoint: Checkpoint,
    num_styles: int | None = None,
    alpha: float | None = None,
    *,
    any_painting: bool = False,
) -> "StyleTransformer | ArbitraryStyleTransformer":
    """Opens a style transformer.

    Args:
        checkpoint: one of
            - the name of a bundled model, such as `painters` (./painters is a file or folder of that name);
            - a `.keras` file;
            - a folder: the latest of its .keras files or, if it has none, of its Magenta checkpoints;
            - a Magenta checkpoint, V1 (`model.ckpt`) or V2 (`model.ckpt-40000`, or any of its files);
            - a frozen graph of Magenta's network (`.pb`), with float or eight-bit constants;
            - `random:SEED`: an untrained network of four styles, to try things with;
            - a StyleTransformer, which is returned as it is, or a Network.
        num_styles, alpha: not needed; if given, the model must have them.
        any_painting: whether a model that has no styles but a predictor of them, such as `anything`, will do.

    Returns:
        The model; its `style_names` are numbers as strings where the source has no names.

    Raises:
        InputError: for a path that does not exist, is damaged or is not such a model, for weights that are NaN or
            infinite, for a model that differs from num_styles or alpha, or for anything else, such as None.
    """
    if isinstance(checkpoint, Network | str | os.PathLike):
        network = read_network(checkpoint, num_styles, alpha, any_painting=any_painting)
        return networks.to_arbitrary_model(network) if network.predictor else networks.to_model(network)
    _check_model(checkpoint)
    if hasattr(checkpoint, "predictor") and not any_painting:
        raise _no_styles("the model")
    _check_arguments(checkpoint.architecture, "the model", num_styles, alpha)
    return checkpoint


def read_network(
    checkpoint: Checkpoint,
    num_styles: int | None = None,
    alpha: float | None = None,
    *,
    any_painting: bool = False,
) -> Network:
    """Opens a style transformer as plain arrays, without TensorFlow and, but for old `.keras` files, without Keras.

    Args:
        checkpoint, num_styles, alpha: as for `load_model`.
        any_painting: whether a network that has no styles but a predictor of them will do.

    Raises:
        InputError: where load_model does.
    """
    if isinstance(checkpoint, str | os.PathLike):
        network, source = _read(checkpoint), os.fspath(checkpoint)
    else:
        _check_model(checkpoint)
        network = checkpoint if isinstance(checkpoint, Network) else networks.from_model(checkpoint)
        source = "the model"
    if network.predictor and not any_painting:
        raise _no_styles(source)
    _check_arguments(network.architecture, source, num_styles, alpha)
    return network


def _no_styles(source: str) -> InputError:
    return InputError(
        f"{source} paints in the style of any painting and has no styles of its own; add_styles makes a model of your "
        "paintings with it",
        "checkpoint",
    )


def save_model(
    model: "StyleTransformer | ArbitraryStyleTransformer", path: str | os.PathLike, float16: bool = False
) -> None:
    """Writes a model as a `.keras` file (architecture, weights, style names), or as a Magenta V2 `.ckpt`.

    Args:
        model: the model.
        path: the file.
        float16: stores the weights of a `.keras` file with 16 bits, in half the space. They become float32 again when
            the file is opened.

    Raises:
        InputError: for a name that ends neither in .keras nor in .ckpt or .ckpt-STEP, a model for any painting in a
            Magenta checkpoint, or if the file cannot be written; an older file is then left as it was.
    """
    path = os.fspath(path)
    if path.endswith(".keras"):
        with files.replacing(path) as temporary:
            # The file does not say which type the model has: its weights are float32 again when it is opened.
            (_in_float16(model) if float16 else model).save(temporary)
    elif float16:
        raise InputError(f"cannot write {path} in float16; only .keras files can be", "float16")
    elif re.search(r"\.ckpt(-\d+)?$", path):
        if hasattr(model, "predictor"):
            raise InputError(f"cannot write {path}: only a .keras file holds a model for any painting")
        magenta.save_checkpoint(networks.from_model(model), path)
    else:
        raise InputError(f"cannot write {path}: its name must end in .keras, or in .ckpt for a Magenta checkpoint")


def merge_models(checkpoints: Sequence[Checkpoint]) -> "StyleTransformer":
    """Makes one model of several with the same convolutions, such as models that were fine-tuned from the same one.

    Args:
        checkpoints: the models, each anything that `load_model` opens.

    Returns:
        A model of all their styles, in that order. A style that is the same in several models, to the last bit, is
        taken once.

    Raises:
        InputError: where `load_model` does; for no models at all, models with different convolutions, or two different
            styles of one name.
    """
    if isinstance(checkpoints, str | os.PathLike) or not checkpoints:
        raise InputError(f"checkpoints={checkpoints} must be a list of one model or more", "checkpoints")
    opened = [read_network(checkpoint) for checkpoint in checkpoints]
    found: dict[str, tuple[object, StyleParameters]] = {}
    for source, network in zip(checkpoints, opened, strict=True):
        if not networks.same_arrays(network.kernels, opened[0].kernels):
            raise InputError(f"cannot merge {checkpoints[0]} and {source}: their convolutions differ")
        for style in network.styles:
            other, known = found.setdefault(style.name, (source, style))
            if style != known:
                raise InputError(f"cannot merge {other} and {source}: both have a style {style.name}, and these differ")
    return networks.to_model(opened[0].with_styles([style for _, style in found.values()]))


def _in_float16(
    model: "StyleTransformer | ArbitraryStyleTransformer",
) -> "StyleTransformer | ArbitraryStyleTransformer":
    """A copy of a model with weights of 16 bits."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        half = type(model).from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    half.set_weights(model.get_weights())
    return half


def _read(checkpoint: str | os.PathLike) -> Network:
    if os.fspath(checkpoint).startswith("random:"):
        return networks.random(random_seed(os.fspath(checkpoint)))
    path = find(checkpoint)
    network = next(read for suffix, read in _READERS.items() if path.endswith(suffix))(path)
    of_predictor = network.predictor.parameters if network.predictor else {}
    tables = [*network.parameters.values(), *of_predictor.values()]
    if not all(np.isfinite(value).all() for values in tables for value in values.values()):
        raise InputError(f"cannot use {checkpoint}: some of its weights are NaN or infinite")
    return network


def find(checkpoint: str | os.PathLike) -> str:
    """The path of a checkpoint or, if it is in several files, the prefix of their names.

    Raises:
        InputError: if there is no checkpoint.
    """
    path = os.path.expanduser(os.fspath(checkpoint))
    path = str(_BUNDLED / f"{path}.keras") if path in bundled_models() else latest(path)
    path = tensorflow_files.find_checkpoint(path)
    if not (os.path.exists(path) or os.path.exists(f"{path}.index")):
        raise InputError(
            f"there is no checkpoint at {path}; a path was expected, or a name: {', '.join(bundled_models())}"
        )
    return path


def _check_model(checkpoint: "StyleTransformer | Network") -> None:
    """Raises an InputError for anything but a model; importing StyleTransformer, to compare, would import Keras."""
    if not isinstance(getattr(checkpoint, "architecture", None), Architecture):
        raise InputError(f"a checkpoint must be a name, a path or a model, not {type(checkpoint).__name__}")


def _check_arguments(architecture: Architecture, source: str, num_styles: int | None, alpha: float | None) -> None:
    """Raises an InputError for the architecture of `source` if it differs from num_styles or alpha."""
    options.check_value("num_styles", num_styles, limits.Count | None)
    options.check_value("alpha", alpha, limits.Alpha | None)
    if num_styles is not None and num_styles != architecture.num_styles:
        raise InputError(
            f"{source} has {counted(architecture.num_styles, 'style')}, not num_styles={num_styles}", "num_styles"
        )
    full = architecture.filters + architecture.expand_filters
    if alpha is not None and scaled(full, alpha) != scaled(full, architecture.alpha):
        raise InputError(f"the width of {source} is {architecture.alpha}, not alpha={alpha}", "alpha")


def latest(path: str) -> str:
    """The newest checkpoint of a folder: the one of the largest step or, if steps are equal, changed last.

    Args:
        path: the folder; any other path is returned as it is.

    Raises:
        InputError: for a folder without checkpoints.
    """
    if not os.path.isdir(path):
        return path

    def age(found: str) -> tuple[int, float]:
        return step(found), os.path.getmtime(found)

    escaped = glob.escape(path)
    found = glob.glob(f"{escaped}/*.keras") or glob.glob(f"{escaped}/*.index")
    if not found:
        # A V1 checkpoint has no extension; TF1's file `checkpoint` names it.
        listed = os.path.join(path, "checkpoint")
        found = [tensorflow_files.listed_checkpoint(listed)] if os.path.exists(listed) else []
        if not (found and os.path.isfile(found[0])):
            raise InputError(f"there is no checkpoint in {path}")
    return max(found, key=age)


def follow(path: str | os.PathLike, interval_secs: float) -> Iterator[str]:
    """The newest checkpoint of a running training, then every newer one, without end.

    Args:
        path: the training's folder, which may not have checkpoints yet; or any other checkpoint.
        interval_secs: seconds between two looks; 0 to look once.

    Raises:
        InputError: for a folder without checkpoints that is looked at once.
    """
    path, seen = os.path.expanduser(os.fspath(path)), ""
    while True:
        try:
            newest = latest(path)
        except InputError:
            if not interval_secs:
                raise
            newest = seen
        if newest != seen:
            yield newest
            seen = newest
        if not interval_secs:
            return
        time.sleep(interval_secs)


def step(path: str) -> int:
    """The step in the name of a checkpoint, such as model-000400.keras; -1 for a name without a step."""
    steps = re.findall(r"\d+", os.path.basename(path))
    return int(steps[-1]) if steps else -1
