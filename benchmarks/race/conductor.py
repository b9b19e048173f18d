"""A whole race: fresh processes, one after the other, until every speedup is known well enough.

The race so far is kept as a whole record beside the one to come, so that one that was interrupted, killed
even, goes on where it was.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import impls
from benchmarks.measure import environment
from benchmarks.measure.worker import Hung, Worker, WorkerError
from benchmarks.options import Settings
from benchmarks.race import stopping
from benchmarks.race.request import Request
from benchmarks.record import checkout, race_file
from benchmarks.record.cells import Cell
from benchmarks.record.documents import parse
from benchmarks.record.merging import check_source, must_agree
from benchmarks.record.statistics import Speedup, speedups

STARTUP = Cell("", "startup", 0, "", 0, "")
"""The cost of a process before its first cell, among the costs of cells."""

SAVE_EVERY = 5.0
"""Seconds between two savings of the race so far: what a kill can cost."""


def counted(number: int, noun: str) -> str:
    """1 process, 2 processes."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}es"


class RaceError(RuntimeError):
    """A race that cannot go on; the message says why."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is raced, how well it has to be known, and what it may cost."""

    request: Request
    settings: Settings
    phases: tuple[str, ...]
    target: float
    budget: float
    timeout: float
    command: str
    survey: bool = False

    def cells(self) -> list[Cell]:
        """Every cell, the cheap ones first."""
        settings = self.settings
        return [
            Cell(workload, phase, batch_size, dtype, settings.threads, name)
            for workload in settings.workloads
            for dtype in settings.dtypes
            for batch_size in settings.batch_sizes
            for phase in self.phases
            for name in settings.implementations
        ]

    def over(self) -> str:
        """The implementation that speedups are over, as in reports: the lowest on the ladder, `loops` if it
        races.
        """
        ladder = [name for name in impls.names() if name in self.settings.implementations]
        return [*ladder, *self.settings.implementations][0]

    def described(self) -> dict[str, Any]:
        """As the record has it."""
        return {
            **dataclasses.asdict(self.settings),
            **checkout.described(),
            "phases": self.phases,
            "target": self.target,
            "budget": self.budget,
        }


class Race:
    """A race under way: what was found so far, and which cells are still wanted."""

    def __init__(self, plan: Plan, path: Path, say: Callable[[Race], None]) -> None:
        self.plan = plan
        self.path = path
        self.say = say
        self.facts: dict[str, race_file.Facts] = {}
        self.processes: list[race_file.Process] = []
        self.measurements: list[race_file.Measurement] = []
        self.machine: Mapping[str, Any] = environment.machine()
        self.versions: Mapping[str, str] = {}
        self.costs: dict[Cell, float] = {}
        self.started = time.monotonic()
        self.spent = 0.0
        self.current: list[Cell] = []
        self.done = 0
        self.trouble = ""
        self._saved = -SAVE_EVERY

    @property
    def partial(self) -> Path:
        """Where the race so far is kept."""
        return race_file.partial_of(self.path)

    @property
    def seconds(self) -> float:
        """What the race has taken, before it was interrupted and since."""
        return self.spent + time.monotonic() - self.started

    def resume(self, record: race_file.Record) -> None:
        """Go on from a record of the same race; raises ValueError naming both values where it is another."""
        must_agree("settings", record.settings, self.plan.described(), free=("target", "budget"))
        must_agree("machine", record.machine, self.machine)
        self.versions = record.versions
        self.facts = dict(record.implementations)
        self.processes = list(record.processes)
        self.measurements = list(record.measurements)
        self.spent = sum(process.seconds for process in record.processes)

    def run(self) -> None:
        """Race until it is enough; the record is at `path` when it is.

        What an interrupted race kept, and this one does not go on from, is put aside.
        """
        if not self.measurements and self.partial.exists():
            self.partial.replace(self.partial.with_name(f"{self.partial.name}.previous"))
        try:
            with tempfile.TemporaryDirectory() as compiled:
                for cells in self._turns():
                    self._run_process(cells, compiled)
            if self.plan.survey:
                self._survey()
            race_file.write(self.record(), self.path)
        except BaseException:
            if self.measurements:
                self.save(last=True)
            raise
        self.partial.unlink(missing_ok=True)

    def _turns(self) -> Iterator[list[Cell]]:
        plan = self.plan
        while True:
            overhead = self.costs.get(STARTUP, 0.0)
            left = plan.budget - self.seconds - overhead
            cells = stopping.next_cells(
                plan.cells(), self.measurements, plan.target, self.costs, left, plan.over()
            )
            if not cells:
                return
            yield cells

    def _run_process(self, cells: list[Cell], compiled: str) -> None:
        number = len(self.processes)
        seed = self.plan.settings.seed + number
        began = last = time.monotonic()
        self.processes.append(
            race_file.Process(seed=seed, started=datetime.datetime.now(datetime.UTC).isoformat(), seconds=0.0)
        )
        self.current, self.done = cells, 0
        flight: Cell | None = None
        arguments = [*self.plan.request.arguments(), f"--seed={seed}"]
        with Worker(self.plan.phases, arguments, self.plan.settings.threads, compiled) as worker:
            # A median: one process in which the probe was faster than ever would make all others restless.
            known = [p.calibration["probe"] for p in self.processes if "probe" in p.calibration]
            probe = statistics.median(known) if known else None
            worker.channel.send(cells=[dataclasses.asdict(cell) for cell in cells], probe=probe)
            try:
                for message in worker.messages(self.plan.timeout):
                    now = time.monotonic()
                    if "begin" in message:
                        if flight is None and not self.done:
                            self.costs[STARTUP] = now - began
                        flight, last = Cell(**message["begin"]), now
                    elif "measurement" in message:
                        measurement = parse(race_file.Measurement, message["measurement"], "measurement")
                        self.measurements.append(dataclasses.replace(measurement, process=number))
                        # The first process may compile what the next ones find in caches.
                        once = measurement.compile_seconds or 0.0 if number == 0 else 0.0
                        self.costs[measurement.cell] = max(0.0, now - last - once)
                        self.done += 1
                        flight = None
                        self.save()
                    elif "facts" in message:
                        facts = parse(race_file.Facts, message["facts"], "facts")
                        check_source(message["of"], self.facts.setdefault(message["of"], facts), facts)
                    elif "versions" in message:
                        self._check_same(message)
                    elif "end" in message:
                        self.processes[number] = parse(race_file.Process, message["end"], "process")
                    self.say(self)
            except WorkerError as error:
                if flight is None:
                    raise RaceError(f"a process of the race failed outside any cell: {error}") from error
                self._lose(flight, number, error)
        if not self.processes[number].seconds:
            self.processes[number] = dataclasses.replace(
                self.processes[number], seconds=time.monotonic() - began
            )
        self.say(self)

    def _survey(self) -> None:
        """Memory and compilation at the largest batch size; they go with the cell's first measurement.

        Of one phase, as neither depends on it: of gradients, where they are raced.
        """
        from benchmarks.race import survey

        phase = "gradients" if "gradients" in self.plan.phases else self.plan.phases[0]
        first = {m.cell: k for k, m in reversed(list(enumerate(self.measurements))) if m.seconds}
        largest = max((cell.batch_size for cell in first), default=0)
        for cell, k in first.items():
            if cell.batch_size == largest and cell.phase == phase:
                found = survey.of(cell, self.plan.request.workloads()[cell.workload])
                self.measurements[k] = dataclasses.replace(self.measurements[k], **found)

    def _check_same(self, message: Mapping[str, Any]) -> None:
        must_agree("machine", self.machine, message["machine"])
        if self.versions:
            must_agree("versions", self.versions, message["versions"])
        self.versions = message["versions"]

    def _lose(self, cell: Cell, number: int, error: WorkerError) -> None:
        """The cell during which a process hung or died is lost, it alone: the others go on in the next."""
        status: race_file.Status = "timed out" if isinstance(error, Hung) else "failed"
        self.measurements.append(
            race_file.Measurement(
                **dataclasses.asdict(cell), process=number, status=status, reason=str(error)
            )
        )

    def save(self, last: bool = False) -> None:
        """Keep the race so far, now and then; a disk that is full costs nothing but this."""
        if not last and time.monotonic() - self._saved < SAVE_EVERY:
            return
        self._saved = time.monotonic()
        try:
            race_file.write(self.record(), self.partial)
        except OSError as error:
            self.trouble = f"the race so far could not be kept: {error}"
        else:
            self.trouble = ""

    def speedups(self) -> dict[Cell, Speedup]:
        """Every speedup that can be quoted so far."""
        return speedups(self.measurements, self.plan.over())

    def verdict(self) -> str:
        """How well every speedup is known, and which are not."""
        target = self.plan.target
        found = self.speedups()
        wide = {cell: each for cell, each in found.items() if target < each.half_width < math.inf}
        unknown = sum(each.half_width == math.inf for each in found.values())
        lines = [
            f"{counted(len(self.processes), 'process')} in {self.seconds:.0f} s: "
            f"{len(found) - len(wide) - unknown} of {len(found)} speedups are known to ±{target:.0%}"
        ]
        lines += [
            f"  not {cell.implementation} at m = {cell.batch_size} "
            f"({cell.workload}, {cell.phase}, {cell.dtype}): ±{each.half_width:.1%}"
            for cell, each in sorted(wide.items(), key=lambda pair: -pair[1].half_width)
        ]
        if unknown:
            lines.append(
                f"  {unknown} have no interval, which takes two processes: give the race a larger --budget, "
                "or go on with --resume"
            )
        if self.trouble:
            lines.append(self.trouble)
        return "\n".join(lines)

    def record(self) -> race_file.Record:
        """The race so far, as a record."""
        return race_file.Record(
            created=datetime.datetime.now(datetime.UTC).isoformat(),
            command=self.plan.command,
            machine=self.machine,
            versions=self.versions,
            settings=self.plan.described(),
            workloads={name: each.described() for name, each in self.plan.request.workloads().items()},
            implementations=self.facts,
            processes=tuple(self.processes),
            measurements=tuple(self.measurements),
        )
