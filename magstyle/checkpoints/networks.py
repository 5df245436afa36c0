"""Style transformers as plain arrays, for what computes them without Keras, and files read that way."""

import dataclasses
import io
import json
import math
import os
import zipfile

import numpy as np

from magstyle import files
from magstyle.errors import InputError
from magstyle.models.architecture import Architecture, Convolution, count_parameters

# The name under which StyleTransformer is registered with Keras.
_REGISTERED = "magstyle>StyleTransformer"
_PARAMETERS = ("kernel", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class Network:
    """A style transformer as plain arrays.

    Attributes:
        architecture: what it is made of.
        parameters: of every scope, the `kernel` [k, k, C_in, C_out] of its convolution, and the `gamma` and `beta`
            [num_styles, C_out] of the instance normalisation after it, all float32.
    """

    architecture: Architecture
    parameters: dict[str, dict[str, np.ndarray]]

    @property
    def num_styles(self) -> int:
        """How many styles it knows."""
        return self.architecture.num_styles

    @property
    def style_names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return self.architecture.style_names

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Its convolutions, from input to output."""
        return self.architecture.convolutions


def from_model(model) -> Network:
    """The network of a StyleTransformer, with copies of the weights that it has now."""
    architecture = Architecture(
        **{field.name: getattr(model, field.name) for field in dataclasses.fields(Architecture)}
    )
    parameters = {
        scope: {name: np.asarray(value).astype(np.float32) for name, value in model.parameters(scope).items()}
        for scope in model.scopes
    }
    return Network(architecture, parameters)


def random(seed: int) -> Network:
    """An untrained network of four styles."""
    architecture, rng = Architecture(num_styles=4), np.random.default_rng(seed)
    deviations = {"kernel": (0, 0.01), "gamma": (1, 0.5), "beta": (0, 0.5)}
    parameters = {
        scope: {name: rng.normal(*deviations[name], shape).astype(np.float32) for name, shape in shapes.items()}
        for scope, shapes in _shapes(architecture).items()
    }
    return Network(architecture, parameters)


def pack(network: Network) -> bytes:
    """A network as the content of an `.npz` file, which is read in less time than it takes to import HDF5's library."""
    tables = [network.parameters[row.scope][name] for row in network.convolutions for name in _PARAMETERS]
    content = io.BytesIO()
    np.savez(
        content,
        architecture=json.dumps(dataclasses.asdict(network.architecture)),
        parameters=np.concatenate([table.ravel() for table in tables]),
    )
    return content.getvalue()


def unpack(content: bytes) -> Network:
    """The network that `pack` was given."""
    with np.load(io.BytesIO(content)) as packed:
        architecture, values = Architecture(**json.loads(str(packed["architecture"]))), packed["parameters"]
    parameters, start = {}, 0
    for scope, shapes in _shapes(architecture).items():
        parameters[scope] = {}
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            parameters[scope][name] = values[start:stop].reshape(shape)
            start = stop
    return Network(architecture, parameters)


def read_keras(path: str | os.PathLike) -> Network | None:
    """The network in a `.keras` file; None where its weights are not laid out as Keras 3.12 and later do it.

    Raises:
        InputError: for a file that cannot be read, is damaged or no such model, or asks for more than it holds.
    """
    with files.reading(path, "model of this project"):
        architecture, weights = check_keras(path)
        import h5py  # Here, as not every network comes from a file.

        with h5py.File(weights, "r") as content:
            # By the name of the layer; the folders are numbered by its class.
            variables = [layer["vars"] for layer in content.get("layers", {}).values() if "vars" in layer]
            layers = {group.attrs.get("name"): group for group in variables}
            parameters = {}
            for scope, shapes in _shapes(architecture).items():
                name = scope.replace("/", "_")
                kernel, norm = layers.get(name, {}), layers.get(f"{name}_instance_norm", {})
                found = dict(zip(_PARAMETERS, (kernel.get("0"), norm.get("0"), norm.get("1")), strict=True))
                if any(value is None or value.shape != shapes[name] for name, value in found.items()):
                    return None
                # Read as they are: HDF5 is slow at making 32 bits of 16.
                parameters[scope] = {name: value[()].astype(np.float32) for name, value in found.items()}
    return Network(architecture, parameters)


def check_keras(path: str | os.PathLike) -> tuple[Architecture, io.BytesIO]:
    """What a `.keras` file holds: the architecture, and the HDF5 file of the weights, of which none is built yet.

    Raises:
        InputError: where there is no StyleTransformer in it, or less than its config asks for.
    """
    files.check_archive(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    if config["registered_name"] != _REGISTERED:
        raise InputError(f"cannot read {path}: it is a Keras model, but no style transformer")
    arguments = {field.name: config["config"][field.name] for field in dataclasses.fields(Architecture)}
    count = count_parameters(**{name: value for name, value in arguments.items() if name != "style_names"})
    # Each takes two bytes, or four.
    if 2 * count > files.check_hdf5(path, weights):
        raise InputError(f"cannot read {path}: its config asks for {count} weights, and it holds fewer")
    return Architecture(**arguments), weights


def _shapes(architecture: Architecture) -> dict[str, dict[str, tuple[int, ...]]]:
    """Those of the parameters of every scope."""
    shapes, channels = {}, 3
    for row in architecture.convolutions:
        kernel = (row.kernel_size, row.kernel_size, channels, row.filters)
        norm = (architecture.num_styles, row.filters)
        shapes[row.scope] = dict(zip(_PARAMETERS, (kernel, norm, norm), strict=True))
        channels = row.filters
    return shapes
