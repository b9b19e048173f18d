"""Rivals: the rules that a gate is usually made of, applied to the same processes.

Each is given the rounds of base and of head, benchmark by benchmark, and returns whether it would have failed
the change. Such gates run base to its end and then head, so that the two come from different pairs here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rounds = NDArray[np.float64]
RivalRule = Callable[[Sequence[Rounds], Sequence[Rounds]], bool]
"""Rounds of base's processes and of head's, of one benchmark: whether it is slower."""

PERCENT = 5
"""The slowdown that fails a change."""

LOW_PERCENT = 3
"""A threshold to see slowdowns of PERCENT by: of those just as large as a threshold it sees one in two."""


def pytest_benchmark(field: str, percent: int) -> RivalRule:
    """`pytest --benchmark-compare-fail=FIELD:PERCENT%`, decided by pytest-benchmark's own code."""
    from pytest_benchmark import utils

    parse: Any = utils.parse_compare_fail
    check = parse(f"{field}:{percent}%")
    statistic: Any = getattr(np, field)

    def slower(base: Sequence[Rounds], head: Sequence[Rounds]) -> bool:
        return bool(check.fails({field: statistic(head[0])}, {field: statistic(base[0])}))

    return slower


def asv(base: Sequence[Rounds], head: Sequence[Rounds]) -> bool:
    """asv's rule: the medians differ by a factor, and a Mann-Whitney test has p < 0.002.

    Samples of two processes are pooled, as asv does; its own default for the factor is 1.1, here it is that
    of the others. https://github.com/airspeed-velocity/asv_runner, asv_runner/statistics.py, `is_different`.
    """
    from scipy import stats

    a, b = np.concatenate(base[:2]), np.concatenate(head[:2])
    if not np.median(b) > np.median(a) * (1 + PERCENT / 100):
        return False
    return bool(stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic").pvalue < 0.002)


def welch(base: Sequence[Rounds], head: Sequence[Rounds]) -> bool:
    """A t-test on the rounds of one process each, at 5 %: what textbooks offer for independent values."""
    from scipy import stats

    return bool(stats.ttest_ind(head[0], base[0], equal_var=False, alternative="greater").pvalue < 0.05)


def rules() -> Mapping[str, RivalRule]:
    """Every rival, by name."""
    fails = (("min", LOW_PERCENT), ("min", PERCENT), ("median", PERCENT), ("mean", PERCENT))
    return {
        **{f"pytest-benchmark, {field}:{p}%": pytest_benchmark(field, p) for field, p in fails},
        f"asv's rule, factor {1 + PERCENT / 100:g}": asv,
        "Welch on rounds, p < 0.05": welch,
    }
