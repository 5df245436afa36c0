"""Trains the golden training on Keras's JAX backend, without TensorFlow; run by test_training.py."""

import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Compiling takes longer than what is compiled.

import keras
import numpy as np
import trajectory

assert keras.backend.backend() == "jax"
arrays = np.load(pathlib.Path(__file__).parent / "reference" / "training_trajectory.npz")
model, batches = trajectory.start(arrays)
history = trajectory.History()
model.fit(batches, batch_size=2, shuffle=False, verbose=0, callbacks=[history])
found = trajectory.deviations(arrays, history)
assert found[0] < 1e-4 and found[1] < 1e-3, found
assert "tensorflow" not in sys.modules
print("jax:", *(f"{deviation:.1e}" for deviation in found))
