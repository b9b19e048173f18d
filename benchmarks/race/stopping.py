"""When a race has seen enough: which speedups are still too wide, and what to race next."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.record import race_file
from benchmarks.record.cells import Cell
from benchmarks.record.intervals import Interval, interval

FEWEST = 5
"""Processes, and pairs of a cell, before an interval is believed: looking early, and stopping when it
happens to be narrow, would make narrow intervals of luck."""


def cell_of(measurement: race_file.Measurement) -> Cell:
    """The cell that was measured."""
    return Cell(**{field.name: getattr(measurement, field.name) for field in dataclasses.fields(Cell)})


def lost(measurements: Iterable[race_file.Measurement]) -> set[Cell]:
    """Cells that were not timed in some process, for whatever reason: they are not tried again.

    But for those that one process timed and another one predicted to be too slow: they are near the limit.
    """
    measurements = list(measurements)
    timed = {cell_of(m) for m in measurements if m.status == "measured"}
    faults = {cell_of(m) for m in measurements if m.status not in ("measured", "skipped")}
    return faults | {cell_of(m) for m in measurements if m.status == "skipped"} - timed


def speedups(measurements: Sequence[race_file.Measurement], over: str) -> dict[Cell, Interval]:
    """Of every measured cell but its baseline's, the ratio to the baseline, paired within each process."""
    return {cell: interval(ratios) for cell, ratios in _ratios(measurements, over).items()}


def _ratios(measurements: Sequence[race_file.Measurement], over: str) -> dict[Cell, list[float]]:
    seconds: dict[Cell, dict[int, float]] = collections.defaultdict(dict)
    for m in itertools.compress(measurements, race_file.counting(measurements)):
        seconds[cell_of(m)][m.process] = m.fastest
    found = {}
    for cell, of_cell in seconds.items():
        base = baseline(cell, seconds, over)
        ratios = [seconds[base][k] / value for k, value in of_cell.items() if k in seconds[base]]
        if ratios and base != cell:
            found[cell] = ratios
    return found


def baseline(cell: Cell, among: Iterable[Cell], over: str) -> Cell:
    """The cell whose time `cell` is compared with: of the implementation `over`, if need be in another dtype.

    Where that is not `among` those measured, it is the first that is.
    """
    same = [
        c
        for c in among
        if (c.workload, c.phase, c.batch_size) == (cell.workload, cell.phase, cell.batch_size)
    ]
    return min(
        same, key=lambda c: (c.implementation != over, c.dtype != cell.dtype, c.threads != cell.threads)
    )


def next_cells(
    cells: Sequence[Cell],
    measurements: Sequence[race_file.Measurement],
    target: float,
    costs: Mapping[Cell, float],
    budget: float,
    over: str,
) -> list[Cell]:
    """What the next process shall race: nothing once every interval is narrow or the budget is spent.

    At first everything, as far as `budget` seconds go at the `costs` of the processes before, the cheapest
    first; then the cells whose speedups over the implementation `over` are wider than `target` (0.05 is +-5
    %), or rest on fewer pairs than FEWEST, the widest first. Every cell comes with its baseline; one whose
    baseline was lost can become no narrower.
    """
    gone = lost(measurements)
    left = [cell for cell in cells if cell not in gone]
    if not measurements:
        return left
    measured = [cell_of(m) for m in measurements if m.status == "measured"]
    if 1 + max(m.process for m in measurements) < FEWEST:
        wanted = sorted(left, key=lambda cell: costs.get(cell, 0.0))
    else:
        ratios = _ratios(measurements, over)
        found = {cell: interval(ratios[cell]) for cell in left if cell in ratios}
        wide = [
            cell
            for cell, known in found.items()
            if (known.half_width > target or len(ratios[cell]) < FEWEST)
            and baseline(cell, measured, over) not in gone
        ]
        wanted = sorted(wide, key=lambda cell: -found[cell].half_width)
    chosen: set[Cell] = set()
    for cell in wanted:
        with_baseline = {cell, baseline(cell, [*measured, cell], over)}
        if sum(costs.get(c, 0.0) for c in chosen | with_baseline) <= budget:
            chosen |= with_baseline
    return [cell for cell in left if cell in chosen]
