"""What every program that the tests start has imported already; see processes.py."""

import contextlib
import gc

import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

# What they import themselves, as far as it is installed.
for name in ("scipy.optimize", "tensorflow_datasets", "apache_beam"):
    with contextlib.suppress(ImportError):
        __import__(name)
# A first collection in each process would touch, and so copy, all of that: three quarters of what a fork takes.
gc.collect()
gc.freeze()
