"""Opens the VGG loss network from wherever its weights are."""

import os
from collections.abc import Callable, Sequence

import keras
import numpy as np

from magstyle import files
from magstyle.checkpoints import magenta, tensorflow_files
from magstyle.errors import InputError
from magstyle.models import random_seed, vgg


def load_vgg(source: str | os.PathLike, end_points: Sequence[str] | None = None, pooling: str = "avg") -> keras.Model:
    """Opens a VGG loss network; returns the same as `magstyle.models.vgg.build`.

    Args:
        source: one of
            - `imagenet`: Keras's VGG-16, downloaded on first use;
            - a Keras `.h5` file of VGG-16 or VGG-19, with or without the fully connected layers;
            - a slim checkpoint (`vgg_16.ckpt`), or a Magenta training checkpoint, which holds one;
            - an `.npz` file of arrays under slim's variable names, of any width;
            - `random:SEED`: VGG-16 with random weights.
        end_points: the names wanted, such as `vgg_16/conv3`; all by default.
        pooling: "avg" or "max".

    Raises:
        InputError: for a source that does not exist, is damaged or is not a VGG, for weights that are NaN or infinite,
            or for an end point that it does not have.
    """
    source = os.path.expanduser(os.fspath(source))
    weights = _read(source)
    if not all(np.issubdtype(np.asarray(values).dtype, np.number) for values in weights.values()):
        raise InputError(f"cannot read {source}: it is not a valid VGG, as some of its weights are not numbers")
    try:
        network = vgg.build(weights, end_points, pooling)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    if not all(np.isfinite(values).all() for values in network.get_weights()):
        raise InputError(f"cannot use {source}: some of its weights are NaN or infinite")
    return network


def _read(source: str) -> dict[str, np.ndarray]:
    """Weights under slim's variable names."""
    if source == "imagenet":
        return _download()
    if source.startswith("random:"):
        return vgg.random_weights(random_seed(source))
    source = tensorflow_files.find_checkpoint(source)
    if not (os.path.exists(source) or os.path.exists(f"{source}.index")):
        raise InputError(f"there are no VGG weights at {source}")
    return next(read for suffix, read in _READERS.items() if source.endswith(suffix))(source)


def _download() -> dict[str, np.ndarray]:
    try:
        return vgg.keras_weights(keras.applications.VGG16(include_top=False, weights="imagenet"))
    except Exception as error:  # Keras reports a failed download as a bare Exception.
        raise InputError(f"cannot download Keras's VGG-16 ({error}); a file or random:0 works offline") from error


def _read_npz(path: str) -> dict[str, np.ndarray]:
    with files.reading(path, ".npz file"):
        files.check_archive(path)
        with np.load(path) as arrays:
            return dict(arrays)


def _read_hdf5(path: str) -> dict[str, np.ndarray]:
    with files.reading(path, "HDF5 file"):
        files.check_hdf5(path)
    # The fully connected layers come last: they take half a gigabyte, and most files do without them.
    for include_top in (False, True):
        for build in (keras.applications.VGG16, keras.applications.VGG19):
            try:
                return vgg.keras_weights(build(include_top=include_top, weights=path))
            except Exception:  # The errors of HDF5 and Keras differ by format; the next builder may fit.
                continue
    raise InputError(f"cannot read {path}: it is damaged, or has no weights of Keras's VGG-16 or VGG-19")


# Readers by the ends of file names; slim's checkpoints may have any name.
_READERS: dict[str, Callable[[str], dict[str, np.ndarray]]] = {
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".npz": _read_npz,
    "": magenta.read_vgg,
}
