"""A training small enough to run in every test: networks of a few channels, two photos of 32 x 32."""

import keras
import numpy as np

from magstyle.models import vgg
from magstyle.models.predictor import ArbitraryStyleTransformer
from magstyle.models.transformer import StyleTransformer
from magstyle.training.distillation import Distillation
from magstyle.training.model import LossWeights, PredictorTraining, StyleTraining

NAMES = ("wave", "scream")


def transformer(names=NAMES, filters=(4, 6, 8)) -> StyleTransformer:
    """Untrained, the same each time."""
    network = StyleTransformer(len(names), filters=filters, expand_filters=(6, 4), residual_blocks=1, style_names=names)
    rng = np.random.default_rng(0)  # keras.utils.set_random_seed imports TensorFlow.
    for scope in network.scopes:
        kernel = network.parameters(scope)["kernel"]
        kernel.assign(rng.normal(0, 0.01, kernel.shape))
    return network


def training(
    network: StyleTransformer | None = None, optimizer=None, run_eagerly: bool = True, **options
) -> StyleTraining:
    """A compiled training of that network, or another one, by Adam as Magenta has it, or another optimizer.

    Args:
        run_eagerly: as `compile` takes it; for a few steps, compiling takes far longer than what it spares.
        options: options of `StyleTraining` and weights of `LossWeights`, by name.
    """
    network = network or transformer()
    losses = vgg.build(_narrow_vgg(), ["vgg_16/conv1", "vgg_16/conv3"])
    rng = np.random.default_rng(0)
    paintings = len(options.get("styles", network.style_names))
    grams = {name: rng.random((paintings, 4, 4)) for name in losses.output}
    weights = {name: options.pop(name) for name in list(options) if name in LossWeights.__dataclass_fields__}
    loss_weights = LossWeights({"vgg_16/conv3": 1.0}, {"vgg_16/conv1": 1e-4, "vgg_16/conv3": 1e-4}, **weights)
    model = StyleTraining(network, losses, grams, loss_weights, **options)
    model.compile(optimizer or keras.optimizers.Adam(1e-3, epsilon=1e-8), run_eagerly=run_eagerly)
    model.optimizer.build(model.trainable_variables)  # Otherwise, TensorFlow traces the first step twice.
    return model


def predictor_training(**weights) -> PredictorTraining:
    """A training of a small network for any painting by Adam, not compiled to anything; takes `batch_of_paintings`.

    Args:
        weights: weights of `LossWeights`, by name.
    """
    sizes = {"filters": (4, 6, 8), "expand_filters": (6, 4), "residual_blocks": 1, "predictor_filters": (4, 6)}
    network = ArbitraryStyleTransformer(3, **sizes, predictor_units=(8,))
    rng = np.random.default_rng(0)
    for weight in network.trainable_weights:
        if len(weight.shape) > 1:  # The same each time; biases are 0.
            weight.assign(rng.normal(1.0 if weight.name == "gamma" else 0.0, 0.05, weight.shape))
    losses = vgg.build(_narrow_vgg(), ["vgg_16/conv1", "vgg_16/conv3"])
    loss_weights = LossWeights({"vgg_16/conv3": 1.0}, {"vgg_16/conv1": 0.5, "vgg_16/conv3": 0.5}, **weights)
    model = PredictorTraining(network, losses, loss_weights)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=keras.backend.backend() == "tensorflow")
    return model


def distillation(**weights) -> Distillation:
    """A narrow network beside its teacher, not compiled; takes `batch`.

    Args:
        weights: weights of `LossWeights`, by name.
    """
    loss_weights = LossWeights({"vgg_16/conv3": 1.0}, {"vgg_16/conv1": 1.0, "vgg_16/conv3": 1.0}, **weights)
    losses = vgg.build(_narrow_vgg(), ["vgg_16/conv1", "vgg_16/conv3"])
    return Distillation(transformer(filters=(2, 3, 4)), transformer(), losses, loss_weights)


def batch_of_paintings() -> dict[str, np.ndarray]:
    """Two photos, with a painting each."""
    photos, paintings = np.random.default_rng(0).random((2, 2, 32, 32, 3), np.float32)
    return {"image": photos, "painting": paintings, "position": batch()["position"]}


def batch() -> dict[str, np.ndarray]:
    """A photo in each of the two styles."""
    return {
        "image": np.random.default_rng(0).random((2, 32, 32, 3), np.float32).astype(keras.config.floatx()),
        "label": np.array([0, 1], np.int32),
        "position": np.array([[3, 7], [3, 7]], np.int32),
    }


def weights_of(model: StyleTraining) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.transformer.variables]


def _narrow_vgg() -> dict[str, np.ndarray]:
    """The first four channels of every layer of VGG, without its fifth block."""
    narrow = {}
    for name, value in vgg.random_weights(0).items():
        if "conv5" not in name:
            channels_in = 3 if "conv1_1" in name else 4
            narrow[name] = value[:, :, :channels_in, :4] if name.endswith("weights") else value[:4]
    return narrow
