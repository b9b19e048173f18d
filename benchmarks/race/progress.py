"""How a race is shown while it runs: live in a terminal, a line for each process elsewhere, or not at all."""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING

import rich.console
import rich.progress

if TYPE_CHECKING:
    from benchmarks.race.conductor import Race


class Progress:
    """Call it with the race between cells; use it as a context manager.

    It draws when it is called and at no other time: nothing moves while a cell is measured.
    """

    def __init__(self, quiet: bool, console: rich.console.Console | None = None) -> None:
        self.quiet = quiet
        self.console = console or rich.console.Console(stderr=True)
        self._ended = 0
        self._state = "no speedup yet"
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.TextColumn("{task.fields[state]}"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("race", state="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, race: Race) -> None:
        """Show where the race stands."""
        if self.quiet:
            return
        number = len(race.processes)
        ended = bool(race.processes[-1].seconds) and number > self._ended
        if ended:
            self._ended = number
            self._state = state(race)
        if self.console.is_terminal:
            left = max(0.0, race.plan.budget - race.seconds)
            self._bar.update(
                self._task,
                description=f"process {number}",
                completed=race.done,
                total=len(race.current),
                state=f"cell {race.done}/{len(race.current)}  {self._state}  {left:.0f} s left at most",
                refresh=True,
            )
        elif ended:
            self.console.print(
                f"process {number}: {race.done} cells in {race.processes[-1].seconds:.1f} s; {self._state}",
                soft_wrap=True,
            )


def state(race: Race) -> str:
    """How well the speedups are known by now."""
    found = race.speedups()
    known = {cell: each.half_width for cell, each in found.items() if each.half_width < math.inf}
    if not known:
        return f"{len(found)} speedups, no interval yet" if found else "no speedup yet"
    within = sum(width <= race.plan.target for width in known.values())
    cell = max(known, key=lambda c: known[c])
    widest = f"the widest ±{known[cell]:.1%}, {cell.implementation} at m = {cell.batch_size}"
    return f"{within} of {len(found)} speedups within ±{race.plan.target:.0%}, {widest}"
