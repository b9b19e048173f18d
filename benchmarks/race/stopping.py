"""The cells to race next: those that the question of the race still wants, within the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from benchmarks.record import race_file
from benchmarks.record.cells import Cell

FREE = ("baseline", "budget", "target", "until")
"""The settings in which a race may differ from the one that it continues: those on when it ends."""


class Gathered(NamedTuple):
    """The results of a race so far: measurements, the facts of implementations, the seconds of each cell."""

    measurements: Sequence[race_file.Measurement]
    facts: Mapping[str, race_file.Facts] = {}
    costs: Mapping[Cell, float] = {}

    @property
    def processes(self) -> int:
        """The number of processes that measured something."""
        return len({m.process for m in self.measurements})


class Question(Protocol):
    """The question that a race answers."""

    def described(self) -> dict[str, Any]:
        """The entry in the settings of the record."""

    def wanted(self, left: Sequence[Cell], found: Gathered) -> list[set[Cell]]:
        """The cells, of those that are `left`, that the answer still needs, the most urgent first.

        Each comes with those that it has to share a process with. `found` has measurements.
        """

    def surveyed(self, found: Gathered) -> list[Cell]:
        """The timed cells whose memory and compilation belong to the answer, the most urgent first."""

    def state(self, found: Gathered) -> str:
        """A line on how well the answer is known so far."""

    def verdict(self, found: Gathered) -> list[str]:
        """A line on how well the answer is known at the end, and a line for each part that is not."""


def lost(measurements: Sequence[race_file.Measurement]) -> set[Cell]:
    """Cells that were not timed in some process, for any reason; they are not tried again.

    Cells that one process timed and another one predicted to be too slow are near the limit, and are not
    lost.
    """
    timed = {m.cell for m in measurements if m.status == "measured"}
    faults = {m.cell for m in measurements if m.status not in ("measured", "skipped")}
    return faults | {m.cell for m in measurements if m.status == "skipped"} - timed


def next_cells(cells: Sequence[Cell], found: Gathered, question: Question, budget: float) -> list[Cell]:
    """The cells of the next process; empty once the answer is known or the budget is spent.

    At first these are all cells; then those that the question wants, for `budget` seconds at the costs of the
    processes before.
    """
    gone = lost(found.measurements)
    left = [cell for cell in cells if cell not in gone]
    if not found.measurements:
        return left
    chosen: set[Cell] = set()
    for together in question.wanted(left, found):
        if sum(found.costs.get(c, 0.0) for c in chosen | together) <= budget:
            chosen |= together
    return [cell for cell in left if cell in chosen]
