"""Nothing is faster than the machine."""

import dataclasses
import itertools
import sys

import pytest

from benchmarks.measure import calibration, ceiling
from benchmarks.measure.ceiling import Ceiling, highest
from benchmarks.record.race_file import Measurement

ROUND = Measurement("digits", "gradients", "numpy", 64, "float64", 1, 0, "measured", seconds=(1e-3, 2e-3))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_product_is_faster_than_fused_multiply_adds(dtype: str) -> None:
    pytest.importorskip("numba")
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):
        product = calibration.gemm(dtype, lambda: None)
    assert product <= ceiling.MARGIN * highest(dtype, lambda: None)


def test_a_plausible_rate_is_left_as_it_is() -> None:
    assert Ceiling(lambda: None).held(ROUND, 10**6) is ROUND


def test_a_rate_beyond_the_ceiling_is_implausible_with_both_rates() -> None:
    found = Ceiling(lambda: None).held(dataclasses.replace(ROUND, seconds=(1e-9,)), 10**6)
    assert (found.status, found.seconds) == ("implausible", (1e-9,))
    assert "1e+06 GFLOP/s" in found.reason
    assert "FMAs reach at most" in found.reason


def test_the_ceiling_is_measured_again_before_it_is_held_against_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = itertools.chain([1.0, 2.0, 5.0], itertools.repeat(3.0))
    monkeypatch.setattr(calibration, "gemm", lambda dtype, ready: 0.5)
    monkeypatch.setattr(ceiling, "highest", lambda dtype, ready: next(rates))
    asked = Ceiling(lambda: None)
    assert asked.allows(4.9, "float64", 1)
    assert asked.known == {"float64": 5.0}
    assert not asked.allows(5.6, "float64", 1)
    assert asked.allows(9.9, "float64", 2)


def test_without_numba_the_ceiling_is_above_any_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.measure.fma", None)
    monkeypatch.delattr("benchmarks.measure.fma", raising=False)
    monkeypatch.setattr(calibration, "gemm", lambda dtype, ready: 3.0)
    assert highest("float64", lambda: None) == 3.0 * ceiling.PRODUCTS
