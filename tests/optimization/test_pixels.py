import numpy as np
import tensorflow as tf

from magstyle.optimization import pixels


def test_the_least_loss_within_the_bounds_is_found():
    target = np.linspace(-0.5, 1.5, 5 * 4 * 3).reshape(5, 4, 3).astype(np.float32)
    calls = []

    def loss(picture):
        tf.py_function(lambda: calls.append(1), [], [])
        return tf.reduce_sum(tf.square(picture[0] - target) * tf.range(1.0, 4.0))

    start = np.full(target.shape, 0.5, np.float32)
    picture, value = pixels.minimize(loss, start, 50)
    np.testing.assert_allclose(picture, np.clip(target, 0, 1), atol=1e-3)
    assert abs(value - float(loss(picture[None]))) < 1e-4
    assert len(calls) <= 51

    calls.clear()
    _, after_two = pixels.minimize(loss, start, 2)
    assert len(calls) <= 3
    assert value < after_two < float(loss(start[None]))
