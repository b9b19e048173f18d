"""The questions that a race answers: every speedup over a baseline, or the ranking in every cell."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.race.stopping import Gathered, lost
from benchmarks.record.cells import Cell
from benchmarks.record.ranking import FEWEST, MATTERS, groups, light, ranking, rankings, undecided
from benchmarks.record.statistics import baseline, speedups, times


@dataclasses.dataclass(frozen=True)
class Speedups:
    """Every speedup over the implementation `over`, to a relative half-width `target` (0.05 is +-5 %)."""

    over: str
    target: float

    def described(self) -> dict[str, Any]:
        """The baseline and the target."""
        return {"baseline": self.over, "target": self.target}

    def wanted(self, left: Sequence[Cell], found: Gathered) -> list[set[Cell]]:
        """At first all cells, the cheapest first; then those with too wide an interval or too few pairs.

        Each cell comes with its baseline; without the baseline its interval cannot become narrower.
        """
        measurements, _, costs = found
        measured = list(dict.fromkeys(m.cell for m in measurements if m.status == "measured"))
        if found.processes < FEWEST:
            cells = sorted(left, key=lambda cell: costs.get(cell, 0.0))
        else:
            gone, known = lost(measurements), speedups(measurements, self.over)
            wide = [
                cell
                for cell in left
                if cell in known
                and (known[cell].half_width > self.target or known[cell].pairs < FEWEST)
                and baseline(cell, measured, self.over) not in gone
            ]
            never = [cell for cell in left if cell not in measured]  # no process came to them before its end
            cells = [*never, *sorted(wide, key=lambda cell: -known[cell].half_width)]
        return [{cell, baseline(cell, [*measured, cell], self.over)} for cell in cells]

    def surveyed(self, found: Gathered) -> list[Cell]:
        """All of them."""
        return list(dict.fromkeys(m.cell for m in found.measurements if m.seconds))

    def state(self, found: Gathered) -> str:
        """The number of speedups with an interval, and the widest."""
        quoted = speedups(found.measurements, self.over)
        known = {cell: each.half_width for cell, each in quoted.items() if each.half_width < math.inf}
        if not known:
            return f"{len(quoted)} speedups, no interval yet" if quoted else "no speedup yet"
        within = sum(width <= self.target for width in known.values())
        cell = max(known, key=lambda c: known[c])
        widest = f"the widest ±{known[cell]:.1%}, {cell.implementation} at m = {cell.batch_size}"
        return f"{within} of {len(quoted)} speedups within ±{self.target:.0%}, {widest}"

    def verdict(self, found: Gathered) -> list[str]:
        """The number of speedups within the target, and those that are not."""
        quoted = speedups(found.measurements, self.over)
        wide = {cell: each for cell, each in quoted.items() if self.target < each.half_width < math.inf}
        unknown = sum(each.half_width == math.inf for each in quoted.values())
        known = len(quoted) - len(wide) - unknown
        lines = [f"{known} of {len(quoted)} speedups are known to ±{self.target:.0%}"]
        lines += [
            f"  not {cell.implementation} at m = {cell.batch_size} "
            f"({cell.workload}, {cell.phase}, {cell.dtype}): ±{each.half_width:.1%}"
            for cell, each in sorted(wide.items(), key=lambda pair: -pair[1].half_width)
        ]
        if unknown:
            lines.append(
                f"  {unknown} have no interval, which takes two processes: give the race a larger --budget, "
                "or continue with --resume"
            )
        return lines


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The ranking in every cell: for each pair of neighbours, and each pair with the first, which one is
    ahead, or that they are closer than MATTERS.
    """

    def described(self) -> dict[str, Any]:
        """The entry in the settings of the record."""
        return {"until": "ranking"}

    def wanted(self, left: Sequence[Cell], found: Gathered) -> list[set[Cell]]:
        """At first all contenders, then those of undecided pairs, each with its partner. A cell that was not
        timed yet comes with the first one, since only pairs of one process distinguish them.
        """
        timed, few = times(found.measurements), found.processes < FEWEST
        lean, cells = light(found.facts), []
        for group in groups(left):
            known = {cell: timed[cell] for cell in group if cell in timed}
            first = {place.cell for place in ranking(known, lean)[:1]}
            cells += [{cell} | first for cell in group if cell not in timed]
            if few:
                contenders = [place.cell for place in ranking(known, lean) if place.verdict != "dropped"]
                cells += [{contenders[0], cell} for cell in contenders[1:] or contenders]
            else:
                cells += [set(pair) for pair in undecided(known, lean)]
        return cells

    def surveyed(self, found: Gathered) -> list[Cell]:
        """The contenders: in each ranking the first, the fastest of NumPy alone, then the others in order."""
        lean, cells = light(found.facts), []
        for places in rankings(found.measurements, lean):
            contenders = [place.cell for place in places if place.verdict != "dropped"]
            cells += contenders[:1] + [cell for cell in contenders if cell.implementation in lean][:1]
            cells += contenders
        return list(dict.fromkeys(cells))

    def state(self, found: Gathered) -> str:
        """The leaders of the rankings so far."""
        ahead = [
            f"{places[0].cell.implementation} at m = {places[0].cell.batch_size}"
            for places in rankings(found.measurements)
        ]
        return f"ahead: {', '.join(ahead)}" if ahead else "no ranking yet"

    def verdict(self, found: Gathered) -> list[str]:
        """The number of rankings that are known, and the pairs that are not."""
        timed, lean = times(found.measurements), light(found.facts)
        still = [undecided({cell: timed[cell] for cell in group}, lean) for group in groups(timed)]
        known = sum(not pairs for pairs in still)
        return [
            f"{known} of {len(still)} rankings are known, ties to {MATTERS:.0%}",
            *(
                f"  not {ahead.implementation} and {after.implementation} at m = {ahead.batch_size} "
                f"({ahead.workload}, {ahead.phase}, {ahead.dtype})"
                for pairs in still
                for ahead, after in pairs
            ),
        ]
