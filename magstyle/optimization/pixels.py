"""The one loop of this room: a picture follows the gradient of an objective.

An objective is a function from pictures [1, H, W, 3] in [0, 1] to numbers by name, whose sum is to become small;
`objectives` makes some. `evaluation_of` compiles it with its gradient, `transforms` may shift or cut the pictures that
it sees, and `minimize` descends.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

import keras
import numpy as np
from scipy import optimize

from magstyle import options
from magstyle.errors import memory_for_features

# A tensor of Keras's backend, or an array that it takes for one.
Tensor: TypeAlias = keras.KerasTensor
# From pictures [1, H, W, 3] to terms by name.
Objective = Callable[[Tensor], Mapping[str, Tensor]]
# From a picture [H, W, 3] to its terms by name, and the gradient [H, W, 3] of their sum.
Evaluation = Callable[[np.ndarray], tuple[dict[str, float], np.ndarray]]
# Called after each evaluation, with the picture [H, W, 3] to keep if this is the last one, and its terms.
Report = Callable[[np.ndarray, Mapping[str, float]], None]
# The least and the largest value of every pixel; for all pixels alike, or [H, W, 3].
Bounds: TypeAlias = tuple[float, float] | tuple[np.ndarray, np.ndarray]
# The loss and the gradient of a picture [H, W, 3].
_Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]

Optimizer = Literal["lbfgs", "adam", "normalized_gradient"]
# The number of steps that L-BFGS remembers.
PAIRS = 10


class Minimize(Protocol):
    """`minimize` with its optimizer."""

    def __call__(
        self, evaluate: Evaluation, image: np.ndarray, steps: int, *, bounds: Bounds = (0.0, 1.0)
    ) -> np.ndarray: ...


def evaluation_of(objective: Objective) -> Evaluation:
    """Compiles an objective and its gradient, with TensorFlow or JAX, for each size of pictures.

    The evaluation raises an InputError if a picture does not fit into memory.
    """
    differentiate = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()](objective)

    def evaluate(picture: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        with memory_for_features("an image", *picture.shape[:2]):
            terms, gradient = differentiate(picture[None])
            return {name: float(value) for name, value in terms.items()}, keras.ops.convert_to_numpy(gradient)[0]

    return evaluate


def features_of(image: np.ndarray, network: keras.Model) -> dict[str, np.ndarray]:
    """Computes the features [1, h, w, C] of an image [H, W, 3] in [0, 1], by end point of a network.

    Raises:
        InputError: if they do not fit into memory.
    """
    with memory_for_features("an image", *image.shape[:2]):
        return {name: keras.ops.convert_to_numpy(values) for name, values in network(image[None]).items()}


def minimize(
    evaluate: Evaluation,
    image: np.ndarray,
    steps: int,
    optimizer: Optimizer = "lbfgs",
    learning_rate: float = 0.02,
    report: Report | None = None,
    bounds: Bounds = (0.0, 1.0),
) -> np.ndarray:
    """Descends from an image, and keeps its pixels between bounds.

    Args:
        evaluate: the objective; see `evaluation_of`.
        image: the image to start from, [H, W, 3], between the bounds.
        steps: the largest number of evaluations of the objective and its gradient.
        optimizer: "lbfgs", SciPy's L-BFGS-B; "adam"; or "normalized_gradient", which follows the gradient divided by
            its standard deviation, for objectives that move.
        learning_rate: of the last two optimizers, in units of [0, 1] per step.
        report: called after each evaluation.
        bounds: of the pixels, in [0, 1].

    Returns:
        The picture with the least loss, float32 [H, W, 3]. With "normalized_gradient", whose losses cannot be compared,
        the last picture.

    Raises:
        InputError: for another optimizer.

    References:
        Byrd, Lu, Nocedal, Zhu: A Limited Memory Algorithm for Bound Constrained Optimization. SIAM, 1995.
        Kingma, Ba: Adam: A Method for Stochastic Optimization. arXiv 1412.6980.
    """
    options.check_value("optimizer", optimizer, Optimizer)
    image = np.asarray(image, np.float32)
    best, least, terms_of_best = image, np.inf, dict[str, float]()

    def tracked(picture: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, least, terms_of_best
        terms, gradient = evaluate(picture)
        loss = sum(terms.values())
        # The last evaluation need not be the best one, as their number ends the search.
        if loss < least or optimizer == "normalized_gradient":
            best, least, terms_of_best = picture, loss, terms
        if report:
            report(best, terms_of_best)
        return loss, gradient

    if optimizer == "normalized_gradient":
        return _normalized_gradient(tracked, image, steps, learning_rate, bounds)
    if optimizer == "lbfgs":
        _lbfgs(tracked, image, steps, bounds)
    else:
        _adam(tracked, image, steps, learning_rate, bounds)
    return best


def _lbfgs(evaluate: _Loss, image: np.ndarray, steps: int, bounds: Bounds) -> None:
    class EnoughEvaluations(Exception):  # noqa: N818  It is not an error.
        pass

    made = 0

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal made
        # SciPy checks the number of evaluations only between its iterations.
        if made == steps:
            raise EnoughEvaluations
        made += 1
        loss, gradient = evaluate(flat.reshape(image.shape).astype(np.float32))
        return loss, gradient.ravel().astype(np.float64)

    # gtol is 0 as a small gradient must not end the search: our losses are means over pixels, so each pixel's is small.
    with contextlib.suppress(EnoughEvaluations):
        optimize.minimize(
            function,
            image.ravel().astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            bounds=optimize.Bounds(*(np.broadcast_to(bound, image.shape).ravel() for bound in bounds)),
            options={"maxfun": steps, "maxiter": steps, "gtol": 0, "maxcor": PAIRS},
        )


def _adam(evaluate: _Loss, image: np.ndarray, steps: int, learning_rate: float, bounds: Bounds) -> None:
    optimizer = keras.optimizers.Adam(learning_rate)
    picture = keras.Variable(image)
    for _ in range(steps):
        _, gradient = evaluate(keras.ops.convert_to_numpy(picture))
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [picture])
        picture.assign(keras.ops.clip(picture, *bounds))


def _normalized_gradient(
    evaluate: _Loss, image: np.ndarray, steps: int, learning_rate: float, bounds: Bounds
) -> np.ndarray:
    for _ in range(steps):
        _, gradient = evaluate(image)
        image = np.clip(image - learning_rate * gradient / (gradient.std() + np.float32(1e-12)), *bounds)
    return image


def _tensorflow(objective: Objective) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False)
    def differentiate(pictures):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            terms = objective(pictures)
            total = sum(terms.values())
        return terms, tape.gradient(total, pictures)

    return differentiate


def _jax(objective: Objective) -> Callable:
    import jax

    def total(pictures):
        terms = objective(pictures)
        return sum(terms.values()), terms

    def differentiate(pictures):
        (_, terms), gradient = compiled(pictures)
        return terms, gradient

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
    return differentiate
