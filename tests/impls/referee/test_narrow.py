"""float32 that is float32: narrower arithmetic at any single place is rejected, and named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import workloads
from impls import Network, Problem, check
from impls.referee import Verdict, first_state, held, judge_gradients
from impls.referee.yardstick import Errors, Kinks, sequential, variance_ratio
from tests.impls.mutants import Sound
from tests.impls.narrow import (
    LayerOfZeros,
    LogarithmOfTwoCutShort,
    NarrowedPart,
    SinglePass,
    narrow,
    places,
    rounded,
)


def problem(workload: str, m: int) -> Problem:
    return workloads.problem(workloads.named(workload), m)


@pytest.mark.parametrize(
    ("workload", "m"), [("digits", 1), ("digits", 1024), ("digits-softmax", 64), ("xor", 16)]
)
def test_narrower_arithmetic_at_any_place_is_rejected(workload: str, m: int) -> None:
    given = problem(workload, m)
    for place in places(given.network):
        implementation = narrow(place)(given, "float32")
        if implementation.changed:
            assert not check(implementation, given, "float32").passed, str(place)


def test_narrower_arithmetic_in_a_deep_network_is_named() -> None:
    given = problem("deep", 16)
    assert check(Sound(given, "float32"), given, "float32").passed
    for place in places(given.network):
        if place.part == "both" and place.bits == 11 and place.layer % 2:
            found = check(narrow(place)(given, "float32"), given, "float32")
            assert found.fault == "coarse", str(place)
            assert found.message.startswith("coarser than float32: ")


def test_units_at_the_kink_of_relu_hide_no_narrower_arithmetic() -> None:
    """Of so many pre-activations some are within their rounding of 0, where either derivative is right."""
    given = problem("mnist-shape", 2048)
    assert check(Sound(given, "float32"), given, "float32").passed
    for place in (NarrowedPart("dw", 0, "both", 11), NarrowedPart("da", 1, "right", 11)):
        assert check(narrow(place)(given, "float32"), given, "float32").fault == "coarse", str(place)


NEAR = 3e-7
"""How near to 0 a float32 sum of a few dozen products of usual size may have either sign."""


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


@pytest.mark.parametrize("size", [1e-3, 1e30])
def test_what_kinks_explain_is_taken_from_an_error_and_no_more(size: float) -> None:
    rng = np.random.default_rng(0)
    dz, x = rng.standard_normal((40, 5)), rng.standard_normal((30, 5))
    dz[:, 3], x[:, 3] = dz[:, 1], x[:, 1]  # a sample that is there twice
    dz[:, 4] = 0
    kinks = Kinks(dz, x)
    other = rng.standard_normal((40, 30))
    left = kinks.taken_from(size * (dz @ x.T) + other)
    assert np.allclose(left, kinks.taken_from(other), rtol=0, atol=1e-12 * size)
    assert 0.99 * np.linalg.norm(other) <= np.linalg.norm(kinks.taken_from(other)) <= np.linalg.norm(other)


def test_a_single_sample_through_a_large_network_is_judged_by_more_than_one_pass() -> None:
    given = problem("wide", 1)
    state = first_state(given, "float32")
    assert judge_gradients(state, Sound(given, "float32").export()).passed
    for place in (NarrowedPart("dw", 1, "left", 11), NarrowedPart("da", 1, "left", 11)):
        assert not judge_gradients(state, narrow(place)(given, "float32").export()).passed, str(place)


@pytest.mark.parametrize("dtype", Sound.dtypes)
@pytest.mark.parametrize("workload", ["digits", "deep"])
def test_zeros_for_the_gradient_of_any_layer_are_rejected(workload: str, dtype: str) -> None:
    given = problem(workload, 16)
    for k in range(given.network.layers):
        zeros = type("Zeros", (LayerOfZeros,), {"layer": k})
        found = check(zeros(given, dtype), given, dtype)
        assert found.fault == "wrong", k


@pytest.mark.parametrize("workload", ["digits", "deep", "xor"])
def test_a_float32_pass_inside_float64_is_coarse(workload: str) -> None:
    given = problem(workload, 16)
    found = check(SinglePass(given, "float64"), given, "float64")
    assert found.fault == "coarse"
    assert "was it computed in narrower arithmetic?" in found.message or "times its bound" in found.message


@pytest.mark.parametrize("dtype", Sound.dtypes)
def test_a_dropped_correction_term_is_rejected(dtype: str) -> None:
    given = problem("digits", 64)
    assert not check(LogarithmOfTwoCutShort(given, dtype), given, dtype).passed


def test_numbers_are_rounded_to_the_nearest_of_so_many_bits() -> None:
    half = np.array([1 + 2.0**-11, 3.0, -0.1, 0.0, 1e-3], np.float32)
    assert np.array_equal(rounded(half, 11), half.astype(np.float16).astype(np.float32))


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
