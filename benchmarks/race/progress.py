"""The progress of a race: live in a terminal, a line for each process elsewhere, or none."""

from __future__ import annotations

import dataclasses

import rich.console
import rich.progress
from rich.table import Column

import impls


@dataclasses.dataclass(frozen=True)
class RaceProgress:
    """The progress of a race: `done` of `cells` cells in the process of that number.

    `state` is the line on how well the speedups are known; `left` is the rest of the budget, and `took` the
    time of the process if it has ended, in seconds.
    """

    process: int
    done: int
    cells: int
    state: str
    left: float
    took: float


class Progress:
    """Shows the progress; use it as a context manager and call it between cells.

    It draws only when it is called, so that it uses no CPU while a cell is measured.
    """

    def __init__(self, quiet: bool, console: rich.console.Console | None = None) -> None:
        self.quiet = quiet
        self.console = console or impls.progress_console()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", table_column=Column(min_width=len("process 99"))),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.TextColumn("{task.fields[state]}", markup=False),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("race", state="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, now: RaceProgress) -> None:
        """Show the progress of the race."""
        if self.console.is_terminal:
            self._bar.update(
                self._task,
                description=f"process {now.process}",
                completed=now.done,
                total=now.cells,
                state=f"cell {now.done}/{now.cells}  {now.left:.0f} s left at most  {now.state}",
                refresh=True,
            )
        elif now.took and not self.quiet:
            cells = "1 cell" if now.done == 1 else f"{now.done} cells"
            self.console.print(
                f"process {now.process}: {cells} in {now.took:.1f} s; {now.state}", soft_wrap=True
            )
