"""Training for real."""

import math
from typing import Any

import numpy as np
import pytest

import impls
from benchmarks.race import train
from impls.referee.reference import reference


@pytest.mark.parametrize("workload", ["digits", "digits-softmax"])
def test_equal_seeds_give_losses_that_agree_step_by_step(implementation: Any, workload: str) -> None:
    """|J_a - J_b| is within both rounding bounds and what the parameters' own difference explains.

    That is sum |dw| |w_a - w_b| to first order; the second order, quadratic in a difference of a few ulp, is
    below half of it.
    """
    course = train.Course(workload=workload, steps=12, batch_size=16)
    problem = course.problem()
    try:
        implementations = [implementation(problem), impls.load("loops")(problem)]
    except impls.Unsupported as reason:
        pytest.skip(str(reason))
    parameters = [(problem.weights, problem.biases)] * 2
    for k in range(course.steps):
        losses, bounds, found = [], [], []
        batch = k % problem.batches
        for j, race in enumerate(implementations):
            race.step(course.learning_rate)
            result = race.export()
            exact = reference(problem, *parameters[j], batch, "float64", math.inf)
            losses.append(result.loss)
            bounds.append(float(exact.loss.bound))
            found.append((result.weights, result.biases))
        drift = sum(
            float(np.sum(np.abs(d.hi * (a - b))))
            for d_all, a_all, b_all in (
                (exact.dw, parameters[0][0], parameters[1][0]),
                (exact.db, parameters[0][1], parameters[1][1]),
            )
            for d, a, b in zip(d_all, a_all, b_all, strict=True)
        )
        assert abs(losses[0] - losses[1]) <= sum(bounds) + 1.5 * drift
        parameters = found


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_trained_network_reads_held_out_digits(name: str) -> None:
    course = train.Course(steps=1500, batch_size=16)
    implementation_class = impls.load(name)
    implementation = implementation_class(course.problem())
    *_, last = train.train(implementation, course, chunk=500)
    assert last.steps == 1500
    assert train.accuracy(implementation_class, implementation.export(), course) >= 0.95


def test_an_untrained_network_does_not() -> None:
    course = train.Course()
    implementation_class = impls.load("numpy")
    assert train.accuracy(implementation_class, implementation_class(course.problem()).export(), course) < 0.5


def test_chunks_make_no_difference() -> None:
    course = train.Course(steps=10, batch_size=4)
    losses = []
    for chunk in (1, 3, 10):
        *_, last = train.train(impls.load("numpy")(course.problem()), course, chunk)
        losses.append(last.loss)
    assert len(set(losses)) == 1


def test_a_loss_that_explodes_is_an_error_with_a_remedy() -> None:
    course = train.Course(workload="digits-softmax", steps=20, learning_rate=1e300)
    implementation = impls.load("numpy")(course.problem())
    with np.errstate(all="ignore"), pytest.raises(ArithmeticError, match="try a lower --learning-rate"):
        list(train.train(implementation, course, chunk=20))


def test_only_digits_are_trained_on() -> None:
    with pytest.raises(ValueError, match="expected one on the digits, got 'xor'"):
        train.Course(workload="xor")
