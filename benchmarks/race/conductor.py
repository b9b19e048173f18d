"""A whole race: fresh processes, one after the other, until every speedup is known well enough.

The conductor orders one cell at a time and waits. It writes, computes and draws only between cells, while the
process waits for its next order. Each event is in the journal before the next cell begins, so that an
interrupted race can continue from there.
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
from benchmarks.measure.process import END_SECONDS, ProcessError, PythonProcess, Silent
from benchmarks.options import RaceSettings
from benchmarks.race import journal, messages, stopping, survey
from benchmarks.race.journal import Journal, JournalEntry
from benchmarks.race.messages import WorkerAnswer
from benchmarks.race.progress import RaceProgress
from benchmarks.record import checkout, files, machine, race_file
from benchmarks.record.cells import Cell, Status
from benchmarks.record.merging import check_source, must_agree
from benchmarks.record.ranking import FEWEST

STARTUP = Cell("", "startup", 0, "", 0, "")
"""The key of the cost of a process before its first cell, among the costs of cells."""

AROUND_SECONDS = 120.0
"""The seconds that a process may take to load its packages before its cells, and to calibrate after them."""

OVERTIME, SHORTEST = 1.5, 1.0
"""The end of a scouting process's last cell in multiples of the scouting seconds; a cell's fewest seconds."""

DEATHS = 2
"""So many processes that fail outside any cell end the race, as the next one would fail, too."""

FAULTS = ("unavailable", "wrong", "implausible", "failed", "timed out")
"""Statuses of a cell that no race should have."""


class RaceError(RuntimeError):
    """Raised if the race cannot continue; the message gives the reason."""


@dataclasses.dataclass(frozen=True)
class RacePlan:
    """The settings of a race, the question that it answers, and its limits.

    `budget` is the seconds of the race, `timeout` those of a cell, `survey` those beyond the budget in which
    memory and compilation are surveyed. With `scouting` seconds, the first process takes the implementations
    in the order of the request and begins no cell after these seconds; the cells that it did not reach wait
    until the answer is known for the others, and the budget ends a cell, too.
    """

    settings: RaceSettings
    workloads: Mapping[str, race_file.RecordedWorkload]
    phases: tuple[str, ...]
    question: stopping.Question
    budget: float
    timeout: float
    command: str
    survey: float = 0.0
    scouting: float = 0.0

    def described(self) -> dict[str, Any]:
        """The settings on record."""
        return {
            **dataclasses.asdict(self.settings),
            **checkout.described(),
            **machine.variables(),
            "phases": self.phases,
            **self.question.described(),
            "budget": self.budget,
        }


class Race:
    """A running race: its results so far, and the cells that are still wanted.

    `shown` is called between cells.
    """

    def __init__(self, plan: RacePlan, path: Path, shown: Callable[[RaceProgress], None]) -> None:
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
        self.state = ""
        self.trouble = ""
        self._journal: Journal | None = None

    @property
    def seconds(self) -> float:
        """The seconds of the race, before and after an interruption."""
        return self.spent + time.monotonic() - self.started

    @property
    def left(self) -> float:
        """The seconds left of the budget."""
        return self.plan.budget - self.seconds

    def resume(self, entries: Iterable[JournalEntry]) -> None:
        """Continue from the entries of the same race; raises ValueError if its settings differ."""
        for entry in entries:
            self._apply(entry)
        self.spent = sum(process.seconds for process in self.processes)

    def run(self) -> None:
        """Race until the answer is known or the budget is spent, write the record to `path`, remove the
        journal.

        The journal of a race that this one does not continue is put aside. Raises RaceError.
        """
        place = journal.of(self.path)
        if not self.processes:
            files.put_aside(place)
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
        """Yield the cells of each process, until none is wanted or the budget is spent."""
        while True:
            startup = self.costs.get(STARTUP, 0.0)
            if self.measurements and self.left <= startup:
                return
            candidates = (
                self._wanted(choice, budget - startup)
                for budget in self._budgets()
                for choice in self._choices()
            )
            cells = next(filter(None, candidates), [])
            if not cells:
                return
            yield cells

    def _budgets(self) -> list[float]:
        """The seconds that the next process may take: a share of the rest while further processes have to
        follow a scouting one, otherwise all of it.
        """
        if not (self.plan.scouting and self.measurements):
            return [self.left]
        return [self.left / max(FEWEST - len(self.processes), 1), self.left]

    def _choices(self) -> list[list[Cell]]:
        """The candidates for the cells of the next process; the first with a wanted cell is used.

        A process has one number of threads, so that the cells of each number are a candidate; the numbers
        take turns.
        """
        settings = self.plan.settings
        cells = settings.cells(self.plan.phases, settings.seed + len(self.processes))
        if self.plan.scouting and not self.measurements:
            cells.sort(key=lambda cell: settings.implementations.index(cell.implementation))
        turns = sorted(settings.threads, key=lambda threads: self._found_on(threads).processes)
        choices = [[cell for cell in cells if cell.threads == threads] for threads in turns]
        if self.plan.scouting and self.measurements:
            tried = {m.cell for m in self.measurements}
            of_tried = [[cell for cell in choice if cell in tried] for choice in choices]
            # A single cell cannot be ranked: then the others are added.
            if any(len(self._wanted(choice, math.inf)) > 1 for choice in of_tried if choice):
                return [choice for choice in of_tried if choice]
        return choices

    def _wanted(self, cells: list[Cell], budget: float) -> list[Cell]:
        """The cells, of these with one number of threads, that the next process races."""
        return stopping.next_cells(cells, self._found_on(cells[0].threads), self.plan.question, budget)

    def _run_process(self, cells: list[Cell], compiled: str) -> None:
        """Measure the cells in a fresh process, within the budget.

        `compiled` is the folder of JAX's cache of earlier processes, which it needs to be given, unlike numba
        and PyTorch.
        """
        plan, first, threads = self.plan, not self.processes, cells[0].threads
        seed = plan.settings.seed + len(self.processes)
        began = time.monotonic()
        self._note(journal.Started(seed, datetime.datetime.now(datetime.UTC).isoformat()))
        # A median: one process in which the probe was faster than ever would make all others disturbed.
        known = [p.calibration["probe"] for p in self.processes if "probe" in p.calibration]
        probe = statistics.median(known) if known else None
        affordable = {m.cell for m in self.measurements if m.status == "measured"}
        variables = {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        at: Cell | None = None
        try:
            with PythonProcess(messages.WORKER, threads, variables=variables) as process:
                begin = messages.Begin(plan.workloads, threads, probe, max(plan.settings.ranks))
                self._order(process, begin, AROUND_SECONDS)
                self.costs[STARTUP] = time.monotonic() - began
                for done, at in enumerate(cells):
                    if self.measurements and self._over(first):
                        break
                    self._show(done, len(cells))
                    ordered = time.monotonic()
                    self._order(process, messages.MeasureCell(at, at in affordable), self._timeout(first))
                    # The first process may compile what the next ones find in caches.
                    once = self.measurements[-1].compile_seconds or 0.0 if first else 0.0
                    self.costs[at] = max(0.0, time.monotonic() - ordered - once)
                at = None
                self._order(process, messages.End(seed, first or not plan.scouting), AROUND_SECONDS)
                process.close(END_SECONDS)
        except ProcessError as error:
            self._lose(at, error)
        if not self.processes[-1].seconds:
            whole = dataclasses.replace(self.processes[-1], seconds=time.monotonic() - began)
            self._note(messages.Ended(whole))
        self.state = plan.question.state(self.found)
        measured = sum(m.process == len(self.processes) - 1 for m in self.measurements)
        self._show(measured, len(cells), took=self.processes[-1].seconds)

    def _over(self, first: bool) -> bool:
        """Whether no further cell begins in a process; the `first` one has a limit of its own."""
        scouted = first and self.plan.scouting and self.seconds > self.plan.scouting
        return bool(scouted) or self.left <= 0

    def _timeout(self, first: bool) -> float:
        """The seconds after which the cell that begins now is lost."""
        plan = self.plan
        if not plan.scouting:
            return plan.timeout
        end = OVERTIME * plan.scouting if first else plan.budget + plan.survey
        return min(plan.timeout, max(end - self.seconds, SHORTEST))

    def _show(self, done: int, cells: int, took: float = 0.0) -> None:
        self.shown(RaceProgress(len(self.processes), done, cells, self.state, max(0.0, self.left), took))

    def _order(self, process: PythonProcess, order: messages.WorkerOrder, timeout: float) -> None:
        """Give the order, await its answer for `timeout` seconds and note it; raises ProcessError."""
        process.send(order)
        self._note(process.receive(WorkerAnswer, timeout))

    def _lose(self, at: Cell | None, error: ProcessError) -> None:
        """Record the cell that was being measured as lost; the others continue in the next process."""
        if at is not None:
            status: Status = "timed out" if isinstance(error, Silent) else "failed"
            self._note(messages.Measured(race_file.Measurement.without_times(at, status, str(error))))
            return
        self.deaths += 1
        if not self.measurements or self.deaths == DEATHS:
            raise RaceError(f"a process of the race failed outside any cell: {error}") from error

    def _note(self, entry: JournalEntry | WorkerAnswer) -> None:
        """Apply an entry, and write it to the journal."""
        assert isinstance(entry, JournalEntry)
        self._apply(entry)
        self._keep(entry)

    def _keep(self, entry: JournalEntry) -> None:
        """Write an entry to the journal; if the disk is full, the race continues without it."""
        assert self._journal is not None
        try:
            self._journal.append(entry)
        except OSError as error:
            self.trouble = f"the race so far could not be saved: {error}"

    def _apply(self, entry: JournalEntry) -> None:
        match entry:
            case journal.Opened(_, settings, described):
                must_agree("settings", settings, self.plan.described(), free=stopping.FREE)
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
        """Survey memory and compilation at the largest batch size, for each cell's first measurement.

        One phase is enough, as neither depends on it: gradients, if they are raced.
        """
        phase = "gradients" if "gradients" in self.plan.phases else self.plan.phases[0]
        first = {m.cell: k for k, m in reversed(list(enumerate(self.measurements))) if m.seconds}
        largest = max((cell.batch_size for cell in first), default=0)
        for cell in self.plan.question.surveyed(self.found):
            left = self.left + self.plan.survey
            if cell.batch_size == largest and cell.phase == phase and left > 0:
                timeout = min(self.plan.timeout, left)
                k = first[cell]
                compiles = bool(self.measurements[k].compile_seconds)
                found = survey.of(cell, self.plan.workloads[cell.workload], timeout, compiles)
                self.measurements[k] = dataclasses.replace(self.measurements[k], **found)

    @property
    def found(self) -> stopping.Gathered:
        """The results of the race so far."""
        return stopping.Gathered(self.measurements, self.facts, self.costs)

    def _found_on(self, threads: int) -> stopping.Gathered:
        """The results of the processes with `threads` threads."""
        return self.found._replace(measurements=[m for m in self.measurements if m.threads == threads])

    def verdict(self) -> str:
        """The state of the answer, and the parts that are not known well enough."""
        known, *others = self.plan.question.verdict(self.found)
        count = len(self.processes)
        compiling = sum(m.compile_seconds or 0.0 for m in self.measurements if m.process == 0)
        compiled = f", {compiling:.0f} of them to compile" if compiling >= 1 else ""
        words = f"{count} process{'es' * (count > 1)} in {self.seconds:.0f} s{compiled}: {known}"
        return "\n".join([words, *others, *filter(None, [self.trouble])])

    def missing(self, names: Iterable[str]) -> list[str]:
        """A line for each of the implementations `names`, or of their cells, that was not measured, with the
        reason.

        A cell that was predicted too slow, or that an implementation does not support, is missing only if no
        other cell of that implementation was measured.
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

    def unreached(self, **named: Iterable[Any]) -> list[str]:
        """A line for each value of a cell's field, like float32 of `dtype`, with which no cell was begun."""
        return [
            f"{field.replace('_', ' ')} {value}: not reached within the budget of {self.plan.budget:g} s"
            for field, values in named.items()
            for value in values
            if not any(getattr(m, field) == value for m in self.measurements)
        ]

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
