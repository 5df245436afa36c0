"""The one loop of this room: a picture follows the gradient of an objective.

An objective is a function from pictures [1, H, W, 3] in [0, 1] to numbers by name, whose sum is to become small;
`objectives` makes some. `evaluation_of` compiles it with its gradient, `transforms` may shift or cut what it sees, and
`minimize` goes down.
"""

import collections
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from magstyle.errors import memory_for_features

Objective = Callable[..., Mapping]
# From a picture [H, W, 3] to its terms by name, and the gradient [H, W, 3] of their sum.
Evaluation = Callable[[np.ndarray], tuple[dict[str, float], np.ndarray]]
# Told after each evaluation: the picture [H, W, 3] to keep if this were the last one, and its terms.
Report = Callable[[np.ndarray, Mapping[str, float]], None]
# `minimize` with its steps and its optimizer: from an evaluation and an image [H, W, 3] to a picture of its size.
Minimize = Callable[[Evaluation, np.ndarray], np.ndarray]

OPTIMIZERS = ("lbfgs", "adam", "normalized_gradient")
# Of L-BFGS: the steps that it remembers, the usual share of the foreseen decrease that a step has to bring, and how far
# the first step goes, in units of [0, 1], on quadratic average.
PAIRS = 10
_SUFFICIENT_DECREASE = 1e-4
_FIRST_STEP = 0.01


def evaluation_of(objective: Objective) -> Evaluation:
    """An objective and its gradient, compiled by TensorFlow or JAX for each size of pictures.

    The evaluation raises an InputError where a picture does not fit into memory.
    """
    differentiate = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()](objective)

    def evaluate(picture: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        with memory_for_features("an image", *picture.shape[:2]):
            terms, gradient = differentiate(picture[None])
            return {name: float(value) for name, value in terms.items()}, keras.ops.convert_to_numpy(gradient)[0]

    return evaluate


def features_of(image: np.ndarray, network: keras.Model) -> dict[str, np.ndarray]:
    """The features [1, h, w, C] of an image [H, W, 3] in [0, 1], by end point of a network.

    Raises:
        InputError: if they do not fit into memory.
    """
    with memory_for_features("an image", *image.shape[:2]):
        return {name: keras.ops.convert_to_numpy(values) for name, values in network(image[None]).items()}


def minimize(
    evaluate: Evaluation,
    image: np.ndarray,
    steps: int,
    optimizer: str = "lbfgs",
    learning_rate: float = 0.02,
    report: Report | None = None,
) -> np.ndarray:
    """Goes down from an image, its pixels kept in [0, 1].

    Args:
        evaluate: the objective; see `evaluation_of`.
        image: where to start, [H, W, 3] in [0, 1].
        steps: evaluations of the objective and its gradient, at most.
        optimizer: "lbfgs", L-BFGS with projected steps; "adam"; or "normalized_gradient", which follows the gradient
            divided by its standard deviation, for objectives that move.
        learning_rate: of the last two, a step in units of [0, 1].
        report: told how it goes.

    Returns:
        The picture of the least loss that was met, float32 [H, W, 3]; the last one by "normalized_gradient", where no
        two losses can be compared.

    References:
        Liu, Nocedal: On the Limited Memory BFGS Method for Large Scale Optimization. Mathematical Programming, 1989.
        Bertsekas: Projected Newton Methods for Optimization Problems with Simple Constraints. SIAM, 1982.
        Kingma, Ba: Adam: A Method for Stochastic Optimization. arXiv 1412.6980.
    """
    image = np.asarray(image, np.float32)
    best, least, terms_of_best = image, np.inf, {}

    def tracked(picture: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, least, terms_of_best
        terms, gradient = evaluate(picture)
        loss = sum(terms.values())
        # The last evaluation need not be the best one, where it is the number of them that ends the search.
        if loss < least or optimizer == "normalized_gradient":
            best, least, terms_of_best = picture, loss, terms
        if report:
            report(best, terms_of_best)
        return loss, gradient

    descend = {"lbfgs": _lbfgs, "adam": _adam, "normalized_gradient": _normalized_gradient}[optimizer]
    last = descend(tracked, image, steps, learning_rate)
    return last if optimizer == "normalized_gradient" else best


def _lbfgs(evaluate: Callable, picture: np.ndarray, steps: int, _) -> None:
    """L-BFGS with projected steps: pixels that the gradient would push out of [0, 1] stand still, the rest is clipped.

    SciPy's L-BFGS-B comes to the same losses, at the price of a tenth of all the time and of 64 bits. Without bounds, a
    picture that is clipped at the end is far from the least loss.
    """
    pairs = collections.deque(maxlen=PAIRS)
    direction = None
    loss, gradient = evaluate(picture)
    for _ in range(steps - 1):
        if direction is None:
            held = ((picture <= 0) & (gradient > 0)) | ((picture >= 1) & (gradient < 0))
            free = np.where(held, 0, gradient)
            direction = np.where(held, 0, _newton_direction(free, pairs))
            slope, share = float(np.vdot(free, direction)), 1.0
            if not slope < 0:
                return
        moved = np.clip(picture + np.float32(share) * direction, 0, 1)
        change = moved - picture
        if not change.any():
            return
        loss_there, gradient_there = evaluate(moved)
        if loss_there <= loss + _SUFFICIENT_DECREASE * float(np.vdot(gradient, change)):
            bend = gradient_there - gradient
            curvature = np.vdot(change, bend)
            if curvature > 0:
                pairs.append((change, bend, curvature))
            picture, loss, gradient, direction = moved, loss_there, gradient_there, None
        else:
            # To the lowest point of the parabola through what is known, but not much shorter at once.
            share *= max(0.1, min(0.5, -slope * share / (2 * (loss_there - loss - slope * share))))


def _newton_direction(gradient: np.ndarray, pairs: Sequence) -> np.ndarray:
    """The inverse of the Hessian, as pairs of changes tell of it, times the gradient, negated.

    Args:
        pairs: changes of the picture, those of the gradient that came with them, and their products, oldest first.

    Reference:
        Nocedal, Wright: Numerical Optimization. Springer, 2006 (algorithm 7.4).
    """
    if not pairs:
        return gradient * np.float32(-_FIRST_STEP / max(np.sqrt(np.mean(np.square(gradient))), 1e-30))
    direction, shares = -gradient, []
    for change, bend, curvature in reversed(pairs):
        shares.append(np.vdot(change, direction) / curvature)
        direction -= shares[-1] * bend
    _, bend, curvature = pairs[-1]
    direction *= curvature / np.vdot(bend, bend)
    for (change, bend, curvature), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - np.vdot(bend, direction) / curvature) * change
    return direction


def _adam(evaluate: Callable, image: np.ndarray, steps: int, learning_rate: float) -> None:
    optimizer = keras.optimizers.Adam(learning_rate)
    picture = keras.Variable(image)
    for _ in range(steps):
        _, gradient = evaluate(keras.ops.convert_to_numpy(picture))
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [picture])
        picture.assign(keras.ops.clip(picture, 0, 1))


def _normalized_gradient(evaluate: Callable, image: np.ndarray, steps: int, learning_rate: float) -> np.ndarray:
    for _ in range(steps):
        _, gradient = evaluate(image)
        image = np.clip(image - learning_rate * gradient / (gradient.std() + np.float32(1e-12)), 0, 1)
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
