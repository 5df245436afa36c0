"""Checks models and losses against Magenta's arrays on Keras's JAX backend; run by test_transformer.py."""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Compiling takes longer than what is compiled.

import keras
import numpy as np

from magstyle import losses
from magstyle.models import vgg
from magstyle.models.transformer import StyleTransformer

REFERENCE = pathlib.Path(__file__).parents[1] / "reference"


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def main():
    assert keras.backend.backend() == "jax"
    arrays = np.load(REFERENCE / "transformer_alpha025_styles5.npz")
    model = StyleTransformer(5, alpha=0.25)
    names = {"kernel": "weights", "gamma": "InstanceNorm/gamma", "beta": "InstanceNorm/beta"}
    for scope in model.scopes:
        for name, variable in model.parameters(scope).items():
            variable.assign(arrays[f"weights/transformer/{scope}/{names[name]}"])
    one_hot = np.eye(5)[arrays["labels"]]
    for name in ("", "_61x47", "_33x70"):
        assert_close(model([arrays[f"image{name}"], one_hot]), arrays[f"stylized{name}"])
    assert_close(model([arrays["image"], arrays["mixture"][None]]), arrays["mixed"])

    arrays = np.load(REFERENCE / "vgg16_endpoints.npz")
    weights = vgg.random_weights(seed=0)
    features = {pooling: vgg.build(weights, pooling=pooling)(arrays["image"]) for pooling in ("avg", "max")}
    for name in arrays:
        kind, _, end_point = name.partition("/")
        if kind in features:
            assert_close(features[kind][end_point], arrays[name])
        elif kind == "gram":
            assert_close(losses.gram_matrix(features["avg"][end_point]), arrays[name])
    assert "tensorflow" not in sys.modules
    print("jax: all arrays match, tensorflow not imported")


main()
