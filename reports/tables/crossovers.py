"""The batch sizes at which lines cross, within one panel of cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd


def three_sizes(panel: pd.DataFrame) -> list[int]:
    """A small, a middle and a large batch size of those at which most implementations were measured."""
    timed = panel[panel["status"] == "measured"]
    counts = timed.groupby("batch_size")["implementation"].nunique()
    sizes = sorted(int(size) for size in counts[counts >= counts.max() / 2].index)
    return sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}) if sizes else []


class Crossing(NamedTuple):
    """One implementation passes another at this batch size."""

    batch_size: float
    passer: str
    passed: str


def notable_crossovers(panel: pd.DataFrame, baseline: str) -> list[Crossing]:
    """The batch sizes from which another implementation is the fastest, or one passes the baseline."""
    timed = panel[panel["status"] == "measured"]
    if timed.empty:
        return []
    times = timed.pivot_table(index="batch_size", columns="implementation", values="seconds").sort_index()
    found = set()
    for other in times.columns.difference([baseline]) if baseline in times.columns else ():
        found |= set(_crossings(times, baseline, other))
    sizes, fastest = times.index.tolist(), [str(name) for name in times.idxmin(axis="columns")]
    for low, high, before, after in zip(sizes, sizes[1:], fastest, fastest[1:], strict=False):
        changes = _crossings(times, after, before) if before != after else []
        found |= {one for one in changes if low <= one.batch_size <= high and one.passer == after}
    return sorted(found)


def _crossings(times: pd.DataFrame, one: str, other: str) -> list[Crossing]:
    """The batch size at which the lines of two implementations cross.

    The place is interpolated between the two measured sizes around it, linearly in the logarithms of batch
    size and time.
    """
    both = times[[one, other]].dropna()
    x, y, its = (np.log(part.to_numpy(dtype=float)) for part in (both.index, both[one], both[other]))
    gap = its - y  # positive: `one` is faster
    found = []
    for k in np.flatnonzero(gap[:-1] * gap[1:] < 0):
        share = gap[k] / (gap[k] - gap[k + 1])
        passer, passed = (one, other) if gap[k + 1] > 0 else (other, one)
        found.append(Crossing(float(np.exp(x[k] + share * (x[k + 1] - x[k]))), passer, passed))
    return found
