"""Trains on one device, and on two virtual ones that share each batch and stop half-way; run by test_model.py.

In float64: in float32, rounding alone parts two trainings by a factor of ten per step.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tempfile

import keras
import numpy as np
import tensorflow as tf

from magstyle.training.optimizer import StyleAdam
from magstyle.training.saving import SaveAndResume
from tests.training import small
from tests.training.trajectory import History

STEPS = 4


def train(strategy: tf.distribute.Strategy, folder: str, train_steps: int) -> list[float]:
    """The total losses up to train_steps, from where the folder is."""
    with strategy.scope():
        model = small.training(optimizer=StyleAdam(1e-3, style_scale=5.0, epsilon=1e-8), run_eagerly=False)
        saving = SaveAndResume(folder, model)
    dataset = tf.data.Dataset.from_tensor_slices(photos).batch(2).skip(saving.step)
    history = History()
    model.fit(dataset, steps_per_epoch=train_steps - saving.step, verbose=0, callbacks=[history, saving])
    return [step["total_loss"] for step in history.steps]


keras.config.set_floatx("float64")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
photos = {"image": rng.random((2 * STEPS, 32, 32, 3)), "label": np.array([0, 1] * STEPS, np.int32)}
with tempfile.TemporaryDirectory() as folder:
    one = train(tf.distribute.get_strategy(), folder, STEPS)
two_devices = tf.distribute.MirroredStrategy()
assert two_devices.num_replicas_in_sync == 2
with tempfile.TemporaryDirectory() as folder:
    two = train(two_devices, folder, STEPS // 2) + train(two_devices, folder, STEPS)
np.testing.assert_allclose(two, one, rtol=1e-6)
print("2 devices:", *(f"{first / second - 1:.1e}" for first, second in zip(two, one, strict=True)))
