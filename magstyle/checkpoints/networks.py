"""Style transformers as plain arrays, read and computed without Keras, and their styles as values."""

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from magstyle import files, project
from magstyle.errors import InputError
from magstyle.models.architecture import Architecture, Convolution, PredictorArchitecture, names_of_styles

if TYPE_CHECKING:
    import h5py

    from magstyle.models.predictor import ArbitraryStyleTransformer, StylePredictor
    from magstyle.models.transformer import StyleTransformer

# The names under which StyleTransformer and ArbitraryStyleTransformer are registered with Keras.
_TRANSFORMER, _ARBITRARY = "magstyle>StyleTransformer", "magstyle>ArbitraryStyleTransformer"
_KIND = "model of this project"
# Where Keras 3.12 and later store a parameter: the end of the layer's name, and the number of the variable.
_PLACES = {
    "kernel": ("", "0"),
    "bias": ("", "1"),
    "gamma": ("_instance_norm", "0"),
    "beta": ("_instance_norm", "1"),
    "center": ("_moments", "0"),
    "scale": ("_moments", "1"),
}


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
class Predictor:
    """A style predictor as plain arrays.

    Attributes:
        architecture: its shape.
        parameters: those of every layer, as in `PredictorArchitecture.shapes`, all float32; but the first dense layer
            takes the moments as they are, so that there is no center and no scale.
    """

    architecture: PredictorArchitecture
    parameters: dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A style transformer as plain arrays.

    Attributes:
        architecture: its shape.
        style_names: one name per style, in order.
        parameters: `kernel`, `gamma` and `beta` of every scope, as in `Architecture.shapes`, all float32.
        predictor: of a network for any painting, what gives the weights of its styles, which are directions of a space
            of styles then.
    """

    architecture: Architecture
    style_names: tuple[str, ...]
    parameters: dict[str, dict[str, np.ndarray]]
    predictor: Predictor | None = None

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

    def mixture(self, name: str, style_weights: np.ndarray) -> StyleParameters:
        """The style that a mixture of the network's styles is, under a name of its own.

        Args:
            name: its name.
            style_weights: [num_styles].
        """
        gamma, beta = (
            {scope: style_weights @ values[part] for scope, values in self.parameters.items()}
            for part in ("gamma", "beta")
        )
        return StyleParameters(name, gamma, beta)

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
Checkpoint = Union["StyleTransformer", "ArbitraryStyleTransformer", Network, str, os.PathLike]


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


def from_model(model: "StyleTransformer | ArbitraryStyleTransformer") -> Network:
    """The network of a model, with copies of the weights that it has now."""
    predictor = getattr(model, "predictor", None)
    if predictor is None:
        return Network(model.architecture, model.style_names, _copies(model, model.architecture.shapes))
    parameters = _copies(predictor, predictor.architecture.shapes)
    _take_moments_as_they_are(parameters, predictor.architecture)
    return dataclasses.replace(from_model(model.network), predictor=Predictor(predictor.architecture, parameters))


def _copies(model: "StyleTransformer | StylePredictor", scopes: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """The parameters of a model now, by scope."""
    return {
        scope: {name: np.asarray(value).astype(np.float32) for name, value in model.parameters(scope).items()}
        for scope in scopes
    }


def to_model(network: Network) -> "StyleTransformer":
    """A StyleTransformer with the weights of a network."""
    with project.needing_tensorflow("a model in Keras"):
        from magstyle.models.transformer import StyleTransformer  # Here, as most users of networks do without Keras.

    model = StyleTransformer(**dataclasses.asdict(network.architecture), style_names=network.style_names)
    assign(model, network.parameters)
    return model


def to_arbitrary_model(network: Network) -> "ArbitraryStyleTransformer":
    """An ArbitraryStyleTransformer with the weights of a network that has a predictor."""
    with project.needing_tensorflow("a model in Keras"):
        from magstyle.models.predictor import ArbitraryStyleTransformer

    assert network.predictor
    model = ArbitraryStyleTransformer(
        **dataclasses.asdict(network.architecture),
        predictor_filters=network.predictor.architecture.filters,
        predictor_units=network.predictor.architecture.units,
    )
    assign(model.network, network.parameters)
    assign(model.predictor, network.predictor.parameters)
    return model


def assign(model: "StyleTransformer | StylePredictor", parameters: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Gives a model parameters by scope; others stay as they are."""
    for scope, values in parameters.items():
        for name, variable in model.parameters(scope).items():
            if name in values:
                variable.assign(values[name])


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
    if registered_name not in (_TRANSFORMER, _ARBITRARY):
        raise InputError(f"cannot read {path}: it is a Keras model, but not a style transformer")
    with files.parsing(path, _KIND):
        architecture, style_names = _parse_config(config)
        of_predictor = _parse_predictor(config) if registered_name == _ARBITRARY else None
        stored = files.check_hdf5(path, weights)
    asked = architecture.size + (of_predictor.size if of_predictor else 0)
    if 2 * asked > stored:  # Each weight takes two bytes, or four.
        raise InputError(f"cannot read {path}: its config asks for more weights than it holds")
    with files.parsing(path, _KIND):
        network = _read_network(weights, architecture, style_names, of_predictor)
    return network or _read_with_keras(path)


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
        config["num_styles"],
        config["alpha"],
        filters,
        expand_filters,
        config["residual_blocks"],
        config.get("kernel_size", Architecture.kernel_size),  # Older files have none.
    )
    return architecture, names_of_styles(architecture.num_styles, config.get("style_names"))


def _parse_predictor(config: Mapping[str, Any]) -> PredictorArchitecture:
    """The architecture of the predictor in a config, which may be any JSON."""
    filters, units = tuple(config["predictor_filters"]), tuple(config["predictor_units"])
    return PredictorArchitecture(config["num_styles"] - 1, filters, units)


def _read_network(
    weights: io.BytesIO,
    architecture: Architecture,
    style_names: tuple[str, ...],
    of_predictor: PredictorArchitecture | None,
) -> Network | None:
    """The network in an HDF5 file; None where it is not laid out as Keras 3.12 and later do it.

    Raises:
        KeyError: for a network with a predictor, where anything is missing.
    """
    import h5py  # Here, as not every network comes from a file.

    with h5py.File(weights, "r") as content:
        if of_predictor is None:
            parameters = _read_parameters(content, architecture.shapes)
            return None if parameters is None else Network(architecture, style_names, parameters)
        parts = content["layers"]
        parameters = _read_parameters(parts["style_transformer"], architecture.shapes)
        of_layers = _read_parameters(parts["style_predictor"], of_predictor.shapes)
    if parameters is None or of_layers is None:
        raise KeyError("layers")  # There are no older files of this kind.
    _take_moments_as_they_are(of_layers, of_predictor)
    return Network(architecture, style_names, parameters, Predictor(of_predictor, of_layers))


def _take_moments_as_they_are(
    parameters: dict[str, dict[str, np.ndarray]], architecture: PredictorArchitecture
) -> None:
    """Moves the center and the scale of a predictor's moments into its first dense layer."""
    scopes = [row.scope for row in architecture.convolutions]
    center, scale = (np.concatenate([parameters[scope].pop(part) for scope in scopes]) for part in ("center", "scale"))
    first = parameters[architecture.dense[0][0]]
    first["kernel"] = first["kernel"] / scale[:, None]
    first["bias"] = first["bias"] - center @ first["kernel"]


def _read_parameters(
    model: "h5py.Group", shapes: Mapping[str, Mapping[str, tuple[int, ...]]]
) -> dict[str, dict[str, np.ndarray]] | None:
    """The parameters of a model in an HDF5 file, by scope; None if one is missing or has another shape."""
    # By the name of the layer; the folders are numbered by its class.
    variables = [layer["vars"] for layer in model.get("layers", {}).values() if "vars" in layer]
    layers = {group.attrs.get("name"): group for group in variables}
    parameters: dict[str, dict[str, np.ndarray]] = {}
    for scope, of_scope in shapes.items():
        parameters[scope] = {}
        for part, shape in of_scope.items():
            ending, number = _PLACES[part]
            value = layers.get(scope.replace("/", "_") + ending, {}).get(number)
            if value is None or value.shape != shape:
                return None
            # Read as they are: HDF5 is slow at making 32 bits of 16.
            parameters[scope][part] = value[()].astype(np.float32)
    return parameters
