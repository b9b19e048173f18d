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
"""The cost of a process before its first cell, among the costs of cells."""

AROUND_SECONDS = 120.0
"""How long a process may take to load what it needs, before its cells, and to calibrate, after them."""

OVERTIME, SHORTEST = 1.5, 1.0
"""The last cell of a scouting process may end so many times as late; seconds that every cell has."""

DEATHS = 2
"""So many processes that die outside any cell end a race: the next one would die, too."""

FAULTS = ("unavailable", "wrong", "implausible", "failed", "timed out")
"""Statuses of a cell that no race should have."""


class RaceError(RuntimeError):
    """A race that cannot go on; the message says why."""


@dataclasses.dataclass(frozen=True)
class RacePlan:
    """What is raced, what is asked of it, and what it may cost.

    `budget` is the seconds of the race, `timeout` those of a cell, `survey` those beyond the budget in which
    memory and compilation are surveyed. Where `scouting` seconds are given, the first process takes the
    implementations in the order in which they are asked for and begins no cell after so many; what it did not
    come to waits until the answer is known of the others, and the budget ends a cell, too.
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
        """As the record has it."""
        return {
            **dataclasses.asdict(self.settings),
            **checkout.described(),
            **machine.variables(),
            "phases": self.phases,
            **self.question.described(),
            "budget": self.budget,
        }


class Race:
    """A race under way: what was found so far, and which cells are still wanted.

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
        """What the race has taken, before it was interrupted and since."""
        return self.spent + time.monotonic() - self.started

    @property
    def compiled(self) -> float:
        """What the first process took to compile, in seconds."""
        return sum(m.compile_seconds or 0.0 for m in self.measurements if m.process == 0)

    @property
    def left(self) -> float:
        """What is left of the budget, in seconds."""
        return self.plan.budget - self.seconds

    def resume(self, entries: Iterable[JournalEntry]) -> None:
        """Go on from the entries of the same race; raises ValueError with both values where it is another."""
        for entry in entries:
            self._apply(entry)
        self.spent = sum(process.seconds for process in self.processes)

    def run(self) -> None:
        """Race until it is enough: then the record is at `path`, and the journal is gone.

        The journal of a race that this one does not go on from is put aside. Raises RaceError.
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
        """The cells of one process after the other, until none is wanted or the budget is spent."""
        while True:
            startup = self.costs.get(STARTUP, 0.0)
            if self.measurements and self.left <= startup:
                return
            cells = next(filter(None, (self._next(most - startup) for most in self._budgets())), [])
            if not cells:
                return
            yield cells

    def _budgets(self) -> list[float]:
        """The seconds that the next process may take: a share first, where a scouting process was the first
        and enough others are to follow; in the end all that are left.
        """
        if not (self.plan.scouting and self.measurements):
            return [self.left]
        return [self.left / max(FEWEST - len(self.processes), 1), self.left]

    def _next(self, budget: float) -> list[Cell]:
        """The cells of a process that may take so many seconds; none where none is wanted."""
        return next((wanted for cells in self._choices() if (wanted := self._wanted(cells, budget))), [])

    def _choices(self) -> list[list[Cell]]:
        """What the next process may be asked for; the first counts of which any cell is wanted.

        A process has one number of threads: the numbers take turns, and each is asked for on its own.
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
            # Who is alone has nobody to be ranked with: then the others come.
            if any(len(self._wanted(choice, math.inf)) > 1 for choice in of_tried if choice):
                return [choice for choice in of_tried if choice]
        return choices

    def _wanted(self, cells: list[Cell], budget: float) -> list[Cell]:
        """Of these cells of one number of threads, what the next process shall race."""
        return stopping.next_cells(cells, self._found_on(cells[0].threads), self.plan.question, budget)

    def _run_process(self, cells: list[Cell], compiled: str) -> None:
        """Measure the cells in a fresh process, as far as the budget goes.

        `compiled` is the folder where JAX finds what it compiled in earlier processes: unlike numba and
        PyTorch it keeps nothing without being given a folder.
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
        """Whether no other cell begins in a process, the first one or another."""
        scouted = first and self.plan.scouting and self.seconds > self.plan.scouting
        return bool(scouted) or self.left <= 0

    def _timeout(self, first: bool) -> float:
        """After how many seconds the cell that begins now is lost."""
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
        """The cell in flight is lost, it alone: the others go on in the next process."""
        if at is not None:
            status: Status = "timed out" if isinstance(error, Silent) else "failed"
            self._note(messages.Measured(race_file.Measurement.without_times(at, status, str(error))))
            return
        self.deaths += 1
        if not self.measurements or self.deaths == DEATHS:
            raise RaceError(f"a process of the race failed outside any cell: {error}") from error

    def _note(self, entry: JournalEntry | WorkerAnswer) -> None:
        """Take what happened into account, and keep it."""
        assert isinstance(entry, JournalEntry)
        self._apply(entry)
        self._keep(entry)

    def _keep(self, entry: JournalEntry) -> None:
        """Write it to the journal; a disk that is full costs nothing but what could be kept."""
        assert self._journal is not None
        try:
            self._journal.append(entry)
        except OSError as error:
            self.trouble = f"the race so far could not be kept: {error}"

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
        """Memory and compilation at the largest batch size; they go with the cell's first measurement.

        Of one phase, as neither depends on it: of gradients, where they are raced.
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
        """What the race has found so far."""
        return stopping.Gathered(self.measurements, self.facts, self.costs)

    def _found_on(self, threads: int) -> stopping.Gathered:
        """What the processes of so many threads have found."""
        return self.found._replace(measurements=[m for m in self.measurements if m.threads == threads])

    def verdict(self) -> str:
        """How well the answer is known, and what is not."""
        known, *others = self.plan.question.verdict(self.found)
        count = len(self.processes)
        compiled = f", {self.compiled:.0f} of them to compile" if self.compiled >= 1 else ""
        words = f"{count} process{'es' * (count > 1)} in {self.seconds:.0f} s{compiled}: {known}"
        lines = [words, *others]
        return "\n".join([*lines, self.trouble] if self.trouble else lines)

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

    def unreached(self, **named: Iterable[Any]) -> list[str]:
        """The values of a cell's fields, like `dtype=["float32"]`, that no cell was begun with."""
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
