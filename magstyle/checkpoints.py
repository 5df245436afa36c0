"""Opens a model from wherever it lives, and saves it."""

import glob
import io
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence

import h5py
import keras
import numpy as np
import tensorflow as tf

from magstyle import files, magenta
from magstyle.errors import InputError
from magstyle.models import vgg
from magstyle.models.transformer import StyleTransformer

_BUNDLED = pathlib.Path(__file__).parent / "pretrained"


def bundled_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.keras"))


def load_model(
    checkpoint: str | os.PathLike, num_styles: int | None = None, alpha: float | None = None
) -> StyleTransformer:
    """Opens a style transformer.

    Args:
        checkpoint: one of
            - the name of a bundled model: `painters` (./painters is a file or folder of that name);
            - a `.keras` file;
            - a folder: the latest of its .keras files or, if it has none, of its Magenta checkpoints;
            - a Magenta checkpoint, V1 (`model.ckpt`) or V2 (`model.ckpt-40000`, with or without `.index`);
            - a frozen graph of Magenta's network (`.pb`), with float or eight-bit constants;
            - `random:SEED`: an untrained network of four styles, to try the programs with.
        num_styles, alpha: nobody has to give them; if given, the model must have them.

    Returns:
        The model; its `style_names` are numbers as strings where the source has no names.

    Raises:
        InputError: for a path that is not there, damaged or no such model, or that differs from num_styles or alpha.
    """
    path = os.path.expanduser(os.fspath(checkpoint))
    if path.startswith("random:"):
        model = _random_transformer(_seed(path))
    else:
        path = str(_BUNDLED / f"{path}.keras") if path in bundled_models() else latest(path)
        path = path.removesuffix(".index")
        if not (os.path.exists(path) or os.path.exists(f"{path}.index")):
            raise InputError(
                f"there is no checkpoint at {path}; a path was expected, or a name: {', '.join(bundled_models())}"
            )
        if path.endswith(".keras"):
            model = _load_keras(path)
        elif path.endswith(".pb"):
            model = magenta.build_transformer(magenta.read_frozen_graph(path), path)
        else:
            model = magenta.build_transformer(magenta.read_checkpoint(path), path)
    if num_styles is not None and num_styles != model.num_styles:
        raise InputError(f"{checkpoint} has {model.num_styles} styles, not num_styles={num_styles}")
    if alpha is not None and not _has_alpha(model, alpha):
        raise InputError(f"{checkpoint} has alpha={model.alpha}, not alpha={alpha}")
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
            model.save(temporary)
            if float16:
                _halve(temporary)
    elif float16:
        raise InputError(f"cannot write {path} with 16 bits: that is for .keras files")
    elif re.search(r"\.ckpt(-\d+)?$", path):
        magenta.save_checkpoint(model, path)
    else:
        raise InputError(f"cannot write {path}: its name must end in .keras, or in .ckpt for a Magenta checkpoint")


def _halve(path: str | os.PathLike) -> None:
    """Rewrites the arrays of a `.keras` file, a zip of JSON and one HDF5 file, with 16 bits."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO()
    with h5py.File(io.BytesIO(members["model.weights.h5"])) as old, h5py.File(weights, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                new[name] = item[()].astype(np.float16)
            else:
                new.require_group(name)
            new[name].attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def load_vgg(source: str, end_points: Sequence[str] | None = None, pooling: str = "avg") -> keras.Model:
    """Opens a VGG loss network; see `magstyle.models.vgg.build` for what it returns.

    Args:
        source: one of
            - `imagenet`: Keras's VGG-16, downloaded on first use;
            - a Keras `.h5` file of VGG-16 or VGG-19, with or without the fully connected layers;
            - a slim checkpoint (`vgg_16.ckpt`), or a Magenta training checkpoint, which holds one;
            - a `.npz` file of arrays under slim's variable names, of any width;
            - `random:SEED`: VGG-16 with random weights.
        end_points: the names wanted, such as `vgg_16/conv3`; all by default.
        pooling: "avg" or "max".

    Raises:
        InputError: for a source that is not there, damaged or no VGG, or an end point that it does not have.
    """
    source = os.path.expanduser(source)
    if source == "imagenet":
        try:
            weights = vgg.keras_weights(keras.applications.VGG16(include_top=False, weights="imagenet"))
        except Exception as error:  # Keras reports a failed download as a bare Exception.
            raise InputError(f"cannot download Keras's VGG-16 ({error}); a file or random:0 works offline") from error
    elif source.startswith("random:"):
        weights = vgg.random_weights(_seed(source))
    elif not (os.path.exists(source) or os.path.exists(f"{source}.index")):
        raise InputError(f"there are no VGG weights at {source}")
    elif source.endswith((".h5", ".hdf5")):
        weights = _read_keras_vgg(source)
    elif source.endswith(".npz"):
        try:
            with np.load(source) as arrays:
                weights = dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"cannot read {source}: it is no .npz file, or a damaged one") from error
    else:
        weights = magenta.read_checkpoint(source.removesuffix(".index"), prefix="vgg_")
    try:
        return vgg.build(weights, end_points, pooling)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def _load_keras(path: str) -> StyleTransformer:
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Zip, JSON, HDF5 and Keras each have their own; all mean the same to the user.
        raise InputError(f"cannot read {path}: it is no model of this project, or a damaged one") from error
    if not isinstance(model, StyleTransformer):
        raise InputError(f"cannot read {path}: it is a Keras model, but no style transformer")
    return model


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
        state = tf.train.get_checkpoint_state(path)
        found = [os.path.join(path, os.path.basename(state.model_checkpoint_path))] if state else []
        if not (found and os.path.isfile(found[0])):
            raise InputError(f"there is no checkpoint in {path}")
    return max(found, key=age)


def step(path: str) -> int:
    """The step in the name of a checkpoint, such as model-000400.keras; -1 if there is none."""
    steps = re.findall(r"\d+", os.path.basename(path))
    return int(steps[-1]) if steps else -1


def _has_alpha(model: StyleTransformer, alpha: float) -> bool:
    full = model.filters + model.expand_filters
    return [int(alpha * n) for n in full] == [int(model.alpha * n) for n in full]


def _seed(source: str) -> int:
    try:
        return int(source.removeprefix("random:"))
    except ValueError as error:
        raise InputError(f"{source} must be random: and a whole number, such as random:0") from error


def _random_transformer(seed: int) -> StyleTransformer:
    model = StyleTransformer(num_styles=4)
    rng = np.random.default_rng(seed)
    for scope in model.scopes:
        parameters = model.parameters(scope)
        for variable, mean, deviation in zip(parameters.values(), (0, 1, 0), (0.01, 0.5, 0.5), strict=True):
            variable.assign(rng.normal(mean, deviation, variable.shape))
    return model


def _read_keras_vgg(path: str) -> dict[str, np.ndarray]:
    # With the fully connected layers last: they take half a gigabyte, and files without them are the usual ones.
    for include_top in (False, True):
        for build in (keras.applications.VGG16, keras.applications.VGG19):
            try:
                return vgg.keras_weights(build(include_top=include_top, weights=path))
            except Exception:  # The errors of HDF5 and Keras differ by format; the next builder may fit.
                continue
    raise InputError(f"cannot read {path}: it holds no weights of Keras's VGG-16 or VGG-19, or is damaged")
