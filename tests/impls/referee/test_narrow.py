"""float32 that is float32: narrower arithmetic at any single place is rejected, and named."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import workloads
from impls import Problem, check
from impls.referee.yardstick import Errors, sequential, variance_ratio
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


def test_a_single_sample_through_a_large_network_is_judged_by_more_than_one_pass() -> None:
    given = problem("wide", 1)
    assert check(Sound(given, "float32"), given, "float32").passed
    for place in (NarrowedPart("dw", 1, "left", 11), NarrowedPart("da", 1, "left", 11)):
        assert not check(narrow(place)(given, "float32"), given, "float32").passed, str(place)


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
