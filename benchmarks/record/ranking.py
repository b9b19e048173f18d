"""The ranking of implementations within a cell: one rule for the race that ends on it and for its report.

Every two contenders are compared by the ratios of their times, paired within a process. The intervals of one
ranking hold all together with a probability of 95 %: that of each pair has the confidence of Bonferroni's
correction for as many pairs as there are, whichever turn out to be neighbours.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Facts, Measurement
from benchmarks.record.statistics import (
    CONFIDENCE,
    Interval,
    Speedup,
    TimingByProcess,
    speedup,
    time_of,
    times,
)

MATTERS = 0.03
"""A lead below this share is a tie."""

HOPELESS = {1: 3.0, 2: 1.5, 3: 1.2}
"""An implementation that takes more than so many times as long as the first, in each of so many processes
that ran both, is no contender, unless it is the fastest that needs nothing beyond NumPy. What disturbs a
process makes it up to 2 times as slow: beyond that one process is enough to know. Simulated races in which a
tenth of the times are disturbed drop one of five equals in at most 3 of 100 (tests/benchmarks/record). From
`FEWEST` processes on it has an interval, and only the first rule applies."""

FEWEST = 5
"""Processes, and pairs of a cell, before an interval is believed: looking early, and stopping when it
happens to be narrow, would make narrow intervals of luck."""

RankVerdict = Literal["first", "tie", "behind", "unknown", "dropped"]


class Rank(NamedTuple):
    """An implementation's place in a ranking.

    `behind` is how many times as long as the first it takes, over so many pairs. `verdict`: "first"; "tie"
    (the interval holds 1, or it is behind by less than `MATTERS`); "behind"; "unknown" (fewer than
    `FEWEST` pairs); or "dropped" (hopeless, and not among the intervals that hold together).
    """

    cell: Cell
    seconds: Interval
    behind: Speedup
    verdict: RankVerdict

    @property
    def closer(self) -> bool:
        """Whether the whole interval is closer to the first than what matters."""
        return _within(self.behind)


def groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells in groups that differ in their implementation only: those that are ranked together."""
    found: dict[Cell, list[Cell]] = {}
    for cell in cells:
        found.setdefault(dataclasses.replace(cell, implementation=""), []).append(cell)
    return list(found.values())


def light(facts: Mapping[str, Facts]) -> set[str]:
    """The implementations that need nothing beyond NumPy."""
    return {name for name, each in facts.items() if set(each.versions) == {"numpy"}}


def rankings(measurements: Sequence[Measurement], light: Container[str] = ()) -> list[list[Rank]]:
    """The ranking of every group of cells that were timed; `light` need nothing beyond NumPy."""
    timed = times(measurements)
    return [ranking({cell: timed[cell] for cell in group}, light) for group in groups(timed)]


def ranking(timed: Mapping[Cell, TimingByProcess], light: Container[str] = ()) -> list[Rank]:
    """The places of one group's cells, the first one first, the contenders before the dropped."""
    if not timed:
        return []
    seconds = {cell: time_of(each) for cell, each in timed.items()}
    first, order = _order(timed, min(timed, key=lambda cell: seconds[cell].mean))
    kept = next((cell for cell in order if cell.implementation in light), first)
    contenders = [cell for cell in order if cell == kept or not _hopeless(timed[cell], timed[first])]
    confidence = _confidence(len(contenders))
    found = []
    for cell in sorted(order, key=lambda cell: cell not in contenders):
        behind = speedup(timed[cell], timed[first], confidence)
        verdict: RankVerdict = "dropped"
        if cell == first:
            behind, verdict = Speedup(1.0, 1.0, 1.0, len(timed[cell])), "first"
        elif cell in contenders:
            verdict = _verdict(behind)
        found.append(Rank(cell, seconds[cell], behind, verdict))
    return found


def _order(timed: Mapping[Cell, TimingByProcess], first: Cell) -> tuple[Cell, list[Cell]]:
    """The first and all in their order, by ratios within processes; `first` has the least mean.

    Some may have run in processes that were slower than those of others: means are not enough.
    """
    for _ in timed:
        ratios = {cell: speedup(timed[cell], timed[first]).mean for cell in timed}
        ahead = min(timed, key=lambda cell: ratios[cell])
        if ratios[ahead] >= 1:
            break
        first = ahead
    return first, sorted(timed, key=lambda cell: (ratios[cell], cell != first))


def undecided(timed: Mapping[Cell, TimingByProcess], light: Container[str] = ()) -> list[tuple[Cell, Cell]]:
    """The pairs of one group of which it is not known yet who is ahead, nor that it is a tie.

    Of those that make the ranking: neighbours, and each with the first. The closest to the first come first.
    """
    contenders = [place.cell for place in ranking(timed, light) if place.verdict != "dropped"]
    confidence = _confidence(len(contenders))
    pairs = [*((contenders[0], cell) for cell in contenders[1:]), *itertools.pairwise(contenders[1:])]
    found = []
    for ahead, after in pairs:
        lead = speedup(timed[after], timed[ahead], confidence)
        if lead.pairs < FEWEST or not (lead.low > 1 or lead.high < 1 or _within(lead)):
            found.append((ahead, after))
    return found


def _confidence(contenders: int) -> float:
    """That of one pair, for all pairs of so many contenders to hold together."""
    return 1 - (1 - CONFIDENCE) / max(contenders * (contenders - 1) // 2, 1)


def _hopeless(own: TimingByProcess, first: TimingByProcess) -> bool:
    ratios = [own[k].fastest / first[k].fastest for k in own.keys() & first.keys()]
    rules = {1: HOPELESS[1]} if len(ratios) >= FEWEST else HOPELESS
    return any(len(ratios) >= processes and min(ratios) > share for processes, share in rules.items())


def _verdict(behind: Speedup) -> RankVerdict:
    if behind.pairs < FEWEST:
        return "unknown"
    return "behind" if behind.low > 1 and behind.mean >= 1 + MATTERS else "tie"


def _within(lead: Speedup) -> bool:
    return lead.low > 1 / (1 + MATTERS) and lead.high < 1 + MATTERS
