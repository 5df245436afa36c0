"""Adam in a few lines, to compare with."""

from collections.abc import Iterable

import keras
import numpy as np

from magstyle.training.optimizer import DecayAtEnd, StyleAdam
from tests.training import small


def adam(
    value: np.ndarray,
    gradients: Iterable[np.ndarray],
    learning_rates: Iterable[float],
    epsilon: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
) -> np.ndarray:
    """Where a variable is after one step per gradient.

    Kingma, Ba: Adam: A Method for Stochastic Optimization. ICLR 2015, arXiv 1412.6980, algorithm 1 in the order that
    the end of section 2 gives.
    """
    value = value.astype(np.float64)
    mean, square = np.zeros_like(value), np.zeros_like(value)
    for step, (gradient, learning_rate) in enumerate(zip(gradients, learning_rates, strict=True), start=1):
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        value = value - rate * mean / (np.sqrt(square) + epsilon)
    return value


def difference(steps: int) -> float:
    """How far `StyleAdam` is from it after so many steps with random gradients, relative to the way it has come.

    With a learning rate that falls over the last half of the steps, and five times as large for the styles.
    """
    transformer = small.transformer()
    optimizer = StyleAdam(DecayAtEnd(1e-2, steps, steps // 2), style_scale=5.0, epsilon=1e-8)
    variables = transformer.trainable_variables
    rng = np.random.default_rng(0)
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    gradients = [[rng.normal(0, 0.1, value.shape) for value in before] for _ in range(steps)]
    for step in gradients:
        optimizer.apply(
            [keras.ops.convert_to_tensor(gradient, dtype=keras.config.floatx()) for gradient in step], variables
        )
    decayed = np.maximum(np.arange(steps) - (steps - steps // 2), 0) / (steps // 2)
    rates = 1e-2 * (1 + np.cos(np.pi * decayed)) / 2
    styles = {id(v) for scope in transformer.scopes for n, v in transformer.parameters(scope).items() if n != "kernel"}
    largest = 0.0
    for i, (variable, value) in enumerate(zip(variables, before, strict=True)):
        expected = adam(value, [step[i] for step in gradients], rates * (5 if id(variable) in styles else 1), 1e-8)
        error = np.abs(keras.ops.convert_to_numpy(variable) - expected).max()
        largest = max(largest, error / np.abs(expected - value).max())
    return largest
