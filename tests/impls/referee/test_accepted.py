"""Formulas that people use are accepted; those that lose digits where an output saturates are unstable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from impls import Network, Problem, Unsupported, check
from tests.impls.accepted import (
    ACCEPTED,
    UNSTABLE,
    LossOfClippedOutput,
    LossOfOutput,
    OfComplements,
    SlopeOfOutput,
    SoftmaxByJacobian,
    SoftmaxByJacobianAnyhow,
    saturated,
)
from tests.impls.mutants import Sound
from tests.impls.problems import SMALL, random_problem

PROBLEMS = 12


@pytest.mark.parametrize("variant", ACCEPTED, ids=lambda variant: variant.__name__)
def test_a_correct_formula_is_accepted(variant: type[Sound]) -> None:
    judged = 0
    for seed in range(PROBLEMS):
        problem = random_problem(seed, SMALL)
        for dtype in variant.dtypes:
            try:
                implementation = variant(problem, dtype)
            except Unsupported:
                continue
            assert check(implementation, problem, dtype).message == ""
            judged += 1
    assert judged >= PROBLEMS


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [100.0, 400.0])
@pytest.mark.parametrize(
    "variant", [v for v in ACCEPTED if v is not SoftmaxByJacobian], ids=lambda variant: variant.__name__
)
def test_a_correct_formula_is_accepted_where_one_output_is_far_ahead(
    variant: type[Sound], scale: float, dtype: str
) -> None:
    network = Network((5, 12, 12, 4), ("sigmoid", "relu", "softmax"), "softmax_cross_entropy")
    for seed in (19, 26, 28):
        problem = Problem.random(network, 24, 6, seed=seed, scale=scale)
        assert check(variant(problem, dtype), problem, dtype).message == ""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("z", [-5.0, -12.0, -20.0, -30.1, -36.0, 20.0])
def test_the_derivative_by_complements_is_accepted_where_every_output_saturates(z: float, dtype: str) -> None:
    network = Network((1, 1), ("sigmoid",), "binary_cross_entropy")
    for y in (0.0, 1.0):
        w, b, x, target = (np.array([[value]]) for value in (1.0, 0.2, z, y))
        problem = Problem(network, (w,), (b,), x, target, 1)
        assert check(OfComplements(problem, dtype), problem, dtype).message == ""


@pytest.mark.parametrize(
    ("variant", "loss", "dtype", "scale"),
    [
        (LossOfOutput, "binary_cross_entropy", "float64", 60.0),
        (LossOfOutput, "binary_cross_entropy", "float32", 30.0),
        (LossOfOutput, "softmax_cross_entropy", "float64", 2000.0),
        (LossOfOutput, "softmax_cross_entropy", "float32", 300.0),
        (LossOfClippedOutput, "binary_cross_entropy", "float64", 60.0),
        (LossOfClippedOutput, "softmax_cross_entropy", "float64", 2000.0),
        (LossOfClippedOutput, "softmax_cross_entropy", "float32", 60.0),
        (SlopeOfOutput, "binary_cross_entropy", "float64", 60.0),
        (SlopeOfOutput, "binary_cross_entropy", "float32", 60.0),
        (SoftmaxByJacobianAnyhow, "softmax_cross_entropy", "float64", 2000.0),
        (SoftmaxByJacobianAnyhow, "softmax_cross_entropy", "float32", 300.0),
    ],
)
def test_what_loses_digits_where_an_output_saturates_is_unstable(
    variant: type[Sound], loss: str, dtype: str, scale: float
) -> None:
    problem = saturated(loss, dtype, scale)
    with np.errstate(all="ignore"):
        found = check(variant(problem, dtype), problem, dtype)
    assert not found.passed
    assert found.fault == "unstable", found.message
    assert found.message.startswith("unstable: ")
    assert "digits are left where an output saturates" in found.message
    assert variant in UNSTABLE


@pytest.mark.parametrize("variant", UNSTABLE, ids=lambda variant: variant.__name__)
def test_the_same_formula_passes_where_nothing_saturates(variant: type[Sound]) -> None:
    for loss in ("binary_cross_entropy", "softmax_cross_entropy"):
        problem = saturated(loss, "float64", scale=1.0)
        assert check(variant(problem, "float64"), problem, "float64").message == ""


def test_a_wrong_cost_of_a_saturated_output_is_wrong() -> None:
    class Doubled(Sound):
        def loss(self) -> float:
            return 2 * super().loss()

    problem = saturated("binary_cross_entropy", "float64")
    assert check(Doubled(problem, "float64"), problem, "float64").fault == "wrong"


def test_inputs_whose_squares_underflow_are_no_reason_to_reject() -> None:
    network = Network((4, 5, 3), ("identity", "identity"), "mean_squared_error")
    for seed in range(20):
        given = Problem.random(network, 14, 7, seed=seed)
        tiny = dataclasses.replace(given, X=given.X * 1e-25)
        assert check(Sound(tiny, "float32"), tiny, "float32").message == ""
