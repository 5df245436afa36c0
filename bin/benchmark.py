#!/usr/bin/env python3
"""Measures what the README claims; every target prints one table.

bin/benchmark.py --targets=speed   our network beside the same one made of Keras's own layers, in one process
bin/benchmark.py --targets=memory  the memory and time that photos of 6, 12 and 24 megapixels take
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from magstyle import app  # First: it silences TensorFlow, which Keras imports.

# isort: split
import keras
import numpy as np
from absl import flags

from magstyle.models.layers import ReflectionPadding2D, SubpixelConv2D
from magstyle.models.transformer import StyleTransformer
from magstyle.stylizer import Stylizer

FLAGS = flags.FLAGS
flags.DEFINE_multi_enum("targets", ["speed", "memory"], ["speed", "memory"], "What to measure.")
ALPHAS = (1.0, 0.25)


def main(_: Sequence[str]) -> None:
    for target in FLAGS.targets:
        {"speed": measure_speed, "memory": measure_memory}[target]()


def measure_speed(repetitions: int = 5) -> None:
    print("alpha  pixels       plain s  ours s  plain / ours  max |difference|")
    for alpha in ALPHAS:
        model = StyleTransformer(num_styles=4, alpha=alpha)
        plain = of_keras_layers(model)
        for side in (256, 512, 1024):
            inputs = [np.random.default_rng(0).random((1, side, side, 3), np.float32), np.eye(4, dtype=np.float32)[:1]]
            difference = np.abs(model.predict_on_batch(inputs) - plain.predict_on_batch(inputs)).max()
            # In turns, so that whatever else the machine does falls on both.
            pairs = [(seconds(plain, inputs), seconds(model, inputs)) for _ in range(repetitions)]
            slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{alpha:5.2f}  {side:4} x {side:4}  {slow:7.3f}  {fast:6.3f}  {ratio:12.2f}  {difference:16.1e}")


def of_keras_layers(model: StyleTransformer) -> keras.Model:
    """The same network, its up-sampling and its last convolution written with Keras's own layers."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, SubpixelConv2D):
            return layer.__class__.from_config(layer.get_config())
        return keras.Sequential(
            [
                keras.layers.UpSampling2D(layer.upsampling),
                ReflectionPadding2D(layer.kernel_size // 2),
                keras.layers.Conv2D(layer.filters, layer.kernel_size, use_bias=False),
            ],
            name=layer.name,
        )

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


def measure_memory() -> None:
    stylizers = {alpha: Stylizer(StyleTransformer(num_styles=4, alpha=alpha)) for alpha in ALPHAS}
    for stylizer in stylizers.values():
        stylizer.stylize(np.zeros((64, 64, 3)), stylizer.style_weights(0))
    before = peak_memory()
    # The peak of a process never falls, so from small to large.
    cases = sorted(
        (stylizer.memory_needed(height, width), alpha, height, width)
        for alpha, stylizer in stylizers.items()
        for height, width in ((2000, 3000), (3000, 4000), (4000, 6000))
    )
    print("alpha  photo        peak GiB  expected GiB  seconds")
    for needed, alpha, height, width in cases:
        photo = np.random.default_rng(0).random((height, width, 3), np.float32)
        stylizer = stylizers[alpha]
        elapsed = time_of(lambda photo=photo, s=stylizer: s.stylize(photo, s.style_weights(0)))
        peak, expected = peak_memory() / 2**30, (before + needed) / 2**30
        print(f"{alpha:5.2f}  {width} x {height}  {peak:8.2f}  {expected:12.2f}  {elapsed:7.1f}")


def seconds(model: keras.Model, inputs: list) -> float:
    return time_of(lambda: model.predict_on_batch(inputs))


def time_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    app.run(main)
