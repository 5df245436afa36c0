"""Magenta's files: checkpoints (V1 and V2) and frozen graphs of image_stylization, and slim's VGG checkpoints.

Nothing else in this project knows their variable names: `transformer/<scope>/weights` and
`transformer/<scope>/InstanceNorm/{gamma,beta}`, scopes as in `magstyle.models.transformer`.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.errors import InputError
from magstyle.models.transformer import StyleTransformer, convolutions, residual_scopes, scaled

_PREFIX = "transformer/"


def read_checkpoint(path: str, prefix: str = _PREFIX) -> dict[str, np.ndarray]:
    """The variables of a TF1 checkpoint, V1 (one file) or V2 (the common prefix of .index and .data), by name.

    Variables whose names do not start with `prefix` and the slots of optimizers are left out.

    Raises:
        InputError: for a file that is missing, damaged or no checkpoint.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith(prefix)]
        return {name: reader.get_tensor(name) for name in names if "/Adam" not in name}
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"cannot read {path}: it is no TensorFlow checkpoint, or a damaged one") from error


def read_frozen_graph(path: str) -> dict[str, np.ndarray]:
    """The constants of a frozen graph (.pb) under `transformer/`, by their variables' names.

    Constants quantised to eight bits (`<name>_quint8_const` between `<name>_min` and `<name>_max`) are dequantised.

    Raises:
        InputError: for a file that is damaged or no graph.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        with open(path, "rb") as file:
            graph.ParseFromString(file.read())
        constants = {
            node.name: tf.make_ndarray(node.attr["value"].tensor)
            for node in graph.node
            if node.op == "Const" and node.name.startswith(_PREFIX)
        }
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError has several homes; damaged tensors raise ValueError, TypeError.
        raise InputError(f"cannot read {path}: it is no frozen TensorFlow graph, or a damaged one") from error
    variables = {}
    for name, value in constants.items():
        variable, quantized, _ = name.partition("_quint8_const")
        if quantized and {f"{variable}_min", f"{variable}_max"} <= constants.keys():
            low, high = constants[f"{variable}_min"], constants[f"{variable}_max"]
            value = low + value.view(np.uint8).astype(np.float32) * (high - low) / 255
        variables[variable] = np.asarray(value)
    return variables


def build_transformer(variables: Mapping[str, np.ndarray], source: str) -> StyleTransformer:
    """The network that holds these variables; number of styles, filters and blocks are read off their shapes.

    Args:
        variables: as `read_checkpoint` and `read_frozen_graph` return them.
        source: where they come from, for the error.

    Raises:
        InputError: where they are not a whole style transformer.
    """
    try:
        model = StyleTransformer(**_architecture(variables))
        pairs = {name: (variable, variables[name]) for name, variable in _named_variables(model).items()}
    except KeyError as error:
        raise InputError(f"{source} holds no style transformer: {error.args[0]} is missing") from error
    except (IndexError, ValueError) as error:
        raise InputError(f"{source} holds no style transformer: {error}") from error
    for name, (variable, value) in pairs.items():
        if value.shape != variable.shape:
            raise InputError(f"{source} holds no style transformer: {name} is {value.shape}, not {variable.shape}")
        variable.assign(value)
    return model


def save_checkpoint(model: StyleTransformer, prefix: str | os.PathLike) -> None:
    """Writes a model's variables as a TF1 V2 checkpoint, `<prefix>.index` and `<prefix>.data-00000-of-00001`.

    Magenta's programs restore it. Its format has no place for the names of styles.

    Raises:
        InputError: if the files cannot be written.
    """
    variables = {name: keras.ops.convert_to_numpy(value) for name, value in _named_variables(model).items()}
    names = sorted(variables)
    with tempfile.TemporaryDirectory() as folder:
        temporary = os.path.join(folder, "model.ckpt")
        tf.raw_ops.SaveV2(
            prefix=temporary,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[variables[name] for name in names],
        )
        # The index last: it is what readers look for.
        for suffix in (".data-00000-of-00001", ".index"):
            with files.replacing(f"{prefix}{suffix}") as target:
                shutil.copyfile(f"{temporary}{suffix}", target)


def _architecture(variables: Mapping[str, np.ndarray]) -> dict:
    """The arguments of StyleTransformer, read off the shapes; where it can, as an alpha of the published network."""
    published = StyleTransformer.FILTERS + StyleTransformer.EXPAND_FILTERS
    table = convolutions(StyleTransformer.FILTERS, StyleTransformer.EXPAND_FILTERS, residual_blocks=0)
    filters = tuple(variables[_name(row.scope, "kernel")].shape[3] for row in table[: len(published)])
    blocks = 0
    while _name(residual_scopes(blocks + 1)[0], "kernel") in variables:
        blocks += 1
    architecture = {
        "num_styles": variables[_name(table[0].scope, "gamma")].shape[0],
        "residual_blocks": blocks,
    }
    # The smallest alpha that truncates to none fewer than these filters; does it truncate to just these?
    alpha = max(n / full for n, full in zip(filters, published, strict=True))
    if scaled(published, alpha) == filters:
        return {**architecture, "alpha": alpha}
    return {**architecture, "filters": filters[:3], "expand_filters": filters[3:]}


def _name(scope: str, parameter: str) -> str:
    """Magenta's name of a parameter that `StyleTransformer.parameters` returns."""
    names = {"kernel": "weights", "gamma": "InstanceNorm/gamma", "beta": "InstanceNorm/beta"}
    return f"{_PREFIX}{scope}/{names[parameter]}"


def _named_variables(model: StyleTransformer) -> dict[str, keras.Variable]:
    """A model's variables by Magenta's names."""
    return {
        _name(scope, parameter): variable
        for scope in model.scopes
        for parameter, variable in model.parameters(scope).items()
    }
