"""Means, intervals, pairs and baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Measurement
from benchmarks.record.statistics import (
    Timing,
    arithmetic,
    baseline,
    exponent,
    interval,
    speedup,
    speedups,
    time_of,
    times,
)


def measurement(name: str, process: int, *seconds: float, probe: float | None = None) -> Measurement:
    return Measurement(
        *("digits", "gradients", name, 1, "float64", 1, process, "measured"),
        seconds=seconds,
        probe=probe,
        iterations=1,
    )


def cell(name: str, m: int = 1, dtype: str = "float64", threads: int = 1) -> Cell:
    return Cell("digits", "gradients", m, dtype, threads, name)


def test_the_mean_of_twice_and_half_is_one() -> None:
    assert interval([2.0, 0.5]).mean == pytest.approx(1.0)


def test_the_interval_is_students_on_the_logarithms() -> None:
    values = [1.0, 1.1, 0.9, 1.3]
    low, high = stats.t.interval(0.95, 3, np.mean(np.log(values)), stats.sem(np.log(values)))
    found = interval(values)
    assert found == pytest.approx((stats.gmean(values), math.exp(low), math.exp(high)))
    assert found.half_width == pytest.approx(math.exp(high) / stats.gmean(values) - 1)


def test_one_value_leaves_nothing_to_infer_from() -> None:
    found = interval([2.0])
    assert found == pytest.approx((2.0, math.nan, math.nan), nan_ok=True)
    assert found.half_width == math.inf
    assert math.isnan(interval([]).mean)


def test_the_interval_covers_as_often_as_it_claims() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 5, 10):
        held = [
            found.low <= 1.0 <= found.high
            for found in (interval(values) for values in rng.lognormal(0.0, 0.1, (2000, n)))
        ]
        assert stats.binomtest(sum(held), len(held), 0.95).pvalue > 0.001


def test_the_exponent_of_a_power_is_that_power() -> None:
    x = np.array([1.0, 4.0, 16.0])
    assert exponent(list(x), list(7 * x**1.5)) == pytest.approx(1.5)


def test_the_mean_of_exponents_has_an_interval_from_two_processes_on() -> None:
    assert math.isnan(arithmetic([1.0]).low)
    both = arithmetic([0.9, 1.1])
    assert both.mean == pytest.approx(1.0)
    assert both.low == pytest.approx(1 - stats.t.ppf(0.975, 1) * 0.1)
    assert math.isnan(arithmetic([]).mean)


def test_a_time_is_that_of_the_fastest_rounds_and_of_one_process_its_rounds() -> None:
    found = times([measurement("numpy", 0, 4.0, 1.0, 2.0), measurement("numpy", 1, 4.0)])
    assert found == {cell("numpy"): {0: Timing(1.0, 2.0), 1: Timing(4.0, 4.0)}}
    assert time_of(found[cell("numpy")]).mean == pytest.approx(2.0)
    assert time_of({0: Timing(1.0, 2.0)}) == (1.0, 1.0, 2.0)


def test_disturbed_times_are_left_out() -> None:
    given = [measurement("numpy", k, 1.0 + k, probe=2.0 if k == 2 else 1.0) for k in range(3)]
    assert list(times(given)[cell("numpy")]) == [0, 1]


def test_speedups_are_paired_within_a_process() -> None:
    found = speedups(
        [
            *(measurement("loops", k, 8.0 * luck) for k, luck in enumerate((1.0, 3.0, 9.0))),
            *(measurement("numpy", k, 2.0 * luck) for k, luck in enumerate((1.0, 3.0, 9.0))),
            measurement("numpy", 3, 1e-9),  # without its pair
        ],
        "loops",
    )
    assert list(found) == [cell("numpy")]
    assert found[cell("numpy")].mean == pytest.approx(4.0)
    assert found[cell("numpy")].half_width == pytest.approx(0.0, abs=1e-12)


def test_one_pair_has_its_rounds_in_place_of_an_interval() -> None:
    found = speedup({0: Timing(4.0, 6.0)}, {0: Timing(1.0, 2.0)})
    assert found == (4.0, 2.0, 6.0, 1)
    assert found.half_width == math.inf


def test_without_a_common_process_the_half_widths_add_in_quadrature() -> None:
    base, own = (
        {k: Timing(s, s) for k, s in enumerate(values, at)}
        for values, at in (((4.0, 5.0), 0), ((1.0, 1.2), 2))
    )
    found = speedup(base, own)
    halves = [math.log(time_of(each).high / time_of(each).mean) for each in (base, own)]
    assert found.pairs == 0
    assert found.mean == pytest.approx(math.sqrt(20 / 1.2))
    assert math.log(found.high / found.mean) == pytest.approx(math.hypot(*halves))


def test_the_baseline_is_loops_if_need_be_in_float64_and_else_who_is_there() -> None:
    single = cell("numpy", dtype="float32")
    assert baseline(single, [single, cell("loops"), cell("numpy")], "loops") == cell("loops")
    assert baseline(single, [cell("numpy"), single, cell("loops", m=16)], "loops") == single
    assert baseline(cell("numba"), [cell("numpy"), cell("numba")], "loops") == cell("numpy")


def test_the_fallback_baseline_is_of_the_same_dtype_before_the_same_threads() -> None:
    parallel = cell("numba", threads=4)
    others = [cell("loops", dtype="float32", threads=4), cell("loops", threads=2), cell("loops")]
    assert baseline(parallel, others, "loops") == cell("loops")


def test_without_loops_the_baseline_is_the_implementation_that_is_asked_for() -> None:
    found = [measurement(name, k, s) for k in range(2) for name, s in (("jax", 1.0), ("numpy", 2.0))]
    assert speedups(found, "numpy")[cell("jax")].mean == pytest.approx(2.0)
    assert list(speedups(found, "jax")) == [cell("numpy")]
