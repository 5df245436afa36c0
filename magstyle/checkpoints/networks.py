"""Style transformers as plain arrays, read and computed without Keras, and their styles as values."""

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from magstyle import files, project
from magstyle.errors import InputError
from magstyle.models.architecture import Architecture, Convolution, names_of_styles

if TYPE_CHECKING:
    from magstyle.models.transformer import StyleTransformer

# The name under which StyleTransformer is registered with Keras.
_REGISTERED = "magstyle>StyleTransformer"
_KIND = "model of this project"


@dataclasses.dataclass(frozen=True, eq=False)
class StyleParameters:
    """A style: the scale and offset of every normalisation when the network paints in it.

    Attributes:
        name: its name.
        gamma, beta: [C] each, by the scope of the convolution before the normalisation.
    """

    name: str
    gamma: Mapping[str, np.ndarray]
    beta: Mapping[str, np.ndarray]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StyleParameters)
            and self.name == other.name
            and same_arrays(self.gamma, other.gamma)
            and same_arrays(self.beta, other.beta)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A style transformer as plain arrays.

    Attributes:
        architecture: its shape.
        style_names: one name per style, in order.
        parameters: `kernel`, `gamma` and `beta` of every scope, as in `Architecture.shapes`, all float32.
    """

    architecture: Architecture
    style_names: tuple[str, ...]
    parameters: dict[str, dict[str, np.ndarray]]

    @property
    def num_styles(self) -> int:
        """The number of styles."""
        return self.architecture.num_styles

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Its convolutions, from input to output."""
        return self.architecture.convolutions

    @property
    def kernels(self) -> dict[str, np.ndarray]:
        """The kernels [k, k, C_in, C_out] of its convolutions, by scope."""
        return {scope: values["kernel"] for scope, values in self.parameters.items()}

    @property
    def styles(self) -> list[StyleParameters]:
        """All styles, in order."""
        return [self.style(row) for row in range(self.num_styles)]

    def style(self, name_or_number: str | int) -> StyleParameters:
        """One style.

        Raises:
            ValueError, IndexError: for a name or number that the network does not have.
        """
        if isinstance(name_or_number, str):
            row = self.style_names.index(name_or_number)
        else:
            row = range(self.num_styles)[name_or_number]
        gamma, beta = (
            {scope: values[part][row] for scope, values in self.parameters.items()} for part in ("gamma", "beta")
        )
        return StyleParameters(self.style_names[row], gamma, beta)

    def with_styles(self, styles: Sequence[StyleParameters]) -> "Network":
        """A network with the same convolutions that knows these styles instead.

        Raises:
            ValueError: for two styles of one name, or no style.
        """
        parameters = {
            scope: {
                "kernel": kernel,
                "gamma": np.stack([style.gamma[scope] for style in styles]),
                "beta": np.stack([style.beta[scope] for style in styles]),
            }
            for scope, kernel in self.kernels.items()
        }
        names = names_of_styles(len(styles), [style.name for style in styles])
        return Network(dataclasses.replace(self.architecture, num_styles=len(styles)), names, parameters)


# A model: in Keras, as plain arrays, or anything else that `magstyle.load_model` opens.
Checkpoint = Union["StyleTransformer", Network, str, os.PathLike]


def mean_style(name: str, styles: Sequence[StyleParameters]) -> StyleParameters:
    """The mean of several styles, under a name of its own."""
    gamma, beta = (
        {scope: np.mean([table[scope] for table in tables], axis=0) for scope in tables[0]}
        for tables in ([style.gamma for style in styles], [style.beta for style in styles])
    )
    return StyleParameters(name, gamma, beta)


def same_arrays(arrays: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays of the same names are the same to the last bit."""
    return arrays.keys() == others.keys() and all(np.array_equal(arrays[name], others[name]) for name in arrays)


def from_model(model: "StyleTransformer") -> Network:
    """The network of a StyleTransformer, with copies of the weights that it has now."""
    parameters = {
        scope: {name: np.asarray(value).astype(np.float32) for name, value in model.parameters(scope).items()}
        for scope in model.scopes
    }
    return Network(model.architecture, model.style_names, parameters)


def to_model(network: Network) -> "StyleTransformer":
    """A StyleTransformer with the weights of a network."""
    with project.needing_tensorflow("a model in Keras"):
        from magstyle.models.transformer import StyleTransformer  # Here, as most users of networks do without Keras.

    model = StyleTransformer(**dataclasses.asdict(network.architecture), style_names=network.style_names)
    for scope, values in network.parameters.items():
        for name, variable in model.parameters(scope).items():
            variable.assign(values[name])
    return model


def random(seed: int) -> Network:
    """An untrained network of four styles."""
    architecture, rng = Architecture(num_styles=4), np.random.default_rng(seed)
    moments = {"kernel": (0, 0.01), "gamma": (1, 0.5), "beta": (0, 0.5)}
    parameters = {
        scope: {name: rng.normal(*moments[name], shape).astype(np.float32) for name, shape in shapes.items()}
        for scope, shapes in architecture.shapes.items()
    }
    return Network(architecture, names_of_styles(architecture.num_styles), parameters)


def read_keras(path: str | os.PathLike) -> Network:
    """The network in a `.keras` file; Keras is needed only for files that Keras before 3.12 wrote.

    Raises:
        InputError: for a file that cannot be read, is damaged, is of another model, or asks for more than it holds.
    """
    with files.reading(path, _KIND):
        files.check_archive(path)
        with zipfile.ZipFile(path) as archive:
            saved = json.loads(archive.read("config.json"))
            weights = io.BytesIO(archive.read("model.weights.h5"))
        registered_name, config = saved["registered_name"], saved["config"]
    if registered_name != _REGISTERED:
        raise InputError(f"cannot read {path}: it is a Keras model, but not a style transformer")
    with files.parsing(path, _KIND):
        architecture, style_names = _parse_config(config)
        stored = files.check_hdf5(path, weights)
    if 2 * architecture.size > stored:  # Each weight takes two bytes, or four.
        raise InputError(f"cannot read {path}: its config asks for more weights than it holds")
    with files.parsing(path, _KIND):
        parameters = _read_weights(weights, architecture)
    return _read_with_keras(path) if parameters is None else Network(architecture, style_names, parameters)


def _read_with_keras(path: str | os.PathLike) -> Network:
    with project.needing_tensorflow(f"{path}, written by Keras before 3.12,"):
        import keras

        import magstyle.models.transformer  # noqa: F401  Registers its class with Keras.

    with files.parsing(path, _KIND):
        model = keras.saving.load_model(path, compile=False)
    return from_model(model)


def _parse_config(config: Mapping[str, Any]) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture and the names of styles in a config, which may be any JSON."""
    filters, expand_filters = tuple(config["filters"]), tuple(config["expand_filters"])
    architecture = Architecture(
        config["num_styles"], config["alpha"], filters, expand_filters, config["residual_blocks"]
    )
    return architecture, names_of_styles(architecture.num_styles, config["style_names"])


def _read_weights(weights: io.BytesIO, architecture: Architecture) -> dict[str, dict[str, np.ndarray]] | None:
    """The parameters in an HDF5 file; None where they are not laid out as Keras 3.12 and later do it."""
    import h5py  # Here, as not every network comes from a file.

    parameters: dict[str, dict[str, np.ndarray]] = {}
    with h5py.File(weights, "r") as content:
        # By the name of the layer; the folders are numbered by its class.
        variables = [layer["vars"] for layer in content.get("layers", {}).values() if "vars" in layer]
        layers = {group.attrs.get("name"): group for group in variables}
        for scope, shapes in architecture.shapes.items():
            name = scope.replace("/", "_")
            kernel, norm = layers.get(name, {}), layers.get(f"{name}_instance_norm", {})
            found = {"kernel": kernel.get("0"), "gamma": norm.get("0"), "beta": norm.get("1")}
            if any(value is None or value.shape != shapes[part] for part, value in found.items()):
                return None
            # Read as they are: HDF5 is slow at making 32 bits of 16.
            parameters[scope] = {part: value[()].astype(np.float32) for part, value in found.items()}
    return parameters
