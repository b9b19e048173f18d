"""Intervals over a few processes."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.record.intervals import interval


def test_the_interval_is_students_on_the_logarithms() -> None:
    values = [1.0, 1.1, 0.9, 1.3]
    low, high = stats.t.interval(0.95, 3, np.mean(np.log(values)), stats.sem(np.log(values)))
    found = interval(values)
    assert found.low == pytest.approx(math.exp(low))
    assert found.high == pytest.approx(math.exp(high))
    assert found.mean == pytest.approx(stats.gmean(values))
    assert found.half_width == pytest.approx(math.exp(high) / stats.gmean(values) - 1)


def test_one_value_leaves_nothing_to_infer_from() -> None:
    found = interval([2.0])
    assert found.mean == pytest.approx(2.0)
    assert found.half_width == math.inf


def test_it_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 5, 10):
        held = [
            found.low <= 1.0 <= found.high
            for found in (interval(values) for values in rng.lognormal(0.0, 0.1, (2000, n)))
        ]
        assert stats.binomtest(sum(held), len(held), 0.95).pvalue > 0.001
