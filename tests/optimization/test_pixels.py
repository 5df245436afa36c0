import typing

import keras
import numpy as np
import pytest

from magstyle.errors import InputError
from magstyle.optimization import pixels

TARGET = np.linspace(-0.5, 1.5, 5 * 4 * 3).reshape(5, 4, 3).astype(np.float32)
START = np.full(TARGET.shape, 0.5, np.float32)


@pytest.fixture
def evaluate():
    """A parabola, steeper in some channels, that counts in `evaluate.calls` how often it is evaluated."""

    def objective(picture):
        squares = keras.ops.square(picture[0] - TARGET) * keras.ops.arange(1.0, 4.0)
        return {"red": keras.ops.sum(squares[..., 0]), "rest": keras.ops.sum(squares[..., 1:])}

    compiled = pixels.evaluation_of(objective)

    def counted(picture):
        counted.calls += 1
        return compiled(picture)

    counted.calls = 0
    return counted


def test_an_evaluation_gives_the_terms_and_the_gradient_of_their_sum(evaluate):
    terms, gradient = evaluate(START)
    squares = np.square(START - TARGET) * [1, 2, 3]
    assert terms == {
        "red": pytest.approx(squares[..., 0].sum(), rel=1e-5),
        "rest": pytest.approx(squares[..., 1:].sum(), rel=1e-5),
    }
    np.testing.assert_allclose(gradient, 2 * (START - TARGET) * [1, 2, 3], rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_least_loss_within_the_bounds_is_found(evaluate, optimizer):
    losses = []
    picture = pixels.minimize(
        evaluate, START, 150, optimizer, 0.05, lambda _, terms: losses.append(sum(terms.values()))
    )
    assert evaluate.calls == len(losses) <= 150
    np.testing.assert_allclose(picture, np.clip(TARGET, 0, 1), atol=2e-3)
    assert np.all(np.diff(losses) <= 0)  # Of what is kept.
    assert sum(evaluate(picture)[0].values()) == pytest.approx(losses[-1], rel=1e-6)


@pytest.mark.parametrize("optimizer", typing.get_args(pixels.Optimizer))
def test_no_more_evaluations_are_made_than_asked_for(evaluate, optimizer):
    pixels.minimize(evaluate, START, 2, optimizer)
    assert evaluate.calls == 2


def test_another_optimizer_is_refused(evaluate):
    with pytest.raises(InputError, match=r"^optimizer=sgd must be one of lbfgs, adam, normalized_gradient$"):
        pixels.minimize(evaluate, START, 2, "sgd")
    assert evaluate.calls == 0


def test_lbfgs_needs_fewer_evaluations_than_adam_for_the_same_loss(evaluate):
    def needed(optimizer):
        losses = []
        pixels.minimize(evaluate, START, 200, optimizer, 0.02, lambda _, terms: losses.append(sum(terms.values())))
        least = np.square(np.clip(TARGET, 0, 1) - TARGET) @ [1, 2, 3]
        return np.argmax(np.array(losses) < 1.001 * least.sum())

    assert 0 < needed("lbfgs") < needed("adam") / 2


def test_the_normalized_gradient_takes_steps_of_the_learning_rate_whatever_the_scale(evaluate):
    steps = [
        pixels.minimize(lambda picture, scale=scale: scaled(evaluate(picture), scale), START, 1, "normalized_gradient")
        - START
        for scale in (1, 1000)
    ]
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-4)
    assert steps[0].std() == pytest.approx(0.02, rel=1e-3)
    assert np.sum(steps[0] * (TARGET - START)) > 0


def scaled(evaluation, scale):
    terms, gradient = evaluation
    return {name: scale * value for name, value in terms.items()}, scale * gradient


def test_a_lack_of_memory_is_one_sentence():
    def objective(picture):
        raise MemoryError

    with pytest.raises(InputError, match="no memory for the features of an image of 4 x 5 pixels; lower image_size"):
        pixels.evaluation_of(objective)(START)
