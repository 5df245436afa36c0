"""Opens a style transformer from wherever it lives, and saves it."""

import glob
import io
import json
import os
import pathlib
import re
import time
import zipfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from magstyle import files, limits, magenta
from magstyle.errors import InputError
from magstyle.models import random_seed
from magstyle.models.transformer import StyleTransformer, count_parameters, scaled

_BUNDLED = pathlib.Path(__file__).parent / "pretrained"


def bundled_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.keras"))


def load_model(
    checkpoint: StyleTransformer | str | os.PathLike, num_styles: int | None = None, alpha: float | None = None
) -> StyleTransformer:
    """Opens a style transformer.

    Args:
        checkpoint: one of
            - the name of a bundled model: `painters` (./painters is a file or folder of that name);
            - a `.keras` file;
            - a folder: the latest of its .keras files or, if it has none, of its Magenta checkpoints;
            - a Magenta checkpoint, V1 (`model.ckpt`) or V2 (`model.ckpt-40000`, with or without `.index`);
            - a frozen graph of Magenta's network (`.pb`), with float or eight-bit constants;
            - `random:SEED`: an untrained network of four styles, to try things with;
            - a StyleTransformer, which is given back.
        num_styles, alpha: nobody has to give them; if given, the model must have them.

    Returns:
        The model; its `style_names` are numbers as strings where the source has no names.

    Raises:
        InputError: for a path that is not there, damaged or no such model, for weights that are NaN or infinite, or for
            a model that differs from num_styles or alpha.
    """
    limits.check({"num_styles": num_styles, "alpha": alpha})
    if isinstance(checkpoint, StyleTransformer):
        model = checkpoint
    else:
        model = _open(os.fspath(checkpoint))
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise InputError(f"cannot use {checkpoint}: some of its weights are no finite numbers")
    if num_styles is not None and num_styles != model.num_styles:
        raise InputError(f"{checkpoint} has {model.num_styles} styles, not num_styles={num_styles}", "num_styles")
    if alpha is not None and not _has_alpha(model, alpha):
        raise InputError(f"the width of {checkpoint} is {model.alpha}, not alpha={alpha}", "alpha")
    return model


def save_model(model: StyleTransformer, path: str | os.PathLike, float16: bool = False) -> None:
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
        magenta.save_checkpoint(model, path)
    else:
        raise InputError(f"cannot write {path}: its name must end in .keras, or in .ckpt for a Magenta checkpoint")


def _in_float16(model: StyleTransformer) -> StyleTransformer:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        half = StyleTransformer.from_config(model.get_config())
    finally:
        keras.config.set_dtype_policy(policy)
    half.set_weights(model.get_weights())
    return half


def _open(path: str) -> StyleTransformer:
    if path.startswith("random:"):
        return _random_transformer(random_seed(path))
    path = os.path.expanduser(path)
    path = str(_BUNDLED / f"{path}.keras") if path in bundled_models() else latest(path)
    path = path.removesuffix(".index")
    if not (os.path.exists(path) or os.path.exists(f"{path}.index")):
        raise InputError(
            f"there is no checkpoint at {path}; a path was expected, or a name: {', '.join(bundled_models())}"
        )
    if path.endswith(".keras"):
        return _load_keras(path)
    if path.endswith(".pb"):
        return magenta.build_transformer(magenta.read_frozen_graph(path), path)
    return magenta.build_transformer(magenta.read_checkpoint(path), path)


def _load_keras(path: str) -> StyleTransformer:
    with files.reading(path, "model of this project"):
        _check_keras(path)
        model = keras.saving.load_model(path, compile=False)
    assert isinstance(model, StyleTransformer)
    return model


def _check_keras(path: str) -> None:
    """Raises an InputError for a .keras file that holds no StyleTransformer, or less than its config asks for.

    Nothing that is in it is built before that.
    """
    files.check_archive(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    if config["registered_name"] != keras.saving.get_registered_name(StyleTransformer):
        raise InputError(f"cannot read {path}: it is a Keras model, but no style transformer")
    names = ("num_styles", "filters", "expand_filters", "residual_blocks", "alpha")
    count = count_parameters(**{name: config["config"][name] for name in names})
    # Each takes two bytes, or four.
    if 2 * count > files.check_hdf5(path, weights):
        raise InputError(f"cannot read {path}: its config asks for {count} weights, and it holds fewer")


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
        with files.reading(os.path.join(path, "checkpoint"), "list of checkpoints"):
            state = tf.train.get_checkpoint_state(files.for_tensorflow(path))
        found = [os.path.join(path, os.path.basename(state.model_checkpoint_path))] if state else []
        if not (found and os.path.isfile(found[0])):
            raise InputError(f"there is no checkpoint in {path}")
    return max(found, key=age)


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


def _has_alpha(model: StyleTransformer, alpha: float) -> bool:
    full = model.filters + model.expand_filters
    return scaled(full, alpha) == scaled(full, model.alpha)


def _random_transformer(seed: int) -> StyleTransformer:
    model = StyleTransformer(num_styles=4)
    rng = np.random.default_rng(seed)
    for scope in model.scopes:
        parameters = model.parameters(scope)
        for variable, mean, deviation in zip(parameters.values(), (0, 1, 0), (0.01, 0.5, 0.5), strict=True):
            variable.assign(rng.normal(mean, deviation, variable.shape))
    return model
