"""The yardstick: what float32 arithmetic leaves of an array, and what kinks of relu explain of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

import impls
from benchmarks import workloads
from benchmarks.measure.audit import Subject
from impls import Network, Problem
from impls.referee import Verdict, first_state, held, judge_gradients, judge_step
from impls.referee.yardstick import Errors, sequential, variance_ratio
from tests.impls.mutants import Sound
from tests.impls.narrow import narrow, places

NEAR = 3e-7
"""How near to 0 a float32 sum of a few dozen products of usual size may have either sign."""


def test_states_that_a_training_comes_by_leave_a_single_number_its_roundings() -> None:
    """After these steps of one sample all passes rounded 1 + tanh(z / 2) alike, and it had no error."""
    given = workloads.problem(workloads.named("xor"), 1)
    implementation = impls.load("numpy")(given)
    subject = Subject(implementation, given, "float64")
    for steps in (1557, 4065, 4597):
        while subject.steps < steps:
            subject.step()
        state = subject.state(implementation.export())
        subject.step()
        found = judge_step(state, implementation.export(), subject.rate)
        assert found.passed, found.message
        assert found.error_of_limit < 0.5


@pytest.mark.parametrize(("name", "steps"), [("numpy-inplace", range(480, 511, 3)), ("numba-blocked", [591])])
def test_sums_of_equal_samples_may_round_all_alike(name: str, steps: Iterable[int]) -> None:
    """A batch of `xor` has each of four samples 128 times: their roundings do not average out."""
    given = workloads.problem(workloads.named("xor"), 512)
    implementation = impls.load(name)(given, "float32")
    subject = Subject(implementation, given, "float32")
    for number in steps:
        while subject.steps <= number:
            subject.step()
        implementation.gradients()
        result = implementation.export()
        found = judge_gradients(subject.state(result), result)
        assert found.passed, found.message
        assert found.error_of_limit < 0.5


def at_kinks() -> Problem:
    """Two layers of relu, and units in each that are 0 in a sample but for a rounding."""
    network = Network((20, 24, 24, 5), ("relu", "relu", "identity"), "mean_squared_error")
    given = held(Problem.random(network, 64, 64, seed=1), "float32")
    biases = [b.copy() for b in given.biases]
    a = given.X
    for w, b in list(zip(given.weights, biases, strict=True))[:2]:
        for unit in range(3):
            b[unit] -= (w @ a + b)[unit, 5 * unit]
        a = np.maximum(w @ a + b, 0)
    return held(dataclasses.replace(given, biases=tuple(biases)), "float32")


class OtherDerivative:
    """Near the kinks of relu the derivative that the sign of z does not have."""

    near = NEAR

    def slope(self, g: str, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        slope: np.ndarray = super().slope(g, z, a)  # type: ignore[misc]
        return np.where(np.abs(z) < self.near, 1 - slope, slope) if g == "relu" else slope


def test_either_derivative_passes_at_a_kink_of_relu_and_hides_no_narrower_arithmetic() -> None:
    given = at_kinks()
    state = first_state(given, "float32")

    def found(*bases: type) -> Verdict:
        implementation = type("AtKinks", bases, {})(given, "float32")
        return judge_gradients(state, implementation.export())

    right, other = found(Sound), found(OtherDerivative, Sound)
    assert right.passed, right.message
    assert other.passed, other.message
    changed = [
        np.abs(p - q).max()
        for p, q in zip(
            type("AtKinks", (OtherDerivative, Sound), {})(given, "float32").export().dw,
            Sound(given, "float32").export().dw,
            strict=True,
        )
    ]
    assert min(changed[:2]) > 1e-4  # the derivatives do differ
    for place in places(given.network):
        if place.product == "dw" and place.part == "both":
            assert not found(OtherDerivative, narrow(place)).passed, str(place)


def test_another_derivative_far_from_the_kink_is_wrong() -> None:
    given = at_kinks()
    far = type("Far", (OtherDerivative, Sound), {"near": 1e-3})
    assert not judge_gradients(first_state(given, "float32"), far(given, "float32").export()).passed


class AnyDerivative(Sound):
    """Near each kink the one or the other, by chance."""

    random = np.random.default_rng(0)

    def slope(self, g: str, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        slope = np.asarray(super().slope(g, z, a))
        other = (np.abs(z) < NEAR) & self.random.choice([False, True], z.shape)
        return np.where(other, 1 - slope, slope) if g == "relu" else slope


def test_any_choice_of_derivatives_at_kinks_passes() -> None:
    """In the first sample units of both layers are at their kinks, and what the one has moves the other."""
    for given in (at_kinks(), mostly_at_kinks()):
        for _ in range(20):
            found = judge_gradients(first_state(given, "float32"), AnyDerivative(given, "float32").export())
            assert found.passed, found.message


class AboveZero(Sound):
    """Near its kinks a relu that is not 0."""

    def relu(self, z: np.ndarray) -> np.ndarray:
        near = (z != 0) & (np.abs(z) < NEAR)
        return np.asarray(np.where(near, z.dtype.type(NEAR), np.maximum(z, 0)))


def test_a_unit_above_a_kink_may_have_either_derivative_where_its_inputs_are_zero() -> None:
    network = Network((6, 5, 5, 3), ("relu", "relu", "identity"), "mean_squared_error")
    given = held(Problem.random(network, 24, 24, seed=1), "float32")
    (w, above, last), (b, b_above, b_last) = (map(np.array, q) for q in (given.weights, given.biases))
    b[0] -= (w @ given.X + b)[0, 0] + NEAR / 3  # a kink, in the first sample
    above[0] = np.eye(5)[0]  # which alone is what a unit of the next layer sees
    b_above[0] = 0
    given = held(dataclasses.replace(given, weights=(w, above, last), biases=(b, b_above, b_last)), "float32")
    found = judge_gradients(first_state(given, "float32"), AboveZero(given, "float32").export())
    assert found.passed, found.message


def mostly_at_kinks() -> Problem:
    """More units of samples just above their kinks than the first layer has parameters; every da positive."""
    network = Network((2, 3, 1), ("relu", "identity"), "mean_squared_error")
    given = held(Problem.random(network, 32, 32, seed=1), "float32")
    (w, out), (b, c) = given.weights, given.biases
    X = given.X.copy()
    for sample in range(18):
        unit, x = w[sample % 3], X[:, sample]
        above = 7e-8 * (np.abs(unit) @ np.abs(x) + np.abs(b[sample % 3]))  # less than two roundings
        x -= unit * (unit @ x + b[sample % 3] - above) / (unit @ unit)
    Y = np.abs(out) @ np.maximum(w @ X + b, 0) + c - np.linspace(0.5, 1.5, 32)
    weights = w, np.abs(out)
    return held(dataclasses.replace(given, weights=weights, X=X, Y=Y), "float32")


class SteepDerivative(Sound):
    """3/2 near the kinks of relu."""

    def slope(self, g: str, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        slope = np.asarray(super().slope(g, z, a))
        return np.where(np.abs(z) < NEAR, slope.dtype.type(1.5) * slope, slope) if g == "relu" else slope


def test_however_many_kinks_there_are_each_explains_its_two_derivatives_and_nothing_else() -> None:
    given = mostly_at_kinks()
    steep = SteepDerivative(given, "float32").export()
    found = judge_gradients(first_state(given, "float32"), steep)
    assert found.error_of_bound <= 1  # the elementwise bound grants da at each of them
    assert not found.passed
    assert "dw[0], in gradients: the 2-norm of its error" in found.message


def test_a_sequential_sum_adds_one_product_after_another() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1,), (3, 1), (1, 1, 7), (40, 50)):
        p = rng.standard_normal((300, *shape)).astype("f4")
        q = rng.standard_normal((300, *shape)).astype("f4")
        total = np.zeros(shape, "f4")
        for k in range(300):
            total = total + p[k] * q[k]
        assert np.array_equal(sequential(p, q), total)
        assert np.array_equal(sequential(p[100:], q[100:], sequential(p[:100], q[:100])), total)


@pytest.mark.parametrize(("nu", "of"), [(1, 40), (3, 200), (10, 100), (200, 200)])
def test_the_ratio_of_two_variances_is_the_quantile_of_the_f_distribution(nu: int, of: int) -> None:
    from scipy.stats import f, norm

    exact = f.isf(norm.sf(6.0), nu, of)
    assert exact <= variance_ratio(nu, of) <= 1.3 * exact


def test_a_yardstick_of_few_numbers_says_nothing() -> None:
    assert variance_ratio(5, 1) == np.inf


def test_degrees_of_freedom_are_those_of_the_errors_that_matter() -> None:
    errors = Errors()
    errors.add(np.full(50, 0.5))
    assert errors.freedom == pytest.approx(50)
    errors.add(np.array([1e3]))
    assert errors.freedom == pytest.approx(1, rel=1e-3)
