"""The engine `local`: a race on this host alone."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.fleet import tasks
from benchmarks.fleet.description import Local
from benchmarks.fleet.tasks import FleetTask, HostOutcome


class LocalEngine:
    """Runs the started task when `news` is called."""

    def __init__(self, fleet: Local) -> None:
        self.python = fleet.environment.python or sys.executable
        self.hosts = [platform.node() or "localhost"]
        self._task: FleetTask | None = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: a task that an exception interrupts has already ended."""

    def start(self, hosts: Sequence[str], task: FleetTask) -> None:  # noqa: ARG002
        self._task = task

    def news(self) -> Iterator[tuple[str, HostOutcome | tasks.LostTask]]:
        assert self._task is not None
        try:
            done = subprocess.run(tasks.command(self._task, self.python), **tasks.OPTIONS)
        except OSError as error:
            yield self.hosts[0], tasks.no_project(self.python, error.strerror or str(error))
        else:
            yield self.hosts[0], tasks.answer(done)
