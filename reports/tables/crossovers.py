"""Where lines cross as the batch grows, within one panel of cells."""

from __future__ import annotations

import itertools
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
    """One implementation passes another: at which (interpolated) batch size, at what time of both."""

    batch_size: float
    passer: str
    passed: str
    seconds: float


def crossovers(panel: pd.DataFrame) -> list[Crossing]:
    """Where one implementation passes another as the batch grows, within one panel of `cells`.

    The place is interpolated between the two measured sizes around it, linearly in the logarithms of batch
    size and time.
    """
    timed = panel[panel["status"] == "measured"]
    times = timed.pivot_table(index="batch_size", columns="implementation", values="seconds", sort=False)
    times = times.sort_index()
    found = []
    for one, other in itertools.combinations(times.columns, 2):
        both = times[[one, other]].dropna()
        x = np.log(both.index.to_numpy(dtype=float))
        gap = np.log(both[other].to_numpy()) - np.log(both[one].to_numpy())  # positive: `one` is faster
        for k in np.flatnonzero(gap[:-1] * gap[1:] < 0):
            share = gap[k] / (gap[k] - gap[k + 1])
            y = np.log(both[one].to_numpy()[k : k + 2])
            passer, passed = (one, other) if gap[k + 1] > 0 else (other, one)
            size = np.exp(x[k] + share * (x[k + 1] - x[k]))
            seconds = np.exp(y[0] + share * (y[1] - y[0]))
            found.append(Crossing(float(size), str(passer), str(passed), float(seconds)))
    return sorted(found)


def notable_crossovers(panel: pd.DataFrame, baseline: str) -> list[Crossing]:
    """Those `crossovers` that answer a reader's question: a new fastest implementation, or the baseline
    passed.
    """
    timed = panel[panel["status"] == "measured"]
    fastest = timed.loc[timed.groupby("batch_size")["seconds"].idxmin()].sort_values("batch_size")
    sizes = fastest["batch_size"].to_numpy()
    leaders = fastest["implementation"].tolist()

    def leads(crossing: Crossing) -> bool:
        after = int(np.searchsorted(sizes, crossing.batch_size, side="right"))
        return (leaders[after - 1], leaders[after]) == (crossing.passed, crossing.passer)

    return [one for one in crossovers(panel) if baseline in (one.passer, one.passed) or leads(one)]
