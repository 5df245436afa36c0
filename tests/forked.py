"""Imports the libraries that every program of the tests inherits when it is forked; see processes.py."""

import contextlib
import gc

import keras  # noqa: F401
import tensorflow as tf

# A test runs each of its graphs only a few times: optimising them would take longer than it saves.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
# Programs import these themselves; not all are installed everywhere.
for name in ("scipy.optimize", "tensorflow_datasets", "apache_beam"):
    with contextlib.suppress(ImportError):
        __import__(name)
# Without this, the first garbage collection in each process would touch, and so copy, all these objects: three quarters
# of the cost of a fork.
gc.collect()
gc.freeze()
