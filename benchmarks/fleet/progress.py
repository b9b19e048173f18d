"""The progress of a fleet's race: a line for each host that ends, and a bar in a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

import rich.progress

import impls


class FleetProgress:
    """Shows the hosts; use it as a context manager, and close it before anything else is printed."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = impls.progress_console()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.completed} of {task.total} hosts"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.TextColumn("racing: {task.fields[racing]}", markup=False),
            rich.progress.TimeElapsedColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("fleet", racing="")
        self._left: list[str] = []
        self._total = 0
        self._began = time.monotonic()

    def __enter__(self) -> FleetProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, hosts: Sequence[str], left: Sequence[str]) -> None:
        """Show the hosts whose race is left."""
        self._left, self._total = list(left), len(hosts)
        done = [host for host in hosts if host not in left]
        if done:
            self.say(f"already raced: {', '.join(done)}")
        if left:
            self.say(f"racing on {', '.join(left)}")
        self._update()

    def end(self, host: str, missing: Sequence[str]) -> None:
        """Show that the race of a host has ended, with what it did not measure."""
        self._left.remove(host)
        how = "not measured" if missing else "done"
        took = time.monotonic() - self._began
        self.say(f"{host}: {how} after {took:.0f} s ({self._total - len(self._left)} of {self._total} hosts)")
        self._update()

    def say(self, words: str) -> None:
        """Show a line."""
        if not self.quiet:
            self.console.print(words, soft_wrap=True)

    def _update(self) -> None:
        self._bar.update(
            self._task,
            completed=self._total - len(self._left),
            total=self._total,
            racing=", ".join(self._left),
        )
