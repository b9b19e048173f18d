"""The referee's own behaviour: what it reports, what it refuses, what it leaves behind."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from impls import Network, Problem, registry
from impls.interface import LOSSES
from impls.referee import Verdict, check, first_state, held
from impls.referee import reference as module
from tests.impls import mutants
from tests.impls.mutants import Sound


@pytest.fixture
def problem() -> Problem:
    network = Network((4, 3, 2), ("tanh", "sigmoid"), "mean_squared_error")
    return Problem.random(network, 14, 7, seed=5)


def verdict(implementation: type[Sound], given: Problem, dtype: str = "float64") -> Verdict:
    return check(implementation(given, dtype), given, dtype)


@pytest.mark.parametrize("dtype", Sound.dtypes)
def test_a_right_implementation_passes_with_errors_of_a_few_ulp(problem: Problem, dtype: str) -> None:
    found = verdict(Sound, problem, dtype)
    assert found.passed
    assert found.message == ""
    assert 0 < found.error_of_bound <= 1
    assert found.error_ulp is not None
    assert found.error_ulp_median is not None
    assert 0 < found.error_ulp_median <= found.error_ulp < 100


def test_a_wrong_implementation_gets_the_error_its_place_and_the_bound(problem: Problem) -> None:
    class OffInOnePlace(Sound):
        def layer_dw(self, k: int, dz: Any) -> Any:
            dw = super().layer_dw(k, dz)
            if k == 1:
                dw[1, 2] += 0.25
            return dw

    found = verdict(OffInOnePlace, problem)
    assert not found.passed
    assert found.error_of_bound > 1e6
    for part in ("dw[1] at [1, 2]", "the error 0.25", "times its bound", "expected", "got"):
        assert part in found.message


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (mutants.NaNInGradient, "dw[1]: expected finite numbers, got nan at [0, 0] (after construction)"),
        (mutants.InfinityInBias, "db[0]: expected finite numbers, got inf at [2, 0] (after construction)"),
        (mutants.NaNLoss, "loss: expected a finite number, got nan (after construction)"),
        (mutants.WrongShape, "dw[0]: expected shape (3, 4), got (4, 3) (after construction)"),
        (mutants.FlatBias, "db[0]: expected shape (3, 1), got (3,) (after construction)"),
        (
            mutants.WrongDtype,
            "dw[0]: expected a float64 NumPy array, got float32 (after construction)",
        ),
        (
            mutants.MissingLayer,
            "dw: expected a tuple of 2 arrays, one a layer, got 1 of them (after construction)",
        ),
        (
            mutants.LiveViews,
            "weights[0]: expected export to give copies, but writing to them changed the implementation",
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_structure_is_judged_before_values(problem: Problem, mutant: type[Sound], message: str) -> None:
    found = verdict(mutant, problem)
    assert not found.passed
    assert found.message == message
    assert found.error_of_bound == np.inf
    assert found.error_ulp is None


def test_float64_computed_where_float32_was_asked_for_is_reported(problem: Problem) -> None:
    found = verdict(mutants.DoublePrecisionInside, problem, "float32")
    assert not found.passed
    assert "expected numbers of float32" in found.message
    assert "was it computed in another dtype?" in found.message


def test_what_is_no_result_is_refused(problem: Problem) -> None:
    class Bare(Sound):
        def export(self) -> Any:
            return {"dw": self.dw}

    assert verdict(Bare, problem).message == "export: expected a Result, got dict (after construction)"


def test_a_number_that_is_no_float_is_no_loss(problem: Problem) -> None:
    class Text(Sound):
        def loss(self) -> Any:
            return "0.5"

    assert verdict(Text, problem).message == "loss: expected a float, got str (after construction)"


def test_who_claims_the_order_of_loops_is_held_to_its_bits(problem: Problem) -> None:
    class ClaimsOrder(Sound):
        same_order = True

    assert verdict(Sound, problem).passed
    found = verdict(ClaimsOrder, problem)
    assert not found.passed
    assert "bit for bit as in loops, whose order of sums the implementation claims" in found.message
    loops = registry.load("loops")
    assert check(loops(problem), problem, "float64").passed


def test_the_implementation_goes_on_after_the_check(problem: Problem) -> None:
    checked, fresh = Sound(problem), Sound(problem)
    assert check(checked, problem, "float64").passed
    checked.step(0.1)
    result = checked.export()
    assert all(np.isfinite(w).all() for w in result.weights)
    fresh.train(2, 0.1)
    assert np.array_equal(result.output, fresh.export().output)


def test_a_nearly_right_gradient_is_distinguished_from_a_right_one(problem: Problem) -> None:
    """How strict it is: float64 to some 10^-13, float32 to some 10^-5."""
    for dtype, off in (("float64", 1e-13), ("float32", 1e-4)):

        class OffByFactor(Sound):
            factor = 1 + off

            def average(self, total: Any) -> Any:
                return super().average(total) * total.dtype.type(self.factor)

        assert not verdict(OffByFactor, problem, dtype).passed


@pytest.mark.parametrize("name", ["weights", "biases", "X", "Y"])
def test_what_overflows_float32_is_refused_by_name_and_index(problem: Problem, name: str) -> None:
    value = getattr(problem, name)
    array = (value[1] if isinstance(value, tuple) else value).copy()
    array[1, 0] = -4e38
    fields: dict[str, Any] = {}
    fields[name] = (value[0], array) if isinstance(value, tuple) else array
    changed = dataclasses.replace(problem, **fields)
    place = f"{name}[1]" if isinstance(value, tuple) else name
    with pytest.raises(ValueError) as refused:
        held(changed, "float32")
    assert str(refused.value) == (
        f"{place}: expected numbers within float32, which ends at 3.4e+38, got -4e+38 at [1, 0]; "
        "scale the problem down or use float64"
    )
    assert held(changed, "float64") is changed


def test_float32_targets_may_miss_1_by_their_rounding() -> None:
    network = Network((3, 7), ("softmax",), "softmax_cross_entropy")
    given = Problem.random(network, 20, 10)
    rounded = held(given, "float32")
    assert np.array_equal(rounded.Y, rounded.Y.astype("f4"))
    assert (rounded.Y.sum(axis=0) != 1).any()


def test_numbers_too_near_the_end_of_the_range_are_no_pass() -> None:
    network = Network((2, 2, 2), ("identity", "identity"), "mean_squared_error")
    given = Problem.random(network, 4, 2)
    huge = dataclasses.replace(given, X=given.X * 1e300)
    found = verdict(Sound, huge)
    assert not found.passed


def test_a_batch_too_large_for_a_wider_reference_is_judged_all_the_same(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("impls.referee.judgement")
    monkeypatch.setattr(module, "FIRST", 0.0)
    monkeypatch.setattr(module, "SECOND", 0.0)
    first_state.cache_clear()
    found = verdict(Sound, problem)
    assert found.passed
    assert found.error_ulp is None
    assert not verdict(mutants.Scaled, problem).passed


@pytest.mark.parametrize("loss", LOSSES)
def test_parts_of_a_batch_add_up_to_the_batch(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((5, 4, 3), ("tanh", LOSSES[loss] or "relu"), loss)
    given = Problem.random(network, 150, 150)
    whole = module.reference(given, given.weights, given.biases, 0, "float64", np.inf)
    monkeypatch.setattr("impls.referee.reference.TILE", 1)  # parts of 64, 64 and 22 samples
    parts = module.reference(given, given.weights, given.biases, 0, "float64", np.inf)
    for one, other in zip(
        (whole.loss, whole.output, *whole.dw, *whole.db),
        (parts.loss, parts.output, *parts.dw, *parts.db),
        strict=True,
    ):
        assert np.abs((one.hi - other.hi) + (one.lo - other.lo)).max() <= 2.0**-66 * np.abs(one.hi).max()
        assert np.allclose(one.bound, other.bound, rtol=1e-3, atol=0)


def test_the_referee_shares_no_code_with_a_implementation() -> None:
    """Judging loads no implementation."""
    code = "import sys, impls.referee; print(*(m for m in sys.modules if m.startswith('impls')))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    own = (
        "double_double",
        "error_bound",
        "judgement",
        "kinks",
        "masks",
        "oracle",
        "reference",
        "structure",
        "tampering",
        "update",
        "verdict",
        "yardstick",
    )
    assert set(loaded.split()) == {
        *("impls", "impls.compiled", "impls.interface", "impls.registry", "impls.referee"),
        *(f"impls.referee.{module}" for module in own),
    }
