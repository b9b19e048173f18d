"""When a race has seen enough: which speedups are still too wide, and what to race next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.record import race_file
from benchmarks.record.cells import Cell
from benchmarks.record.statistics import baseline, speedups

FEWEST = 5
"""Processes, and pairs of a cell, before an interval is believed: looking early, and stopping when it
happens to be narrow, would make narrow intervals of luck."""


def lost(measurements: Iterable[race_file.Measurement]) -> set[Cell]:
    """Cells that were not timed in some process, for whatever reason: they are not tried again.

    But for those that one process timed and another one predicted to be too slow: they are near the limit.
    """
    measurements = list(measurements)
    timed = {m.cell for m in measurements if m.status == "measured"}
    faults = {m.cell for m in measurements if m.status not in ("measured", "skipped")}
    return faults | {m.cell for m in measurements if m.status == "skipped"} - timed


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
    measured = list(dict.fromkeys(m.cell for m in measurements if m.status == "measured"))
    if 1 + max(m.process for m in measurements) < FEWEST:
        wanted = sorted(left, key=lambda cell: costs.get(cell, 0.0))
    else:
        found = speedups(measurements, over)
        wide = [
            cell
            for cell in left
            if cell in found
            and (found[cell].half_width > target or found[cell].pairs < FEWEST)
            and baseline(cell, measured, over) not in gone
        ]
        never = [cell for cell in left if cell not in measured]  # each process ended before it came to them
        wanted = [*never, *sorted(wide, key=lambda cell: -found[cell].half_width)]
    chosen: set[Cell] = set()
    for cell in wanted:
        with_baseline = {cell, baseline(cell, [*measured, cell], over)}
        if sum(costs.get(c, 0.0) for c in chosen | with_baseline) <= budget:
            chosen |= with_baseline
    return [cell for cell in left if cell in chosen]
