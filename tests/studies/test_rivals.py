"""The rivals' rules, each on rounds that leave no doubt."""

import numpy as np
import pytest

from tests.studies.rivals import LOW_PERCENT, PERCENT, Rounds, rules


def rounds(centre: float, spread: float = 0.001, seed: int = 0) -> Rounds:
    rng = np.random.default_rng(seed)
    return centre * (1 + spread * rng.standard_normal(40))


@pytest.mark.parametrize("name", rules())
def test_a_clear_slowdown_fails_and_a_speedup_does_not(name: str) -> None:
    rule = rules()[name]
    base = [rounds(1.0, seed=0), rounds(1.0, seed=1)]
    assert rule(base, [rounds(1.2, seed=2), rounds(1.2, seed=3)])
    assert not rule(base, [rounds(0.8, seed=2), rounds(0.8, seed=3)])


@pytest.mark.parametrize("name", [name for name in rules() if "Welch" not in name])
def test_a_slowdown_below_the_threshold_passes(name: str) -> None:
    less = 1 + 0.8 * (LOW_PERCENT if f"{LOW_PERCENT}%" in name else PERCENT) / 100
    assert not rules()[name]([rounds(1.0), rounds(1.0)], [rounds(less), rounds(less)])


def test_pytest_benchmark_looks_at_the_statistic_that_it_is_given() -> None:
    base, head = np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.2, 1.3])
    failing = {
        name.split(":")[0].split()[-1]: rule([base], [head]) for name, rule in rules().items() if ":" in name
    }
    assert failing == {"min": False, "median": True, "mean": True}


def test_asv_needs_a_difference_that_is_no_accident() -> None:
    few = [np.array([1.0, 1.3]), np.array([1.0])]
    assert not rules()["asv's rule, factor 1.05"](few, [np.array([1.2]), np.array([1.4, 1.2])])


def test_welch_takes_rounds_for_independent() -> None:
    # Rounds of one process that were all 0.2 % slower: nothing to a reader, significant to the test.
    assert rules()["Welch on rounds, p < 0.05"]([rounds(1.0, 0.001)], [rounds(1.002, 0.001, seed=5)])
