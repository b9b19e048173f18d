"""The ranking of implementations within a cell, by the same rule for the end of a race and for its report.

Two contenders are compared by the ratios of their times, paired within a process. All intervals of a ranking
hold together with a probability of 95 %: the confidence of each has Bonferroni's correction for the number of
all pairs, since any of them may become neighbours.
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
"""The ratios, by the number of processes: an implementation that takes more than this many times as long as
the first in each of that number of processes, in which both ran, is dropped, unless it is the fastest that
needs nothing beyond NumPy. A disturbance makes a process up to 2 times as slow, so that one process is enough
beyond that. In simulated races with a tenth of the times disturbed, one of five equals is dropped in at most
3 of 100 (tests/benchmarks/record). From `FEWEST` processes on there is an interval, and only the first ratio
applies."""

FEWEST = 5
"""The fewest processes, and pairs of a cell, for an interval. If a race could stop earlier at a narrow
interval, its intervals would be narrow by chance."""

RankVerdict = Literal["first", "tie", "behind", "unknown", "dropped"]


class Rank(NamedTuple):
    """An implementation's place in a ranking.

    `behind` is the ratio of its time to that of the first, over `pairs` pairs. `verdict`: "first"; "tie" (the
    interval contains 1, or it is behind by less than `MATTERS`); "behind"; "unknown" (fewer than `FEWEST`
    pairs); or "dropped" (by `HOPELESS`; its interval is not among those that hold together).
    """

    cell: Cell
    seconds: Interval
    behind: Speedup
    verdict: RankVerdict

    @property
    def closer(self) -> bool:
        """Whether the whole interval is closer to the first than `MATTERS`."""
        return _within(self.behind)


def groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells in groups that differ only in their implementation, and are ranked together."""
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
    """The first cell, and all in their order, by ratios within processes; `first` has the least mean.

    Means are not enough, as some cells may have run in slower processes than others.
    """
    for _ in timed:
        ratios = {cell: speedup(timed[cell], timed[first]).mean for cell in timed}
        ahead = min(timed, key=lambda cell: ratios[cell])
        if ratios[ahead] >= 1:
            break
        first = ahead
    return first, sorted(timed, key=lambda cell: (ratios[cell], cell != first))


def undecided(timed: Mapping[Cell, TimingByProcess], light: Container[str] = ()) -> list[tuple[Cell, Cell]]:
    """The pairs of one group, of neighbours and of each cell with the first, that are neither decided nor a
    tie.

    The pairs closest to the first come first.
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
    """The confidence of one pair with which all pairs of `contenders` contenders hold together."""
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
