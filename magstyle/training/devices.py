"""Where a training computes, and how precisely: devices, machines, float32 or bfloat16."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Literal

import keras
import tensorflow as tf

from magstyle.errors import InputError
from magstyle.training.saving import SaveAndResume

# What TensorFlow raises for another machine that is down, that was started again, or that does not answer
# (tensorflow/python/distribute/collective_all_reduce_strategy.py, _check_health).
_WORKER_LOST = (tf.errors.UnavailableError, tf.errors.FailedPreconditionError, tf.errors.DeadlineExceededError)
# What it says when a collective that is under way fails with it, by an error of any class.
_ABORTED = "Collective ops is aborted"
_CPUINFO = pathlib.Path("/proc/cpuinfo")


def strategy(distribution: str, batch_size: int) -> tf.distribute.Strategy:
    """TensorFlow's strategy for one device, all of this machine ("mirrored") or all machines ("multi_worker").

    Raises:
        InputError: for another backend of Keras than TensorFlow, without TF_CONFIG, or for a batch size that is not a
            multiple of the number of devices.
    """
    if distribution == "none":
        return tf.distribute.get_strategy()
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"distribution={distribution} needs Keras's TensorFlow backend", "distribution")
    tf.get_logger().setLevel("ERROR")  # It logs every tensor that it sends.
    if distribution == "mirrored":
        found = tf.distribute.MirroredStrategy()
    else:
        if "TF_CONFIG" not in os.environ:
            raise InputError(
                "distribution=multi_worker needs the variable TF_CONFIG; docs/training.md shows an example",
                "distribution",
            )
        found = tf.distribute.MultiWorkerMirroredStrategy()
    if batch_size % found.num_replicas_in_sync:
        raise InputError(
            f"batch_size={batch_size} must be a multiple of the {found.num_replicas_in_sync} devices", "batch_size"
        )
    return found


def tells_of_a_lost_worker(error: Exception) -> bool:
    """Whether an error of TensorFlow says that another machine was lost."""
    return isinstance(error, _WORKER_LOST) or (isinstance(error, tf.errors.OpError) and _ABORTED in str(error))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this is the machine that writes files; the only one, or the first of several."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_id


def agree(strategy: tf.distribute.Strategy, saving: SaveAndResume) -> None:
    """Makes sure that all workers start from the same checkpoint.

    A worker that was started again may have read one that the chief, not yet aware of the loss, has since replaced.
    Once all workers are here, no one writes any more.
    """
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        steps = strategy.run(lambda: tf.constant([saving.step]))
        if len(set(strategy.gather(steps, axis=0).numpy())) > 1:
            saving.restore()


@contextlib.contextmanager
def precision(in_bfloat16: bool) -> Iterator[None]:
    """Builds layers that compute in bfloat16, if asked to."""
    policy = keras.config.dtype_policy()
    if in_bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def computes_in_bfloat16(mixed_precision: bool | Literal["auto"], jit_compile: bool) -> bool:
    """Whether a training computes in bfloat16; "auto" does so where this machine is faster in bfloat16 than in float32.

    A processor that has to emulate bfloat16 is ten times slower.
    """
    if mixed_precision != "auto":
        return mixed_precision
    devices = [device.split(":")[0] for device in keras.distribution.list_devices()]
    if "tpu" in devices:
        return True
    if "gpu" in devices:
        return all(capability >= (8, 0) for capability in _compute_capabilities())
    # On CPUs, TensorFlow has oneDNN's convolutions in bfloat16; XLA, which also compiles for JAX, has none.
    if jit_compile or keras.backend.backend() != "tensorflow":
        return False
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() not in ("0", "false")
    # Only Linux has this file; other systems count as processors without bfloat16.
    features = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
    return onednn and re.search(r"\b(avx512|amx)_bf16\b", features) is not None


def _compute_capabilities() -> list[tuple[int, int]]:
    """The compute capabilities of the GPUs of Keras's backend; (0, 0) for those that are not NVIDIA's."""
    if keras.backend.backend() == "tensorflow":
        details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
        return [entry.get("compute_capability", (0, 0)) for entry in details]
    import jax

    versions = [re.fullmatch(r"(\d+)\.(\d+)", str(device.compute_capability)) for device in jax.local_devices()]
    return [(int(version[1]), int(version[2])) if version else (0, 0) for version in versions]
