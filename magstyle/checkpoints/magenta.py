"""Magenta's files: checkpoints (V1 and V2) and frozen graphs of image_stylization, and slim's VGG checkpoints.

No other module knows their variable names: `transformer/<scope>/weights` and
`transformer/<scope>/InstanceNorm/{gamma,beta}`, with the scopes of `magstyle.models.architecture`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping

import numpy as np

from magstyle import files
from magstyle.checkpoints import tensorflow_files
from magstyle.checkpoints.networks import Network
from magstyle.errors import InputError
from magstyle.models.architecture import (
    EXPAND_FILTERS,
    FILTERS,
    Architecture,
    convolutions,
    names_of_styles,
    residual_scopes,
    scaled,
)

_NAMES = {"kernel": "weights", "gamma": "InstanceNorm/gamma", "beta": "InstanceNorm/beta"}
# The values of an eight-bit constant, 0 to 255, stand for numbers from its minimum to its maximum.
_EIGHT_BITS = "_quint8_const"
# These leave out the optimizer's variables in a training's checkpoint, and the operations of graphs.
_VARIABLE = re.compile(rf"transformer/.*/({'|'.join(_NAMES.values())})")
_CONSTANT = re.compile(rf"{_VARIABLE.pattern}({_EIGHT_BITS}|_min|_max)?")
_VGG_VARIABLE = re.compile(r"vgg_\d+/conv.*/(weights|biases)")


def read_checkpoint(path: str) -> Network:
    """The network in a TF1 checkpoint, V1 (one file) or V2 (the common prefix of .index and .data).

    Raises:
        InputError: for a file that is missing or damaged, or does not contain a style transformer.
    """
    return _network(tensorflow_files.read_checkpoint(path, lambda name: bool(_VARIABLE.fullmatch(name))), path)


def read_frozen_graph(path: str) -> Network:
    """The network in a frozen graph (.pb), whose constants have the names of the variables.

    Raises:
        InputError: for a file that is missing or damaged, or does not contain a style transformer.
    """
    constants = tensorflow_files.read_graph_constants(path, lambda name: bool(_CONSTANT.fullmatch(name)))
    variables = dict(constants)
    for name, value in constants.items():
        variable = name.removesuffix(_EIGHT_BITS)
        if variable != name and {f"{variable}_min", f"{variable}_max"} <= constants.keys():
            low, high = constants[f"{variable}_min"], constants[f"{variable}_max"]
            variables[variable] = low + value.astype(np.float32) * (high - low) / 255
    return _network(variables, path)


def read_vgg(path: str) -> dict[str, np.ndarray]:
    """The weights and biases of the convolutions in a checkpoint of slim's VGG, or of a training that holds one.

    Raises:
        InputError: for a file that is missing or damaged.
    """
    return tensorflow_files.read_checkpoint(path, lambda name: bool(_VGG_VARIABLE.fullmatch(name)))


def save_checkpoint(network: Network, prefix: str | os.PathLike) -> None:
    """Writes a network as a TF1 V2 checkpoint, `<prefix>.index` and `<prefix>.data-00000-of-00001`.

    Magenta's programs restore it. Its format has no place for the names of styles.

    Raises:
        InputError: if the files cannot be written.
    """
    import tensorflow as tf  # Here, because reading does not need it.

    variables = {
        _name(scope, parameter): value
        for scope, values in network.parameters.items()
        for parameter, value in values.items()
    }
    names = sorted(variables)
    with tempfile.TemporaryDirectory() as folder:
        temporary = os.path.join(folder, "model.ckpt")
        tf.raw_ops.SaveV2(
            prefix=temporary,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[variables[name] for name in names],
        )
        # The index last: readers look for it.
        for suffix in (".data-00000-of-00001", ".index"):
            with files.replacing(f"{prefix}{suffix}") as target:
                shutil.copyfile(f"{temporary}{suffix}", target)


def _network(variables: Mapping[str, np.ndarray], source: str) -> Network:
    """The network of these variables; their shapes tell how many styles, filters and blocks it has.

    Raises:
        InputError: if they are not a whole style transformer.
    """
    refusal = f"{source} does not contain a style transformer"
    try:
        architecture = _architecture(variables)
        parameters = {
            scope: {parameter: variables[_name(scope, parameter)] for parameter in shapes}
            for scope, shapes in architecture.shapes.items()
        }
    except KeyError as error:
        raise InputError(f"{refusal}: {error.args[0]} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{refusal}: the shapes of its variables are those of another network") from error
    for scope, shapes in architecture.shapes.items():
        for parameter, shape in shapes.items():
            value = parameters[scope][parameter]
            if value.shape != shape:
                raise InputError(f"{refusal}: {_name(scope, parameter)} is {value.shape}, not {shape}")
            parameters[scope][parameter] = value.astype(np.float32)
    return Network(architecture, names_of_styles(architecture.num_styles), parameters)


def _architecture(variables: Mapping[str, np.ndarray]) -> Architecture:
    """The architecture that the shapes imply; where possible, as an alpha of the published network."""
    published = FILTERS + EXPAND_FILTERS
    table = convolutions(FILTERS, EXPAND_FILTERS, residual_blocks=0)
    filters = tuple(variables[_name(row.scope, "kernel")].shape[3] for row in table[: len(published)])
    blocks = 0
    while _name(residual_scopes(blocks + 1)[0], "kernel") in variables:
        blocks += 1
    # The size is honest: a shape without columns could claim any number of rows.
    num_styles = variables[_name(table[0].scope, "gamma")].size // filters[0]
    # The smallest alpha that truncates to no fewer than these filters; does it truncate to exactly these?
    size = variables[_name(table[0].scope, "kernel")].shape[0]
    alpha = max(n / full for n, full in zip(filters, published, strict=True))
    if scaled(published, alpha) == filters:
        return Architecture(num_styles, alpha, residual_blocks=blocks, kernel_size=size)
    return Architecture(num_styles, 1.0, filters[:3], filters[3:], blocks, size)


def _name(scope: str, parameter: str) -> str:
    """Magenta's name of a parameter of `Architecture.shapes`."""
    return f"transformer/{scope}/{_NAMES[parameter]}"
