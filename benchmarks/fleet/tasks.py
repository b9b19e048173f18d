"""A task of a fleet: a whole race on one host, as a command that needs only a Python there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import msgspec

OPTIONS: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "check": False}
"""How `subprocess.run` runs a task: the very function that engines hand over, since every host has it."""

REFUSED = 2
"""The exit status of a race with wrong options, and of a host that cannot run the race."""


class FleetTask(msgspec.Struct, frozen=True):
    """The task of a host: the arguments of `gradrace race`, the folder where they were given, variables.

    `name` is the task's own, `software` what the host must have: versions by name.
    """

    name: str
    arguments: tuple[str, ...]
    folder: str
    variables: Mapping[str, str]
    software: Mapping[str, str]


class HostOutcome(msgspec.Struct, frozen=True):
    """How the race ended on a host: its exit status, what it printed as errors, its record's file if any."""

    status: int
    words: str
    record: str | None = None


class LostTask(NamedTuple):
    """A task that ended without an answer, and why; `again` if another try may succeed."""

    reason: str
    again: bool


class SchedulerLost(RuntimeError):
    """The scheduler has ended; the message names it."""


class Engine(Protocol):
    """Starts tasks on hosts: a context manager, whose end ends the running tasks."""

    @property
    def hosts(self) -> Sequence[str]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, hosts: Sequence[str], task: FleetTask) -> None:
        """Start the task on each of the hosts as soon as the host is free."""

    def news(self) -> Iterator[tuple[str, HostOutcome | LostTask]]:
        """Wait a moment, then yield the hosts whose tasks have ended since. Raises SchedulerLost."""


Say = Callable[[str], None]
"""Shows a line to the user."""


def command(task: FleetTask, python: str) -> list[str]:
    """The command that carries out a task on a host."""
    return [python, "-P", "-m", "benchmarks.fleet.host", msgspec.json.encode(task).decode()]


def ending(task: FleetTask, python: str) -> list[str]:
    """The command that ends a task on a host."""
    return [python, "-P", "-m", "benchmarks.fleet.host", "end", task.name]


def answer(done: subprocess.CompletedProcess[bytes]) -> HostOutcome | LostTask:
    """The outcome of the command on a host."""
    try:
        return msgspec.json.decode(done.stdout, type=HostOutcome)
    except msgspec.DecodeError:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it printed nothing"]
    lacks = ("'benchmarks", "'msgspec", "benchmarks")  # of `python -m` without quotes
    if any(f"No module named {name}" in words[-1] for name in lacks):
        return no_project(done.args[0], words[-1].rpartition(": ")[2])
    return LostTask(f"the race ended with {done.returncode}: {words[-1]}", again=True)


def no_project(python: str, found: str) -> HostOutcome:
    """The answer of a host that lacks what a race needs."""
    return HostOutcome(
        REFUSED,
        f"expected gradrace for {python}, got: {found}; install it there (pip install -e . in its checkout), "
        "or name another Python in the fleet's file (environment: python: ...)",
    )
