"""The golden training of tests/reference: what to set up, and what Magenta printed at every step."""

import pathlib

import keras
import numpy as np

from magstyle import losses
from magstyle.models import vgg
from magstyle.models.transformer import StyleTransformer
from magstyle.training.model import LossWeights, StyleTraining, batch_means
from magstyle.training.optimizer import StyleAdam

# Of the six in the file. Units whose input is as good as 0 open or stay closed as rounding has it, and the first steps
# of Adam are of the same length whatever the gradient, so that two kernels for the same sums drift apart by a factor of
# ten in every step: what comes later tells nothing.
STEPS = 2


class History(keras.callbacks.Callback):
    """The losses of every step, in `steps`."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(batch_means(logs))


def deviations() -> list[float]:
    """Trains, and says how far the losses are from Magenta's: by step, the largest difference over the golden value."""
    with np.load(pathlib.Path(__file__).parents[1] / "reference" / "training_trajectory.npz") as file:
        arrays = dict(file)
    model, history = _start(arrays), History()
    images = arrays["images"][:STEPS].reshape(-1, *arrays["images"].shape[2:]).astype(keras.config.floatx())
    batches = {"image": images, "label": arrays["labels"][:STEPS].reshape(-1).astype(np.int32)}
    model.fit(batches, batch_size=arrays["labels"].shape[1], shuffle=False, verbose=0, callbacks=[history])
    assert len(history.steps) == STEPS
    golden = {name.removeprefix("history/"): arrays[name] for name in arrays if name.startswith("history/")}
    assert all(set(step) == set(golden) for step in history.steps)
    return [
        float(max(abs(step[name] / golden[name][k] - 1) for name in golden)) for k, step in enumerate(history.steps)
    ]


def _start(arrays) -> StyleTraining:
    transformer = StyleTransformer(3, alpha=0.25)
    names = {"kernel": "weights", "gamma": "InstanceNorm/gamma", "beta": "InstanceNorm/beta"}
    for scope in transformer.scopes:
        for name, variable in transformer.parameters(scope).items():
            variable.assign(arrays[f"weights/transformer/{scope}/{names[name]}"])
    content_weights = {"vgg_16/conv3": float(arrays["content_weights/vgg_16/conv3"])}
    style_weights = {f"vgg_16/conv{i}": float(arrays[f"style_weights/vgg_16/conv{i}"]) for i in (1, 2, 3, 4)}
    network = vgg.build(vgg.random_weights(seed=0), list(style_weights))
    features = network(arrays["style_images"].astype(keras.config.floatx()))
    grams = {name: keras.ops.convert_to_numpy(losses.gram_matrix(value)) for name, value in features.items()}
    loss_weights = LossWeights(
        content_weights,
        style_weights,
        arrays["style_coefficients"],
        total_variation=1e-12,  # Too little to matter; so that it is reported.
    )
    model = StyleTraining(transformer, network, grams, loss_weights)
    model.compile(StyleAdam(1e-3, epsilon=1e-8))
    model.optimizer.build(model.trainable_variables)  # Otherwise, TensorFlow traces the first step twice.
    return model
