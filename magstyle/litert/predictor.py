"""The style predictor as a LiteRT graph. It computes the same numbers as `magstyle.models.predictor.StylePredictor`."""

from collections.abc import Mapping

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.models.architecture import PredictorArchitecture

# As of `magstyle.models.layers.Moments`.
_EPSILON = 1e-4


def build(
    architecture: PredictorArchitecture, parameters: Mapping[str, Mapping[str, np.ndarray]], height: int, width: int
) -> bytes:
    """The predictor as the content of a LiteRT file, in float32.

    Its input is `painting` [1, H, W, 3], RGB in [0, 1], its output is `style_weights` [num_weights + 1], both float32.

    Args:
        architecture: of the predictor.
        parameters: of every layer: `kernel` and `bias`.
        height, width: of the painting; both 0 if the program chooses them, by resizing the input.
    """
    graph = Graph()
    x, moments = graph.input("painting", (1, height or None, width or None, 3)), []
    for name, _, strides in architecture.convolutions:
        with graph.scope(name):
            x = graph.relu(graph.conv2d(x, parameters[name]["kernel"], strides, parameters[name]["bias"]))
            if name.endswith("conv2"):
                moments += _moments(graph, x)
    x = graph.concatenate(moments, axis=3)
    for name, _ in architecture.dense:
        with graph.scope(name):
            x = graph.conv2d(x, parameters[name]["kernel"][None, None], bias=parameters[name]["bias"])
            if name != architecture.dense[-1][0]:
                x = graph.gelu(x)
    first = graph.constant(np.ones((1, 1, 1, 1), np.float32))
    weights = graph.reshape(graph.concatenate([first, x], axis=3), (architecture.num_weights + 1,))
    return serialize(graph.finish({"style_weights": weights}))


def _moments(graph: Graph, x: Tensor) -> list[Tensor]:
    """The mean and the standard deviation of every channel, [1, 1, 1, C] each."""
    mean = graph.mean(graph.mean(x, 1), 2)
    variance = graph.mean(graph.mean(graph.squared_difference(x, mean), 1), 2)
    epsilon = graph.constant(np.full((1, 1, 1, 1), _EPSILON, np.float32))
    return [mean, variance * graph.rsqrt(variance + epsilon)]
