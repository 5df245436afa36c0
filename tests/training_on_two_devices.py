"""Trains on one device, and on two virtual ones that share each batch; run by test_training.py.

In float64: in float32, rounding alone parts two trainings by a factor of ten per step.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
import trajectory

keras.config.set_floatx("float64")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
arrays = np.load(sys.argv[1])

curves = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy()):
    with strategy.scope():
        model, batches = trajectory.start(arrays)
        model.optimizer.build(model.trainable_variables)  # As magstyle.training.saving.SaveAndResume does.
    dataset = tf.data.Dataset.from_tensor_slices(batches).repeat().batch(2, drop_remainder=True)
    history = trajectory.History()
    model.fit(dataset, steps_per_epoch=3, shuffle=False, verbose=0, callbacks=[history])
    curves.append([step["total_loss"] for step in history.steps])
    print(strategy.num_replicas_in_sync, "devices:", *curves[-1])
print("largest relative difference:", np.max(np.abs(np.subtract(*curves)) / curves[0]))
