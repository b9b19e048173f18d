"""A side of a pair: a fresh process of its commit, which runs the suite under the gate's orders.

`benchmarks.gate.injected`, which runs there, documents its orders and its answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks.gate.errors import NoAnswer
from benchmarks.measure.process import ChildProcess, Message, ProcessError, Silent, environment
from benchmarks.record.pairs_file import Incident, Side

SIDES: tuple[Side, Side] = ("base", "head")

PLUGIN = "gradrace_gate_injected"
"""The module name of the gate's plugin in the processes, which no project uses."""

COLLECT_SECONDS = 300.0
"""The seconds after which the collection of a suite is taken to hang."""

ANSWER_SECONDS = 120.0
"""The seconds after which a test before its benchmark, a turn, or the end of a test is taken to hang."""


class SideOrder(Message):
    """An order to a process."""


class RunSuite(SideOrder):
    """Run these controls, and then these benchmarks in this order, their turns on this CPU."""

    cpu: int
    controls: tuple[str, ...]
    benchmarks: tuple[str, ...]


class Settle(SideOrder):
    """Warm the benchmark up; answered by `Timed`."""


class TakeTurn(SideOrder):
    """Take a turn of `calls` calls; answered by `Timed`."""

    calls: int


class Trace(SideOrder):
    """Trace the memory of `calls` calls; answered by `Traced`."""

    calls: int


class Leave(SideOrder):
    """Let the test go on to its end; answered by `Finished`."""


class SideAnswer(Message):
    """An answer of a process."""


class FoundBenchmark(Message):
    """A benchmark in a suite."""

    name: str
    group: str
    params: dict[str, Any]
    file: str


class Collected(SideAnswer):
    """A suite: its benchmarks, those that cannot be timed (and why), and what could not be collected (and
    why); the versions of all that is installed.
    """

    benchmarks: tuple[FoundBenchmark, ...]
    left_out: dict[str, str]
    broken: dict[str, str]
    versions: dict[str, str]


class Reached(SideAnswer):
    """A test has called its benchmark, which allows at most `rounds` rounds (None: any number)."""

    benchmark: str
    rounds: int | None


class Timed(SideAnswer):
    """Seconds of one call."""

    seconds: float


class Traced(SideAnswer):
    """The peak of bytes that the calls held."""

    bytes: int


class Finished(SideAnswer):
    """A test has ended."""

    benchmark: str
    status: Literal["passed", "failed", "skipped"]
    reason: str


class SuiteEnded(SideAnswer):
    """All benchmarks are done; `foreign` are files that do not belong to the side, and were loaded."""

    foreign: tuple[str, ...]


A = TypeVar("A", bound=SideAnswer)


class LostBenchmark(Exception):
    """A process ended or fell silent during a benchmark, which is lost, as is the rest of the pair."""

    def __init__(self, incident: Incident) -> None:
        super().__init__(incident.reason)
        self.incident = incident


class Left(Exception):
    """A test ended before the gate let it go on."""

    def __init__(self, side: Side, finished: Finished) -> None:
        super().__init__(finished.reason)
        self.side = side
        self.finished = finished


@dataclasses.dataclass(frozen=True)
class SideEnvironment:
    """A side: the worktree of its commit, the Python that runs it, and the arguments of its pytest.

    `path` are folders that come first on the path of that Python, `elsewhere` those that it must load nothing
    from, and `plugin` is the folder of our plugin.
    """

    side: Side
    python: Path
    worktree: Path
    arguments: tuple[str, ...]
    path: tuple[Path, ...]
    elsewhere: tuple[Path, ...]
    plugin: Path


class SideProcess:
    """pytest in the worktree of a side, with numba's cache empty; a context manager.

    Where it fails the benchmark that it was busy with is lost (Lost); where it was busy with none, there is
    no answer (NoAnswer).
    """

    def __init__(self, place: SideEnvironment, hash_seed: int, padding: int) -> None:
        self.place = place
        self.busy_with: str | None = None
        self._inside = False  # a benchmark that takes orders
        self.cache = place.plugin / f"numba-{place.side}"
        shutil.rmtree(self.cache, ignore_errors=True)
        command = [str(place.python), "-m", "pytest", "-p", PLUGIN, f"--rootdir={place.worktree}"]
        command += ["--continue-on-collection-errors", *place.arguments]

        def variables(end: int) -> dict[str, str]:
            return {
                **environment([place.plugin, *place.path], threads=1),
                "PYTHONHASHSEED": str(hash_seed),
                "GRADRACE_PADDING": "x" * padding,
                "GRADRACE_ELSEWHERE": json.dumps([str(folder) for folder in place.elsewhere]),
                "GRADRACE_GATE": str(end),
                "NUMBA_CACHE_DIR": str(self.cache),
            }

        self.process = ChildProcess(lambda _: command, variables, place.worktree)

    def __enter__(self) -> SideProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()
        shutil.rmtree(self.cache, ignore_errors=True)

    def collected(self) -> Collected:
        """The suite, once it is collected."""
        return self.receive(Collected, COLLECT_SECONDS)

    def send(self, order: SideOrder) -> None:
        """Send an order, without waiting for its answer."""
        with self._failures():
            self.process.send(order)

    def receive(self, kind: type[A], seconds: float = ANSWER_SECONDS) -> A:
        """The next answer, of a kind that the last order allows; raises Left if the test has ended."""
        with self._failures():
            answer = self.process.receive(SideAnswer, seconds)
        self._inside = isinstance(answer, Reached) or (self._inside and not isinstance(answer, Finished))
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, Finished):
            raise Left(self.place.side, answer)
        raise NoAnswer(
            f"{self.place.side}: expected the message {kind.__name__}, got {type(answer).__name__}; "
            "more than one process answers: run pytest without workers"
        )

    def reached(self, benchmark: str) -> Reached:
        """The benchmark, once its test has called it; raises Left if the test ends before."""
        self.busy_with = benchmark
        return self.receive(Reached)

    def finished(self, benchmark: str) -> Finished:
        """Let a test go on to its end, from any point, and return the end."""
        try:
            if not self._inside:
                self.reached(benchmark)
        except Left as left:
            return left.finished
        self.send(Leave())
        return self.receive(Finished)

    def time(self, order: SideOrder) -> float:
        """Seconds of one call, by an order to time it."""
        self.send(order)
        return self.receive(Timed).seconds

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except ProcessError as error:
            how, _, printed = str(error).partition("; it printed: ")
            side = self.place.side
            if self.busy_with is None:
                said = "\n".join(["", *printed.splitlines()[-12:]]) if printed else ""
                raise NoAnswer(
                    f"{side} cannot be compared, as its benchmarks cannot be collected: {how}{said}"
                ) from error
            # pytest's own last line, a rule, has no reason in it
            lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("==")]
            reason = f"{how}: {lines[-1]}" if lines else how
            status: Literal["timed out", "failed"] = "timed out" if isinstance(error, Silent) else "failed"
            raise LostBenchmark(Incident(self.busy_with, side, status, reason)) from error
