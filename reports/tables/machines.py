"""Several machines: each one's ranking, and where rankings differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from benchmarks.record.ranking import MATTERS, Rank, ranking
from benchmarks.record.statistics import CONFIDENCE, Speedup, TimingByProcess, speedup
from reports.analysis import Analysis, Panel, panel_of
from reports.style import factor, plain

MOST = 12
"""The largest number of pairs of implementations that are listed."""

TimesByImplementation = Mapping[str, TimingByProcess]
"""The times of each implementation in one cell of one machine."""


class Reversal(NamedTuple):
    """Two implementations, each of which is faster on some machines, at a batch size.

    `faster` and `slower` have the machines on which `one` is faster or slower, and its speedup over `other`.
    """

    batch_size: int
    one: str
    other: str
    faster: Mapping[str, Speedup]
    slower: Mapping[str, Speedup]


def named(found: Mapping[str, Analysis]) -> dict[str, Analysis]:
    """The machines, each by the name of its record and its CPU."""
    return {
        f"{plain(name, 30)} ({plain(str(each.record.machine.get('cpu', 'a machine')), 40)})": each
        for name, each in found.items()
    }


def sizes(found: Mapping[str, Analysis], panel: Panel) -> list[int]:
    """The batch sizes at which any machine measured anything of the panel."""
    return sorted(
        {cell.batch_size for each in found.values() for cell in each.times if panel_of(cell) == panel}
    )


def timed(analysis: Analysis, panel: Panel, batch_size: int) -> dict[str, TimingByProcess]:
    """The times of every implementation that was measured there at this batch size."""
    return {
        cell.implementation: times
        for cell, times in analysis.times.items()
        if panel_of(cell) == panel and cell.batch_size == batch_size
    }


def rankings(found: Mapping[str, Analysis], panel: Panel) -> tuple[list[str], list[list[str]]]:
    """A row for each batch size and machine: the ranking, and how far each one is behind the first."""
    rows = []
    for size in sizes(found, panel):
        for machine, each in found.items():
            cells = {c: t for c, t in each.times.items() if panel_of(c) == panel and c.batch_size == size}
            rows.append([f"m = {size}, {machine}", *map(_place, ranking(cells))])
    places = max(map(len, rows), default=1)
    return ["", *map(str, range(1, places))], [row + [""] * (places - len(row)) for row in rows]


def reversals(found: Mapping[str, Analysis], panel: Panel) -> Iterator[Reversal]:
    """The pairs whose order differs between machines, both orders being known and more than a tie.

    All intervals of a cell hold together with a probability of 95 %, by Bonferroni's correction for its pairs
    and machines.
    """
    for size in sizes(found, panel):
        cells = {machine: timed(each, panel, size) for machine, each in found.items()}
        names = list(dict.fromkeys(name for times in cells.values() for name in times))
        pairs = list(itertools.combinations(names, 2))
        confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs) * len(cells))
        for one, other in pairs:
            faster, slower = _order(cells, one, other, confidence)
            if faster and slower:
                yield Reversal(size, one, other, faster, slower)


def _order(
    cells: Mapping[str, TimesByImplementation], one: str, other: str, confidence: float
) -> tuple[dict[str, Speedup], dict[str, Speedup]]:
    """The machines on which `one` is known to be faster than `other`, and those on which it is slower."""
    faster, slower = {}, {}
    for machine, times in cells.items():
        if one in times and other in times:
            found = speedup(times[other], times[one], confidence)
            if found.pairs > 1 and found.low > 1 and found.mean >= 1 + MATTERS:
                faster[machine] = found
            elif found.pairs > 1 and found.high < 1 and found.mean <= 1 / (1 + MATTERS):
                slower[machine] = found
    return faster, slower


def remarks(found: Mapping[str, Analysis], panel: Panel) -> list[str]:
    """The differences of rankings in words: a line per two implementations and their machines."""
    lines: dict[str, list[int]] = {}
    for each in reversals(found, panel):
        one, other = plain(each.one), plain(each.other)
        words = f"{one} is faster than {other} on {_joined(each.faster)}, slower on {_joined(each.slower)}"
        lines.setdefault(words, []).append(each.batch_size)
    if not lines:
        return [f"No two implementations are known to change places, by {MATTERS:.0%} or more."]
    shown = [f"Rankings differ: {words}: m = {', '.join(map(str, at))}." for words, at in lines.items()]
    left = len(shown) - MOST
    return [*shown[:MOST], f"Rankings differ in {left} more pairs."] if left > 1 else shown


def _place(place: Rank) -> str:
    name = plain(place.cell.implementation)
    if place.verdict == "first":
        return name
    if place.verdict == "tie":
        return f"{name} (tie)"
    known = "?" if place.verdict == "unknown" else ""
    return f"{name} {factor(place.behind.mean)}{known}"


def _joined(machines: Iterable[str]) -> str:
    return " and ".join(machines)
