"""What to race next: what the question that is asked of a race still wants, as far as the budget goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from benchmarks.record import race_file
from benchmarks.record.cells import Cell

FREE = ("baseline", "budget", "target", "until")
"""Settings in which a race may differ from the one that it goes on from: those that say when it ends."""


class Gathered(NamedTuple):
    """What a race has found so far: measurements, the facts of implementations, and the seconds of a cell."""

    measurements: Sequence[race_file.Measurement]
    facts: Mapping[str, race_file.Facts] = {}
    costs: Mapping[Cell, float] = {}

    @property
    def processes(self) -> int:
        """How many processes measured something."""
        return len({m.process for m in self.measurements})


class Question(Protocol):
    """What is asked of a race."""

    def described(self) -> dict[str, Any]:
        """As the record has it among its settings."""

    def wanted(self, left: Sequence[Cell], found: Gathered) -> list[set[Cell]]:
        """The cells, of those that are `left`, that the answer still lacks: the most urgent first.

        Each comes with those that it has to share a process with. There are measurements.
        """

    def surveyed(self, found: Gathered) -> list[Cell]:
        """The timed cells whose memory and compilation belong to the answer, the most urgent first."""

    def state(self, found: Gathered) -> str:
        """How well the answer is known by now, in a line."""

    def verdict(self, found: Gathered) -> list[str]:
        """How well the answer is known at the end, in a line, and what is not, in the others."""


def lost(measurements: Iterable[race_file.Measurement]) -> set[Cell]:
    """Cells that were not timed in some process, for whatever reason: they are not tried again.

    But for those that one process timed and another one predicted to be too slow: they are near the limit.
    """
    measurements = list(measurements)
    timed = {m.cell for m in measurements if m.status == "measured"}
    faults = {m.cell for m in measurements if m.status not in ("measured", "skipped")}
    return faults | {m.cell for m in measurements if m.status == "skipped"} - timed


def next_cells(cells: Sequence[Cell], found: Gathered, question: Question, budget: float) -> list[Cell]:
    """What the next process shall race: nothing once the answer is known or the budget is spent.

    At first everything; then what the question wants, as far as `budget` seconds go at the costs of the
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
