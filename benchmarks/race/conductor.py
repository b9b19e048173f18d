"""A whole race: fresh processes, one after the other, until every speedup is known well enough.

The conductor orders one cell at a time and waits: it writes, computes and draws between cells only, while the
process waits for its next order. What happened is in the journal before the next cell begins, and a race that
goes on reads it there.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import impls
from benchmarks.measure.process import END_SECONDS, Process, ProcessError, Silent
from benchmarks.options import Settings
from benchmarks.race import journal, messages, stopping, survey
from benchmarks.race.journal import Entry, Journal
from benchmarks.race.messages import Answer
from benchmarks.race.progress import Standing
from benchmarks.record import checkout, machine, race_file
from benchmarks.record.cells import Cell, Status
from benchmarks.record.merging import check_source, must_agree
from benchmarks.record.statistics import Speedup, speedups

STARTUP = Cell("", "startup", 0, "", 0, "")
"""The cost of a process before its first cell, among the costs of cells."""

AROUND_SECONDS = 120.0
"""How long a process may take to load what it needs, before its cells, and to calibrate, after them."""

DEATHS = 2
"""So many processes that die outside any cell end a race: the next one would die, too."""

FAULTS = ("unavailable", "wrong", "failed", "timed out")
"""Statuses of a cell that no race should have."""


class RaceError(RuntimeError):
    """A race that cannot go on; the message says why."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is raced, how well it has to be known, and what it may cost.

    `target` is a relative half-width of intervals (0.05 is +-5 %), `budget` the seconds of the race,
    `timeout` those of a cell.
    """

    settings: Settings
    workloads: Mapping[str, race_file.Workload]
    phases: tuple[str, ...]
    target: float
    budget: float
    timeout: float
    command: str
    survey: bool = False

    def over(self) -> str:
        """The implementation that speedups are over: the lowest on the ladder, `loops` if it races."""
        names = self.settings.implementations
        return next((name for name in impls.names() if name in names), names[0])

    def described(self) -> dict[str, Any]:
        """As the record has it."""
        return {
            **dataclasses.asdict(self.settings),
            **checkout.described(),
            **machine.variables(),
            "phases": self.phases,
            "target": self.target,
            "budget": self.budget,
        }


class Race:
    """A race under way: what was found so far, and which cells are still wanted.

    `shown` is called between cells.
    """

    def __init__(self, plan: Plan, path: Path, shown: Callable[[Standing], None]) -> None:
        self.plan = plan
        self.path = path
        self.shown = shown
        self.facts: dict[str, race_file.Facts] = {}
        self.processes: list[race_file.Process] = []
        self.measurements: list[race_file.Measurement] = []
        self.machine: Mapping[str, Any] = machine.machine()
        self.versions: Mapping[str, str] = {}
        self.costs: dict[Cell, float] = {}
        self.started = time.monotonic()
        self.spent = 0.0
        self.deaths = 0
        self.state = "no speedup yet"
        self.trouble = ""
        self._journal: Journal | None = None

    @property
    def seconds(self) -> float:
        """What the race has taken, before it was interrupted and since."""
        return self.spent + time.monotonic() - self.started

    def resume(self, entries: Iterable[Entry]) -> None:
        """Go on from the entries of the same race; raises ValueError with both values where it is another."""
        for entry in entries:
            self._apply(entry)
        self.spent = sum(process.seconds for process in self.processes)

    def run(self) -> None:
        """Race until it is enough: then the record is at `path`, and the journal is gone.

        The journal of a race that this one does not go on from is put aside. Raises RaceError.
        """
        place = journal.of(self.path)
        if not self.processes and place.exists():
            place.replace(place.with_name(f"{place.name}.previous"))
        self._journal = Journal(place)
        impls.keep_compiled()
        try:
            if self._journal.empty:
                for entry in journal.entries_of(self.record()):
                    self._keep(entry)
            with tempfile.TemporaryDirectory() as compiled:
                for cells in self._turns():
                    self._run_process(cells, compiled)
            if self.plan.survey:
                self._survey()
            race_file.write(self.record(), self.path)
            place.unlink()
        finally:
            self._journal.close()
            if not self.measurements:
                place.unlink(missing_ok=True)

    def _turns(self) -> Iterator[list[Cell]]:
        """The cells of one process after the other, until none is wanted or the budget is spent."""
        plan = self.plan
        while True:
            cells = plan.settings.cells(plan.phases, plan.settings.seed + len(self.processes))
            left = plan.budget - self.seconds - self.costs.get(STARTUP, 0.0)
            wanted = stopping.next_cells(cells, self.measurements, plan.target, self.costs, left, plan.over())
            if not wanted:
                return
            yield wanted

    def _run_process(self, cells: list[Cell], compiled: str) -> None:
        """Measure the cells in a fresh process, as far as the budget goes.

        `compiled` is the folder where JAX finds what it compiled in earlier processes: unlike numba and
        PyTorch it keeps nothing without being given a folder.
        """
        plan, first = self.plan, not self.processes
        seed = plan.settings.seed + len(self.processes)
        began = time.monotonic()
        self._note(journal.Started(seed, datetime.datetime.now(datetime.UTC).isoformat()))
        # A median: one process in which the probe was faster than ever would make all others disturbed.
        known = [p.calibration["probe"] for p in self.processes if "probe" in p.calibration]
        probe = statistics.median(known) if known else None
        variables = {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        at: Cell | None = None
        try:
            with Process(messages.WORKER, plan.settings.threads, variables=variables) as process:
                self._order(
                    process, messages.Begin(plan.workloads, plan.settings.threads, probe), AROUND_SECONDS
                )
                self.costs[STARTUP] = time.monotonic() - began
                for done, at in enumerate(cells):
                    if self.measurements and self.seconds >= plan.budget:
                        break
                    self._show(done, len(cells))
                    ordered = time.monotonic()
                    self._order(process, messages.Measure(at), plan.timeout)
                    # The first process may compile what the next ones find in caches.
                    once = self.measurements[-1].compile_seconds or 0.0 if first else 0.0
                    self.costs[at] = max(0.0, time.monotonic() - ordered - once)
                at = None
                self._order(process, messages.End(seed), AROUND_SECONDS)
                process.close(END_SECONDS)
        except ProcessError as error:
            self._lose(at, error)
        if not self.processes[-1].seconds:
            whole = dataclasses.replace(self.processes[-1], seconds=time.monotonic() - began)
            self._note(messages.Ended(whole))
        self.state = self._state()
        measured = sum(m.process == len(self.processes) - 1 for m in self.measurements)
        self._show(measured, len(cells), took=self.processes[-1].seconds)

    def _show(self, done: int, cells: int, took: float = 0.0) -> None:
        left = max(0.0, self.plan.budget - self.seconds)
        self.shown(Standing(len(self.processes), done, cells, self.state, left, took))

    def _state(self) -> str:
        """How well the speedups are known by now."""
        found = self.speedups()
        known = {cell: each.half_width for cell, each in found.items() if each.half_width < math.inf}
        if not known:
            return f"{len(found)} speedups, no interval yet" if found else "no speedup yet"
        within = sum(width <= self.plan.target for width in known.values())
        cell = max(known, key=lambda c: known[c])
        widest = f"the widest ±{known[cell]:.1%}, {cell.implementation} at m = {cell.batch_size}"
        return f"{within} of {len(found)} speedups within ±{self.plan.target:.0%}, {widest}"

    def _order(self, process: Process, order: messages.Order, timeout: float) -> None:
        """Give the order, await its answer for `timeout` seconds and note it; raises ProcessError."""
        process.send(order)
        self._note(process.receive(Answer, timeout))

    def _lose(self, at: Cell | None, error: ProcessError) -> None:
        """The cell in flight is lost, it alone: the others go on in the next process."""
        if at is not None:
            status: Status = "timed out" if isinstance(error, Silent) else "failed"
            lost = race_file.Measurement(
                **dataclasses.asdict(at), process=0, status=status, reason=str(error)
            )
            self._note(messages.Measured(lost))
            return
        self.deaths += 1
        if not self.measurements or self.deaths == DEATHS:
            raise RaceError(f"a process of the race failed outside any cell: {error}") from error

    def _note(self, entry: Entry | Answer) -> None:
        """Take what happened into account, and keep it."""
        assert isinstance(entry, Entry)
        self._apply(entry)
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        """Write it to the journal; a disk that is full costs nothing but what could be kept."""
        assert self._journal is not None
        try:
            self._journal.append(entry)
        except OSError as error:
            self.trouble = f"the race so far could not be kept: {error}"

    def _apply(self, entry: Entry) -> None:
        match entry:
            case journal.Opened(_, settings, described):
                must_agree("settings", settings, self.plan.described(), free=("target", "budget"))
                must_agree("machine", described, self.machine)
            case journal.Started(seed, started):
                last = len(self.processes) - 1
                if last >= 0 and (not self.measurements or self.measurements[-1].process != last):
                    self.processes.pop()  # it ended before it had measured anything
                self.processes.append(race_file.Process(seed=seed, started=started, seconds=0.0))
            case messages.Begun(described, versions):
                must_agree("machine", self.machine, described)
                must_agree("versions", self.versions or versions, versions)
                self.versions = versions
            case messages.Measured(measurement, facts):
                if facts is not None:
                    name = measurement.implementation
                    check_source(name, self.facts.setdefault(name, facts), facts)
                number = len(self.processes) - 1
                self.measurements.append(dataclasses.replace(measurement, process=number))
            case messages.Ended(process):
                self.processes[-1] = process

    def _survey(self) -> None:
        """Memory and compilation at the largest batch size; they go with the cell's first measurement.

        Of one phase, as neither depends on it: of gradients, where they are raced.
        """
        phase = "gradients" if "gradients" in self.plan.phases else self.plan.phases[0]
        first = {m.cell: k for k, m in reversed(list(enumerate(self.measurements))) if m.seconds}
        largest = max((cell.batch_size for cell in first), default=0)
        for cell, k in first.items():
            if cell.batch_size == largest and cell.phase == phase:
                found = survey.of(cell, self.plan.workloads[cell.workload], self.plan.timeout)
                self.measurements[k] = dataclasses.replace(self.measurements[k], **found)

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
            f"{len(self.processes)} process{'es' * (len(self.processes) > 1)} in {self.seconds:.0f} s: "
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

    def missing(self, names: Iterable[str]) -> list[str]:
        """Why the implementations `names`, or cells of theirs, were not measured: a line each.

        A cell that was predicted too slow, or that an implementation does not support, is missing only where
        no other cell of that implementation was measured.
        """
        lines: list[str] = []
        for name in names:
            of_it = [m for m in self.measurements if m.implementation == name]
            measured = any(m.status == "measured" for m in of_it)
            lost = [m for m in of_it if m.status in FAULTS or (m.status != "measured" and not measured)]
            lines += dict.fromkeys(f"{name}: {m.status}: {m.reason}" for m in lost)
            if not of_it:
                lines.append(f"{name}: not reached within the budget of {self.plan.budget:g} s")
        return lines

    def record(self) -> race_file.Record:
        """The race so far, as a record."""
        return race_file.Record(
            created=datetime.datetime.now(datetime.UTC).isoformat(),
            command=self.plan.command,
            machine=self.machine,
            versions=self.versions,
            settings=self.plan.described(),
            workloads=self.plan.workloads,
            implementations=self.facts,
            processes=tuple(self.processes),
            measurements=tuple(self.measurements),
        )
