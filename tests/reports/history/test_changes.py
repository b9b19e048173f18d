"""Change points: steps are found where they are, and noise has none."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("ruptures", reason="the extra `history` is not installed")
from reports.history import changes


def noisy(seed: int, n: int, spread: float = 0.01) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(np.log(1e-5), spread, n)


@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    before=st.integers(6, 60),
    after=st.integers(6, 60),
    factor=st.sampled_from([0.5, 0.9, 1.1, 3.0]),
)
def test_a_large_step_is_found_where_it_is(seed: int, before: int, after: int, factor: float) -> None:
    values = noisy(seed, before + after)
    values[before:] += np.log(factor)
    assert before in changes.steps(values)


def test_noise_has_hardly_any_steps() -> None:
    """The chance that normal noise is taken for a step is below one in a hundred series."""
    assert sum(bool(changes.steps(noisy(seed, 100))) for seed in range(300)) <= 3


def test_drift_of_the_machine_is_no_stair_of_steps() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        values = np.zeros(200)
        for k in range(1, 200):
            values[k] = 0.3 * values[k - 1] + 0.01 * rng.standard_normal()
        found += bool(changes.steps(values))
    assert found <= 5


def test_one_bad_commit_is_no_step() -> None:
    values = noisy(0, 60)
    values[30] += np.log(2)
    assert changes.steps(values) == []


def test_a_step_below_the_least_effect_is_not_reported() -> None:
    values = noisy(0, 200, spread=0.0005)
    values[100:] += np.log(1.01)
    assert changes.steps(values) == []
    values[100:] += np.log(1.02)
    assert changes.steps(values) == [100]


def test_steps_do_not_depend_on_the_unit_of_time() -> None:
    values = noisy(1, 100)
    values[40:] += 0.1
    values[70:] -= 0.2
    assert changes.steps(values) == changes.steps(values + np.log(1e6)) == [40, 70]


@pytest.mark.parametrize("n", range(7))
def test_few_values_and_equal_values_have_no_steps(n: int) -> None:
    assert changes.steps(np.full(n, -11.0)) == []


def test_a_step_without_any_noise_is_found() -> None:
    assert changes.steps(np.r_[np.full(10, -11.0), np.full(10, -10.0)]) == [10]


def test_the_noise_is_that_about_the_levels() -> None:
    values = noisy(2, 2000, spread=0.03)
    values[1000:] += 2.0
    assert changes.noise(values) == pytest.approx(0.03, rel=0.1)
