"""Trains the golden training on Keras's JAX backend, without TensorFlow; run by test_model.py."""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Compiling takes longer than what is compiled.

import keras

from tests.training import numpy_adam, small, trajectory

assert keras.backend.backend() == "jax"
deviations = trajectory.deviations()
assert deviations[0] < 1e-4 and deviations[1] < 1e-3, deviations
difference = numpy_adam.difference(steps=5)
assert difference < 5e-5, difference
of_any_painting = small.predictor_training(palette=0.1)
first, second = (of_any_painting.fit(small.batch_of_paintings(), verbose=0).history["total_loss"] for _ in range(2))
assert second < first, (first, second)
assert "tensorflow" not in sys.modules
print("jax:", *deviations, difference)
