"""Magenta's files: checkpoints (V1 and V2) and frozen graphs of image_stylization, and slim's VGG checkpoints.

Nothing else in this project knows their variable names: `transformer/<scope>/weights` and
`transformer/<scope>/InstanceNorm/{gamma,beta}`, scopes as in `magstyle.models.transformer`.
"""

import glob
import math
import os
import shutil
import tempfile
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from magstyle import files
from magstyle.errors import InputError
from magstyle.models.architecture import convolutions, count_parameters, residual_scopes, scaled
from magstyle.models.transformer import StyleTransformer

_PREFIX = "transformer/"


def read_checkpoint(path: str, prefix: str = _PREFIX) -> dict[str, np.ndarray]:
    """The variables of a TF1 checkpoint, V1 (one file) or V2 (the common prefix of .index and .data), by name.

    Variables whose names do not start with `prefix` and the slots of optimizers are left out.

    Raises:
        InputError: for a file that is missing, damaged or no checkpoint.
    """
    with files.reading(path, "TensorFlow checkpoint"):
        parts = [part for part in (path, *glob.glob(f"{glob.escape(path)}.*")) if os.path.exists(part)]
        for part in parts:
            files.check_regular(part)
        reader = tf.train.load_checkpoint(files.for_tensorflow(path))
        types = reader.get_variable_to_dtype_map()
        shapes = {
            name: shape
            for name, shape in reader.get_variable_to_shape_map().items()
            if name.startswith(prefix) and "/Adam" not in name
        }
        size = sum(math.prod(shape) * types[name].size for name, shape in shapes.items())
        files.check_expansion(path, size, stored=sum(map(os.path.getsize, parts)))
        return {name: reader.get_tensor(name) for name in shapes}


def read_frozen_graph(path: str) -> dict[str, np.ndarray]:
    """The constants of a frozen graph (.pb) under `transformer/`, by their variables' names.

    Constants quantised to eight bits (`<name>_quint8_const` between `<name>_min` and `<name>_max`) are dequantised.

    Raises:
        InputError: for a file that is damaged or no graph.
    """
    graph = tf.compat.v1.GraphDef()
    with files.reading(path, "frozen TensorFlow graph"):
        with open(path, "rb") as file:
            graph.ParseFromString(file.read())
        tensors = {
            node.name: node.attr["value"].tensor
            for node in graph.node
            if node.op == "Const" and node.name.startswith(_PREFIX)
        }
        # A graph may store one number for a whole tensor of it.
        counts = [math.prod(dimension.size for dimension in tensor.tensor_shape.dim) for tensor in tensors.values()]
        files.check_expansion(path, sum(map(abs, counts)) * np.float32().itemsize)
        constants = {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
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

    def no_transformer(reason: str) -> InputError:
        return InputError(f"{source} holds no style transformer: {reason}")

    with files.reading(source, "checkpoint of a style transformer"):
        try:
            architecture = _architecture(variables)
            asked, held = count_parameters(**architecture), sum(value.size for value in variables.values())
            files.check_expansion(source, asked, stored=held)
            model = StyleTransformer(**architecture)
            pairs = {name: (variable, variables[name]) for name, variable in _named_variables(model).items()}
        except KeyError as error:
            raise no_transformer(f"{error.args[0]} is missing") from error
        for name, (variable, value) in pairs.items():
            if value.shape != variable.shape:
                raise no_transformer(f"{name} is {value.shape}, not {variable.shape}")
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
        published = {"filters": StyleTransformer.FILTERS, "expand_filters": StyleTransformer.EXPAND_FILTERS}
        return {**architecture, **published, "alpha": alpha}
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
