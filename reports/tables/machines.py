"""Several machines: each one's ranking, and where rankings differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.ranking import MATTERS, Rank, ranking
from benchmarks.record.statistics import CONFIDENCE, Speedup, TimingByProcess, speedup
from reports.analysis import Analysis, Panel, panel_of
from reports.style import factor, plain

MOST = 12
"""The largest number of pairs of implementations that are listed."""


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


def _by_size(
    found: Mapping[str, Analysis], panel: Panel
) -> dict[int, dict[str, dict[Cell, TimingByProcess]]]:
    """The times of the panel's cells by batch size and machine."""
    every = {
        machine: {cell: times for cell, times in each.times.items() if panel_of(cell) == panel}
        for machine, each in found.items()
    }
    return {
        size: {
            machine: {cell: times for cell, times in cells.items() if cell.batch_size == size}
            for machine, cells in every.items()
        }
        for size in sorted({cell.batch_size for cells in every.values() for cell in cells})
    }


def rankings(found: Mapping[str, Analysis], panel: Panel) -> tuple[list[str], list[list[str]]]:
    """A row for each batch size and machine: the ranking, and how far each one is behind the first."""
    rows = [
        [f"m = {size}, {machine}", *map(_place, ranking(cells))]
        for size, machines in _by_size(found, panel).items()
        for machine, cells in machines.items()
    ]
    places = max(map(len, rows), default=1)
    return ["", *map(str, range(1, places))], [row + [""] * (places - len(row)) for row in rows]


def reversals(found: Mapping[str, Analysis], panel: Panel) -> Iterator[Reversal]:
    """The pairs whose order differs between machines, both orders being known and more than a tie.

    All intervals of a batch size hold together with a probability of 95 %, by Bonferroni's correction for its
    pairs and machines.
    """
    for size, machines in _by_size(found, panel).items():
        every = dict.fromkeys(cell for cells in machines.values() for cell in cells)
        pairs = list(itertools.combinations(every, 2))
        confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs) * len(machines))
        for one, other in pairs:
            both = {
                machine: speedup(cells[other], cells[one], confidence)
                for machine, cells in machines.items()
                if one in cells and other in cells
            }
            known = {machine: ratio for machine, ratio in both.items() if ratio.pairs > 1}
            faster = {k: r for k, r in known.items() if r.low > 1 and r.mean >= 1 + MATTERS}
            slower = {k: r for k, r in known.items() if r.high < 1 and r.mean <= 1 / (1 + MATTERS)}
            if faster and slower:
                yield Reversal(size, one.implementation, other.implementation, faster, slower)


def remarks(found: Mapping[str, Analysis], panel: Panel) -> list[str]:
    """The differences of rankings in words: a line per two implementations and their machines."""
    lines: dict[str, list[int]] = {}
    for each in reversals(found, panel):
        one, other = plain(each.one), plain(each.other)
        faster, slower = " and ".join(each.faster), " and ".join(each.slower)
        words = f"{one} is faster than {other} on {faster}, slower on {slower}"
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
