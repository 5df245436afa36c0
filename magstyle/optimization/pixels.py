"""Gradient descent on pixels."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import optimize


def minimize(loss: Callable[[tf.Tensor], tf.Tensor], image: np.ndarray, evaluations: int) -> tuple[np.ndarray, float]:
    """The picture of least loss that L-BFGS-B finds, its pixels kept in [0, 1].

    Args:
        loss: from pictures [1, H, W, 3] to one number.
        image: where to start, [H, W, 3] in [0, 1].
        evaluations: of the loss and its gradient, at most.

    Returns:
        The picture, float32 [H, W, 3], and its loss.

    Reference:
        Byrd, Lu, Nocedal, Zhu: A Limited Memory Algorithm for Bound Constrained Optimization. SIAM, 1995.
    """

    @tf.function
    def evaluate(picture):
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = loss(picture)
        return value, tape.gradient(value, picture)

    # The last evaluation need not be the best one, where it is the number of them that ends the search.
    best = [np.asarray(image, np.float32), np.inf]

    def function(flat):
        picture = flat.reshape(1, *image.shape).astype(np.float32)
        value, gradient = evaluate(picture)
        if value < best[1]:
            best[:] = picture[0], float(value)
        return float(value), gradient.numpy().ravel().astype(np.float64)

    options = {"maxfun": evaluations, "maxiter": evaluations}
    bounds = optimize.Bounds(0, 1)
    optimize.minimize(
        function, image.ravel().astype(np.float64), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    return tuple(best)
