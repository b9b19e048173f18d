"""One process's race: implementations are loaded, verified, warmed up, timed and put on record, cell by
cell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import inspect
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import impls
from benchmarks import workloads
from benchmarks.measure import calibration, clock, compilers, costs, environment
from benchmarks.measure.channel import Channel
from benchmarks.measure.noise import Quiet, Stopwatch
from benchmarks.options import Settings
from benchmarks.record import checkout, race_file
from benchmarks.record.cells import Cell

CELL_LIMIT_SECONDS = 14.0
"""A cell that is predicted to take longer, with its verification and its fewest rounds, is skipped."""

CALLS_OF_A_CELL = 13
"""Calls that a slow cell costs: its construction, the referee's, a warm-up and the fewest rounds."""

SLOWEST_FLOPS = 1e7
"""Operations in a second that the slowest interpreter reaches: what could be too slow is probed first."""

QUIET_ROUNDS = 3
"""Of fewer rounds that began and ended in quiet moments each may have been disturbed in between."""

WIDE, NOISY, OWN_COST = 0.2, 0.1, 0.05
"""Worth a warning: quartiles so far apart, in so many cells; an empty call with such a share of a time."""

STEP_LEARNING_RATE = 0.01
"""Small: however often a step is timed, the network stays in its curved part."""


class CellError(Exception):
    """A cell that cannot be timed, with the status that goes on record."""

    def __init__(self, status: race_file.Status, reason: str, predicted_seconds: float | None = None) -> None:
        super().__init__(status, reason, predicted_seconds)  # all of them, so that it can be pickled
        self.status = status
        self.reason = reason
        self.predicted_seconds = predicted_seconds


@dataclasses.dataclass(frozen=True)
class Starter:
    """An implementation that has passed the referee and is warm, with what its construction took."""

    implementation: impls.Implementation
    construct_seconds: float
    verdict: impls.Verdict


class Contest:
    """The race of one process: its settings, its verdicts and its measurements."""

    def __init__(
        self, settings: Settings, known: dict[str, workloads.Workload], cpus: Sequence[int] = ()
    ) -> None:
        self.settings = settings
        self.workloads = known
        self.compilations = compilers.Compilations()
        self.restless = 0
        self._cpus = cpus if settings.threads == 1 else ()
        self.moments = Quiet(None, self._cpus)
        self.stopwatch = Stopwatch(self.moments)
        self._started = datetime.datetime.now(datetime.UTC)
        self._start = time.perf_counter()
        self._watch = environment.Watch(settings.threads)
        self._tell: Callable[..., None] | None = None
        self._wanted: set[Cell] | None = None
        self.facts: dict[str, race_file.Facts] = {}
        self.measurements: list[race_file.Measurement] = []
        self.fastest: dict[Cell, float] = {}
        self._starters: dict[tuple[str, int, str, str], Starter | CellError] = {}
        self._problem: tuple[tuple[str, int], impls.Problem] | None = None

    def conduct(self, channel: Channel) -> None:
        """Race the cells that a conductor asks for, and tell it of each."""
        request = channel.receive() or {}
        self._wanted = {Cell(**cell) for cell in request.get("cells", [])}
        self.moments = Quiet(request.get("probe"), self._cpus)
        self.stopwatch = Stopwatch(self.moments)
        self._tell = channel.send
        self.tell(machine=environment.machine(), versions=environment.versions())

    def tell(self, **message: Any) -> None:
        """Tell the conductor, where there is one."""
        if self._tell:
            self._tell(**message)

    def cells(self, phase: str) -> Iterator[Cell]:
        """Every cell of one phase; the implementations of a cell in an order of its own, shuffled by the
        seed.
        """
        settings = self.settings
        for workload in settings.workloads:
            for dtype in settings.dtypes:
                for batch_size in settings.batch_sizes:
                    implementations = list(settings.implementations)
                    key = f"{settings.seed} {workload} {dtype} {batch_size} {phase}"
                    random.Random(key).shuffle(implementations)  # noqa: S311 - an order, no secret
                    for name in implementations:
                        cell = Cell(workload, phase, batch_size, dtype, settings.threads, name)
                        if self._wanted is None or cell in self._wanted:
                            yield cell

    def problem(self, workload: str, batch_size: int) -> impls.Problem:
        """The problem that every implementation of a cell gets; the last is kept, as cells come in groups."""
        if self._problem is None or self._problem[0] != (workload, batch_size):
            made = workloads.problem(self.workloads[workload], batch_size)
            self._problem = (workload, batch_size), made
        return self._problem[1]

    def starter(self, cell: Cell) -> Starter:
        """The cell's implementation, loaded, verified, constructed and warm; raises CellError where it
        cannot be.
        """
        self._check_prediction(cell)
        known = self._starters.get(cell.lane)
        if known is None:
            # Implementations of another batch size are not needed again: the cells come in groups.
            self._starters = {lane: s for lane, s in self._starters.items() if lane[:3] == cell.lane[:3]}
            try:
                with guard(cell):
                    known = self._construct(cell)
            except CellError as error:
                known = error
            self._starters[cell.lane] = known
        if isinstance(known, CellError):
            raise known
        return known

    def load(self, name: str) -> type[impls.Implementation]:
        """The implementation's class; its facts go on record."""
        implementation = load(name)
        if name not in self.facts:
            self.facts[name] = facts(implementation)
            self.tell(facts=dataclasses.asdict(self.facts[name]), of=name)
        return implementation

    def _construct(self, cell: Cell) -> Starter:
        implementation_class = self.load(cell.implementation)
        problem = self.problem(cell.workload, cell.batch_size)
        try:
            impls.held(problem, cell.dtype)
        except ValueError as error:  # no implementation sees a problem that overflows in its dtype
            raise CellError("unsupported", str(error)) from error
        start = time.perf_counter()
        implementation = implementation_class(problem, dtype=cell.dtype, threads=cell.threads)
        construct_seconds = time.perf_counter() - start
        verdict = impls.check(implementation, problem, cell.dtype)
        if not verdict.passed:
            raise CellError("wrong", f"{cell.implementation}: {verdict.message}")
        return Starter(implementation, construct_seconds, verdict)

    def _check_prediction(self, cell: Cell) -> None:
        measured = {
            c.batch_size: seconds
            for c, seconds in self.fastest.items()
            if dataclasses.replace(c, batch_size=cell.batch_size) == cell
        }
        network = self.workloads[cell.workload].network
        slowest = costs.flops(network, cell.phase, cell.batch_size) / SLOWEST_FLOPS * CALLS_OF_A_CELL
        if not any(m < cell.batch_size for m in measured) and slowest > CELL_LIMIT_SECONDS:
            measured = self._probe(cell)
        predicted = clock.predict(measured, cell.batch_size)
        whole = (predicted or 0.0) * CALLS_OF_A_CELL
        if whole > CELL_LIMIT_SECONDS:
            reason = (
                f"a call is predicted to take {predicted:.3g} s, the cell {whole:.3g} s; "
                f"cells of more than {CELL_LIMIT_SECONDS:g} s are not run"
            )
            raise CellError("skipped", reason, predicted)

    def _probe(self, cell: Cell) -> dict[int, float]:
        """Times of one call at small batches, where a prediction is needed and nothing is measured yet."""
        implementation_class = self.load(cell.implementation)
        found = {}
        for m in (1, 4):
            implementation = implementation_class(
                workloads.problem(self.workloads[cell.workload], m), cell.dtype, cell.threads
            )
            found[m] = clock.settle(method(implementation, cell.phase))
        return found

    def enter(
        self, cell: Cell, starter: Starter, seconds: tuple[float, ...], iterations: int
    ) -> race_file.Measurement:
        """Put a timed cell on record; of its rounds those that the stopwatch found quiet, if any."""
        probes = self.stopwatch.probes
        within = [self.moments.is_quiet(took) for took in probes]
        calm = sum(within) >= QUIET_ROUNDS
        if calm:
            seconds = tuple(itertools.compress(seconds, within))
            probes = list(itertools.compress(probes, within))
        self.restless += not calm
        if min(seconds) <= 0:
            raise CellError("failed", "the clock stood still or stepped back while this cell was timed")
        self.fastest[cell] = min(seconds)
        network = self.workloads[cell.workload].network
        itemsize = 4 if cell.dtype == "float32" else 8
        return self._record(
            cell,
            status="measured",
            seconds=seconds,
            probe=statistics.median(probes) if probes else None,
            iterations=iterations,
            construct_seconds=starter.construct_seconds,
            compile_seconds=starter.implementation.compile_seconds,
            flops=costs.flops(network, cell.phase, cell.batch_size),
            bytes=costs.traffic(network, cell.phase, cell.batch_size, itemsize),
            error_of_bound=starter.verdict.error_of_bound,
            error_ulp=starter.verdict.error_ulp,
            error_ulp_median=starter.verdict.error_ulp_median,
        )

    def enter_failure(self, cell: Cell, error: CellError) -> race_file.Measurement:
        """Put a cell that was not timed on record, with the reason."""
        return self._record(
            cell, status=error.status, reason=error.reason, predicted_seconds=error.predicted_seconds
        )

    def _record(self, cell: Cell, **found: Any) -> race_file.Measurement:
        measurement = race_file.Measurement(**dataclasses.asdict(cell), process=0, **found)
        self.measurements.append(measurement)
        self.tell(measurement=dataclasses.asdict(measurement))
        return measurement

    def process(self) -> race_file.Process:
        """This process, at its end: what was in force, and what the machine could do."""
        calibrated = {**calibration.calibrate(self.moments.wait), "probe": self.moments.fastest}
        warnings = [*self._watch.warnings(), *clock_warnings(self.measurements, calibrated["call"])]
        if self.restless > NOISY * len(self.fastest):
            warnings.append(
                f"more than {NOISY:.0%} of the cells found no quiet moment: something else kept slowing the "
                "machine down; race later or elsewhere"
            )
        return race_file.Process(
            seed=self.settings.seed,
            started=self._started.isoformat(),
            seconds=time.perf_counter() - self._start,
            threads_in_force=environment.threads_in_force(),
            cpus=environment.cpus(),
            load_average=self._watch.load,
            calibration=calibrated,
            warnings=tuple(warnings),
            waited=self.moments.waited,
        )

    def record(self, command: str) -> race_file.Record:
        """All of it, as the record of a race of one process."""
        process = self.process()
        return race_file.Record(
            created=datetime.datetime.now(datetime.UTC).isoformat(),
            command=command,
            machine=environment.machine(),
            versions=environment.versions(),
            settings={**dataclasses.asdict(self.settings), **checkout.described()},
            workloads={name: w.described() for name, w in self.workloads.items()},
            implementations=self.facts,
            processes=(process,),
            measurements=tuple(self.measurements),
        )


def clock_warnings(measurements: Iterable[race_file.Measurement], call: float) -> Iterator[str]:
    """What the times themselves say against them; `call` is what an empty call takes, in seconds."""
    timed = [m for m in measurements if m.seconds]
    wide = [m for m in timed if _quartile_distance(m.seconds) > WIDE * m.fastest]
    if len(wide) > NOISY * len(timed):
        yield (
            f"the rounds of more than {NOISY:.0%} of the cells spread widely (quartiles {WIDE:.0%} apart): "
            "the machine is busy or throttled; race longer, later or elsewhere"
        )
    for name in dict.fromkeys(m.implementation for m in timed if call > OWN_COST * m.fastest):
        yield f"the call itself is more than {OWN_COST:.0%} of the time of {name} in its shortest cells"


def _quartile_distance(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return high - low


@contextlib.contextmanager
def guard(cell: Cell) -> Iterator[None]:
    """Whatever an implementation raises is its own cell's failure, by name: an implementation may be
    anybody's code.
    """
    try:
        yield
    except CellError:
        raise
    except impls.Unsupported as error:
        raise CellError("unsupported", str(error)) from error
    except Exception as error:
        raise CellError("failed", f"{cell.implementation}: {type(error).__name__}: {error}") from error


def method(implementation: impls.Implementation, phase: str) -> Callable[[], Any]:
    """The call that a phase times."""
    if phase == "forward":
        return implementation.forward
    if phase == "gradients":
        return implementation.gradients
    return functools.partial(implementation.step, STEP_LEARNING_RATE)


def load(name: str) -> type[impls.Implementation]:
    """The implementation's class; raises CellError where it cannot be had."""
    try:
        return impls.load(name)
    except impls.Unavailable as error:
        raise CellError("unavailable", str(error)) from error


def facts(implementation: type[impls.Implementation]) -> race_file.Facts:
    """An implementation's line of the fairness sheet, with its source."""
    source = inspect.getsource(sys.modules[implementation.__module__])
    return race_file.Facts(
        idea=implementation.idea,
        differs_from=implementation.differs_from,
        dtypes=tuple(implementation.dtypes),
        same_order=implementation.same_order,
        fast_math=implementation.fast_math,
        layout=implementation.layout,
        lines_of_code=impls.lines_of_code(source),
        source=source,
    )
