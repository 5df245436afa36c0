"""Opens a style transformer from wherever it lives, and saves it."""

import dataclasses
import glob
import os
import pathlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from magstyle import files, limits
from magstyle.checkpoints import network_cache, networks
from magstyle.checkpoints.networks import Network
from magstyle.errors import InputError
from magstyle.models import random_seed
from magstyle.models.architecture import scaled

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

_BUNDLED = pathlib.Path(__file__).parents[1] / "pretrained"


def bundled_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.keras"))


def load_model(
    checkpoint: "StyleTransformer | Network | str | os.PathLike",
    num_styles: int | None = None,
    alpha: float | None = None,
) -> "StyleTransformer":
    """Opens a style transformer.

    Args:
        checkpoint: one of
            - the name of a bundled model: `painters` (./painters is a file or folder of that name);
            - a `.keras` file;
            - a folder: the latest of its .keras files or, if it has none, of its Magenta checkpoints;
            - a Magenta checkpoint, V1 (`model.ckpt`) or V2 (`model.ckpt-40000`, with or without `.index`);
            - a frozen graph of Magenta's network (`.pb`), with float or eight-bit constants;
            - `random:SEED`: an untrained network of four styles, to try things with;
            - a StyleTransformer, which is given back, or a Network.
        num_styles, alpha: nobody has to give them; if given, the model must have them.

    Returns:
        The model; its `style_names` are numbers as strings where the source has no names.

    Raises:
        InputError: for a path that is not there, damaged or no such model, for weights that are NaN or infinite, or for
            a model that differs from num_styles or alpha.
    """
    if isinstance(checkpoint, Network):
        model = _build(checkpoint)
    elif not isinstance(checkpoint, str | os.PathLike):
        model, checkpoint = checkpoint, "the model"
    elif os.fspath(checkpoint).startswith("random:"):
        model = _build(networks.random(random_seed(os.fspath(checkpoint))))
    else:
        model = _load(_find(checkpoint))
        _check_finite(model.get_weights(), checkpoint)
    check_arguments(model, checkpoint, num_styles, alpha)
    return model


def read_network(
    checkpoint: "StyleTransformer | Network | str | os.PathLike",
    num_styles: int | None = None,
    alpha: float | None = None,
) -> Network:
    """Opens a style transformer as plain arrays, without Keras where that can be.

    What only Keras and TensorFlow can open (Magenta's files) is kept in the user's cache, and comes from there the next
    time.

    Args:
        checkpoint, num_styles, alpha: as load_model's.

    Raises:
        InputError: where load_model does.
    """
    network = read_without_keras(checkpoint)
    if network is None:
        path = _find(checkpoint)
        network = networks.from_model(load_model(path))
        network_cache.write(_parts(path), network)
    check_arguments(network, checkpoint, num_styles, alpha)
    return network


def read_without_keras(checkpoint: "StyleTransformer | Network | str | os.PathLike") -> Network | None:
    """What `read_network` reads if it does not take Keras to open it; None if it does.

    Raises:
        InputError: where load_model does, as far as it is known by then.
    """
    if isinstance(checkpoint, Network):
        return checkpoint
    if not isinstance(checkpoint, str | os.PathLike):
        return networks.from_model(checkpoint)
    if os.fspath(checkpoint).startswith("random:"):
        return networks.random(random_seed(os.fspath(checkpoint)))
    path = _find(checkpoint)
    network = networks.read_keras(path) if path.endswith(".keras") else None
    if network is None:
        network = network_cache.read(_parts(path))
    if network is not None:
        _check_finite([value for values in network.parameters.values() for value in values.values()], checkpoint)
    return network


def save_model(model: "StyleTransformer", path: str | os.PathLike, float16: bool = False) -> None:
    """Writes a model as a `.keras` file (architecture, weights, style names), or as a Magenta V2 `.ckpt`.

    Args:
        model: the model.
        path: of the file.
        float16: store the weights of a `.keras` file with 16 bits, in half the space; they are float32 again when it
            is opened.

    Raises:
        InputError: for a name that ends neither in .keras nor in .ckpt or .ckpt-STEP, or if it cannot be written; what
            was there before is left as it was.
    """
    path = os.fspath(path)
    if path.endswith(".keras"):
        with files.replacing(path) as temporary:
            # The file says nothing of types: the weights are float32 again when it is opened.
            (_in_float16(model) if float16 else model).save(temporary)
    elif float16:
        raise InputError(f"cannot write {path} in float16: that is for .keras files", "float16")
    elif re.search(r"\.ckpt(-\d+)?$", path):
        from magstyle.checkpoints import magenta

        magenta.save_checkpoint(model, path)
    else:
        raise InputError(f"cannot write {path}: its name must end in .keras, or in .ckpt for a Magenta checkpoint")


def merge_models(checkpoints: "Sequence[StyleTransformer | Network | str | os.PathLike]") -> "StyleTransformer":
    """Makes one model of several with the same convolutions, such as those that were fine-tuned from one.

    Args:
        checkpoints: the models, each anything that `load_model` opens.

    Returns:
        A model of all their styles, in that order. What several have under one name, the same to the last bit, it has
        once.

    Raises:
        InputError: where `load_model` does; for models of other convolutions, or two styles of one name.
    """
    read = [read_network(checkpoint) for checkpoint in checkpoints]
    kernels, found = _kernels(read[0]), {}
    for source, network in zip(checkpoints, read, strict=True):
        if not _same(_kernels(network), kernels):
            raise InputError(f"cannot merge {checkpoints[0]} and {source}: their convolutions differ")
        for row, name in enumerate(network.style_names):
            style = [values[part][row] for values in network.parameters.values() for part in ("gamma", "beta")]
            other, others = found.setdefault(name, (source, style))
            if not _same(style, others):
                raise InputError(f"cannot merge {other} and {source}: both have a style {name}, and these differ")
    tables = iter(zip(*(style for _, style in found.values()), strict=True))
    parameters = {
        scope: {"kernel": values["kernel"], "gamma": np.stack(next(tables)), "beta": np.stack(next(tables))}
        for scope, values in read[0].parameters.items()
    }
    names = {"num_styles": len(found), "style_names": tuple(found)}
    return _build(Network(dataclasses.replace(read[0].architecture, **names), parameters))


def _kernels(network: Network) -> list[np.ndarray]:
    return [values["kernel"] for values in network.parameters.values()]


def _same(arrays: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    return len(arrays) == len(others) and all(map(np.array_equal, arrays, others))


def _in_float16(model: "StyleTransformer") -> "StyleTransformer":
    """A copy of a model that stores 16 bits."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        half = type(model).from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    half.set_weights(model.get_weights())
    return half


def _build(network: Network) -> "StyleTransformer":
    from magstyle.models.transformer import StyleTransformer

    model = StyleTransformer(**dataclasses.asdict(network.architecture))
    for scope, values in network.parameters.items():
        for name, variable in model.parameters(scope).items():
            variable.assign(values[name])
    return model


def _find(checkpoint: str | os.PathLike) -> str:
    """The path of a checkpoint's file or, for Magenta's in several files, what their names have in common.

    Raises:
        InputError: where there is none.
    """
    path = os.path.expanduser(os.fspath(checkpoint))
    path = str(_BUNDLED / f"{path}.keras") if path in bundled_models() else latest(path)
    path = path.removesuffix(".index")
    if not (os.path.exists(path) or os.path.exists(f"{path}.index")):
        raise InputError(
            f"there is no checkpoint at {path}; a path was expected, or a name: {', '.join(bundled_models())}"
        )
    return path


def _parts(path: str) -> list[str]:
    """The files of a checkpoint."""
    parts = (path, f"{path}.index", *sorted(glob.glob(f"{glob.escape(path)}.data-*")))
    return [part for part in parts if os.path.exists(part)]


def _load(path: str) -> "StyleTransformer":
    """Opens what `_find` has found, with Keras."""
    from magstyle.checkpoints import magenta
    from magstyle.models.transformer import StyleTransformer

    if path.endswith(".keras"):
        import keras

        with files.reading(path, "model of this project"):
            networks.check_keras(path)
            model = keras.saving.load_model(path, compile=False)
        assert isinstance(model, StyleTransformer)
        return model
    if path.endswith(".pb"):
        return magenta.build_transformer(magenta.read_frozen_graph(path), path)
    return magenta.build_transformer(magenta.read_checkpoint(path), path)


def _check_finite(weights: Iterable[np.ndarray], checkpoint: str | os.PathLike) -> None:
    if not all(np.isfinite(values).all() for values in weights):
        raise InputError(f"cannot use {checkpoint}: some of its weights are no finite numbers")


def check_arguments(
    model: "StyleTransformer | Network",
    checkpoint: "StyleTransformer | Network | str | os.PathLike",
    num_styles: int | None,
    alpha: float | None,
) -> None:
    """Raises an InputError for a model, opened from `checkpoint`, that differs from num_styles or alpha."""
    limits.check({"num_styles": num_styles, "alpha": alpha})
    if num_styles is not None and num_styles != model.num_styles:
        raise InputError(f"{checkpoint} has {model.num_styles} styles, not num_styles={num_styles}", "num_styles")
    if alpha is None:
        return
    architecture = model.architecture if isinstance(model, Network) else model
    full = architecture.filters + architecture.expand_filters
    if scaled(full, alpha) != scaled(full, architecture.alpha):
        raise InputError(f"the width of {checkpoint} is {architecture.alpha}, not alpha={alpha}", "alpha")


def latest(path: str) -> str:
    """The newest checkpoint of a folder: the largest step in its name, then the latest change; a file is itself.

    Raises:
        InputError: for a folder without any.
    """
    if not os.path.isdir(path):
        return path

    def age(found: str) -> tuple[int, float]:
        return step(found), os.path.getmtime(found)

    escaped = glob.escape(path)
    found = glob.glob(f"{escaped}/*.keras") or glob.glob(f"{escaped}/*.index")
    if not found:
        # A V1 checkpoint has no extension; TF1's file `checkpoint` names it, with the folder it was written to.
        found = [os.path.join(path, os.path.basename(name)) for name in _listed(os.path.join(path, "checkpoint"))]
        if not (found and os.path.isfile(found[0])):
            raise InputError(f"there is no checkpoint in {path}")
    return max(found, key=age)


def _listed(path: str) -> list[str]:
    """The newest checkpoint that TF1's file `checkpoint` names, a CheckpointState in protobuf's text format, if any."""
    if not os.path.exists(path):
        return []
    with files.reading(path, "list of checkpoints"), open(path, encoding="utf-8") as file:
        name = re.search(r'^\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', file.read(), re.MULTILINE)[1]
        # Whatever is no ASCII is escaped, byte by byte.
        return [name.encode().decode("unicode_escape").encode("latin-1").decode()]


def follow(path: str | os.PathLike, interval_secs: float) -> Iterator[str]:
    """The newest checkpoint of a training that runs, and then every newer one, without end.

    Args:
        path: its folder, which may have none yet; or any other checkpoint.
        interval_secs: seconds between two looks; 0 for a single one.

    Raises:
        InputError: for a single look at a folder without any.
    """
    path, seen = os.path.expanduser(os.fspath(path)), None
    while True:
        try:
            newest = latest(path)
        except InputError:
            if not interval_secs:
                raise
            newest = None
        if newest not in (None, seen):
            yield newest
            seen = newest
        if not interval_secs:
            return
        time.sleep(interval_secs)


def step(path: str) -> int:
    """The step in the name of a checkpoint, such as model-000400.keras; -1 if there is none."""
    steps = re.findall(r"\d+", os.path.basename(path))
    return int(steps[-1]) if steps else -1
