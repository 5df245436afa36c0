"""The style predictor as a LiteRT graph. It computes the same numbers as `magstyle.models.predictor.StylePredictor`."""

from collections.abc import Mapping

import numpy as np

from magstyle.litert.graph import Graph, Tensor, serialize
from magstyle.litert.network import EPSILON, spatial_mean
from magstyle.models.architecture import MOMENTS_EPSILON, PredictorArchitecture


def build(
    architecture: PredictorArchitecture, parameters: Mapping[str, Mapping[str, np.ndarray]], height: int, width: int
) -> bytes:
    """The predictor as the content of a LiteRT file, in float32.

    Its input is `painting` [1, H, W, 3], RGB in [0, 1], its output is `style_weights` [num_weights + 1], both float32.

    Args:
        architecture: of the predictor.
        parameters: of every layer, as in `PredictorArchitecture.shapes`.
        height, width: of the painting; both 0 if the program chooses them, by resizing the input.
    """
    graph = Graph()
    x, moments = graph.input("painting", (1, height or None, width or None, 3)), []
    for row in architecture.convolutions:
        with graph.scope(row.scope):
            x = graph.conv2d(x, parameters[row.scope]["kernel"], row.strides)
            mean = spatial_mean(x)
            variance = spatial_mean(graph.squared_difference(x, mean))
            moments += [mean, variance * graph.rsqrt(variance + _constant(graph, MOMENTS_EPSILON))]
            if "gamma" in parameters[row.scope]:
                gamma, beta = (_constant(graph, parameters[row.scope][name]) for name in ("gamma", "beta"))
                x = graph.relu((x - mean) * (gamma * graph.rsqrt(variance + _constant(graph, EPSILON))) + beta)
    x = graph.concatenate(moments, axis=3)
    for name, _ in architecture.dense:
        with graph.scope(name):
            x = graph.conv2d(x, parameters[name]["kernel"][None, None], bias=parameters[name]["bias"])
            if name != architecture.dense[-1][0]:
                x = graph.gelu(x)
    weights = graph.concatenate([_constant(graph, 1.0), x], axis=3)
    return serialize(graph.finish({"style_weights": graph.reshape(weights, (architecture.num_weights + 1,))}))


def _constant(graph: Graph, values: np.ndarray | float) -> Tensor:
    return graph.constant(np.asarray(values, np.float32).reshape(1, 1, 1, -1))
