"""float32 that is float32: narrower arithmetic at any single place is rejected, and named."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import workloads
from impls import Problem, check
from impls.referee import first_state, judge_gradients
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
    given = problem("deep", 16)  # of 64 samples each is found alike, in twice the time
    assert check(Sound(given, "float32"), given, "float32").passed
    for place in places(given.network):
        if place.part == "both" and place.bits == 11 and place.layer % 2:
            found = check(narrow(place)(given, "float32"), given, "float32")
            assert found.fault == "coarse", str(place)
            assert found.message.startswith("coarser than float32: ")


def test_units_at_the_kink_of_relu_hide_no_narrower_arithmetic() -> None:
    """In a batch of 2,048 some pre-activations are within their rounding of 0, where either derivative is
    right.
    """
    given = problem("mnist-shape", 2048)
    assert check(Sound(given, "float32"), given, "float32").passed
    for place in (NarrowedPart("dw", 0, "both", 11), NarrowedPart("da", 1, "right", 11)):
        assert check(narrow(place)(given, "float32"), given, "float32").fault == "coarse", str(place)


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
