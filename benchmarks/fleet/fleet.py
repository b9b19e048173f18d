"""A race on every host of a fleet: it saves each record at once, and repeats a lost race."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet import tasks
from benchmarks.fleet.description import Dask, Fleet, Slurm
from benchmarks.fleet.host import software
from benchmarks.fleet.progress import FleetProgress
from benchmarks.fleet.state import HostRecords
from benchmarks.fleet.tasks import FleetTask, HostOutcome
from benchmarks.race.ending import MISSING
from benchmarks.record.documents import RecordError

TRIES = 3
"""The number of times that a host's race is tried if its task is lost."""


def engine(fleet: Fleet, folder: Path, say: tasks.Say) -> tasks.Engine:
    """The engine of a fleet; its package is imported only here."""
    match fleet:
        case Dask():
            from benchmarks.fleet.on_dask import DaskEngine

            return DaskEngine(fleet, say)
        case Slurm():
            from benchmarks.fleet.on_slurm import SlurmEngine

            return SlurmEngine(fleet, folder, say)
    from benchmarks.fleet.on_local import LocalEngine

    return LocalEngine(fleet)


def race(
    fleet: Fleet, running: tasks.Engine, arguments: Sequence[str], state: HostRecords, shown: FleetProgress
) -> list[str]:
    """Race on every host without a record; returns a line for each part that was not measured.

    Raises SchedulerLost. The records of hosts that ended are kept after any exception.
    """
    task = FleetTask(
        name=f"gradrace-{uuid.uuid4().hex}",
        arguments=tuple(arguments),
        folder=str(Path.cwd()),
        variables=fleet.environment.variables,
        software=software(),
    )
    state.begin()
    left = [host for host in running.hosts if state.finished(host) is None]
    shown.begin(running.hosts, left)
    tries: collections.Counter[str] = collections.Counter()
    missing = [f"{host}: {line}" for host in running.hosts for line in state.missing(host)]
    if left:
        running.start(left, task)
    while left:
        for host, found in running.news():
            if isinstance(found, tasks.LostTask):
                tries[host] += 1
                if found.again and tries[host] < TRIES:
                    shown.say(f"{host}: {found.reason}; its race starts again")
                    running.start([host], task)
                    continue
                words = [found.reason]
            else:
                words = _keep(state, host, found)
            left.remove(host)
            shown.end(host, words)
            missing += [f"{host}: {line}" for line in words]
    return missing


def _keep(state: HostRecords, host: str, found: HostOutcome) -> list[str]:
    """Keep the host's record; returns a line for each part that was not measured there."""
    printed = found.words.splitlines() or [f"exit status {found.status}"]
    if found.record is None or found.status not in (0, MISSING):
        return [printed[-1].removeprefix("Error: ")]
    lost = [line.partition(": ")[2] for line in printed if line.startswith("not measured: ")]
    try:
        state.keep(host, found.record, lost)
    except RecordError as error:
        return [str(error)]
    return lost
