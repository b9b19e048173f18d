"""Means and intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.record.statistics import exponent, geometric_means, mean_slope


def means(groups: dict[str, list[float]]) -> pd.DataFrame:
    rows = [(name, value) for name, values in groups.items() for value in values]
    return geometric_means(pd.DataFrame(rows, columns=["name", "value"]), ["name"], "value").set_index("name")


def test_the_mean_of_twice_and_half_is_one() -> None:
    assert means({"a": [2.0, 0.5]}).loc["a", "mean"] == pytest.approx(1.0)


def test_the_interval_is_students_on_the_logarithms() -> None:
    values = [1.0, 1.1, 1.3, 0.9]
    found = means({"a": values, "b": [5.0, 6.0]}).loc["a"]
    logs = np.log(values)
    low, high = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))
    assert found["low"] == pytest.approx(np.exp(low))
    assert found["high"] == pytest.approx(np.exp(high))
    assert found["processes"] == 4


def test_one_process_gives_no_interval() -> None:
    found = means({"a": [3.0]}).loc["a"]
    assert found["mean"] == pytest.approx(3.0)
    assert np.isnan(found["low"])
    assert np.isnan(found["high"])


def test_the_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(0)
    groups = {str(k): list(np.exp(0.05 * rng.standard_normal(5))) for k in range(2000)}
    found = means(groups)
    covered = ((found["low"] <= 1) & (found["high"] >= 1)).mean()
    assert stats.binomtest(round(covered * 2000), 2000, 0.95).pvalue > 0.001


def test_the_exponent_of_a_power_is_that_power() -> None:
    x = np.array([1.0, 4.0, 16.0])
    assert exponent(x, 7 * x**1.5) == pytest.approx(1.5)


def test_the_mean_of_exponents_has_an_interval_from_two_processes_on() -> None:
    assert np.isnan(mean_slope(np.array([1.0])).low)
    both = mean_slope(np.array([0.9, 1.1]))
    assert both.value == pytest.approx(1.0)
    assert both.low == pytest.approx(1 - stats.t.ppf(0.975, 1) * 0.1)
    assert np.isnan(mean_slope(np.array([])).value)
