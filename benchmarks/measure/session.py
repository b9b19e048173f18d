"""The session of one process: it loads, verifies, warms up and times implementations, cell by cell."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import inspect
import os
import random
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import impls
from benchmarks import workloads
from benchmarks.measure import calibration, clock, compilers, costs, instruments, packages
from benchmarks.measure.audit import Audit, AuditError, Subject, method
from benchmarks.measure.ceiling import Ceiling
from benchmarks.measure.noise import WAIT_SECONDS, Moments, Round, Watch
from benchmarks.measure.threads import cpus, threads_in_force
from benchmarks.record import race_file
from benchmarks.record.cells import Cell, Status
from benchmarks.record.statistics import SLOWER

CELL_LIMIT_SECONDS = 14.0
"""A cell that is predicted to take longer, with its verification and its fewest rounds, is skipped."""

CALLS_OF_A_CELL = 13
"""The calls of a slow cell: its construction, the referee's, a warm-up and the fewest rounds."""

SLOWEST_FLOPS = 1e7
"""The operations a second of the slowest interpreter. A cell that would be too slow at this rate is probed at
small batches first."""

UNDISTURBED_ROUNDS = 3
"""The fewest rounds that begin and end in undisturbed moments; each of fewer may be disturbed in between."""

ALLREDUCES = tuple(8 * 4**k for k in range(11))
"""The bytes of the sums over ranks that are timed beside a cell: from one number to 8 MiB."""

ALONE_ROUNDS = 10
"""Rounds of the gradients without communication."""

WIDE, NOISY, OWN_COST = 0.2, 0.1, 0.05
"""The limits for warnings: the distance of the quartiles relative to the fastest round, the share of cells
with that or without an undisturbed moment, and the share of an empty call in a time."""

JUST_IN_TIME = {"numba": "NUMBA_DISABLE_JIT", "jax": "JAX_DISABLE_JIT"}
"""The variable that makes each library run plain Python instead of compiled code."""


class CellError(Exception):
    """A cell that cannot be timed, with the status that goes on record."""

    def __init__(self, status: Status, reason: str, predicted_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.predicted_seconds = predicted_seconds

    def measurement(self, cell: Cell) -> race_file.Measurement:
        """The measurement on record."""
        return race_file.Measurement.without_times(
            cell, self.status, self.reason, predicted_seconds=self.predicted_seconds
        )


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An implementation that has passed the referee and is warm, with the seconds of its construction."""

    subject: Subject
    construct_seconds: float
    verdict: impls.Verdict


class Session:
    """The measurements of one process on `threads` threads, for each of at most `ranks` ranks.

    `probe` is the probe's shortest time in earlier processes, in seconds, if known. A session of one thread
    may move among the CPUs `allowed`. Cells in `affordable` are known not to be too slow.
    """

    def __init__(
        self,
        known: Mapping[str, workloads.Workload],
        threads: int,
        allowed: Sequence[int] = (),
        probe: float | None = None,
        ranks: int = 1,
    ) -> None:
        self.workloads = known
        self.threads = threads
        self.moments = Moments(SLOWER, probe, allowed if threads * ranks == 1 else ())
        self.facts: dict[str, race_file.Facts] = {}
        self.measurements: list[race_file.Measurement] = []
        self.fastest: dict[Cell, float] = {}
        self.affordable: set[Cell] = set()
        self._compiled: dict[Cell, float] = {}
        self.disturbed = 0
        self.audit_seed = secrets.randbits(31)
        self.audit_seconds = 0.0
        self._draw = random.Random(self.audit_seed)  # noqa: S311 - hidden from implementations, not secret
        self._started = datetime.datetime.now(datetime.UTC)
        self._start = time.perf_counter()
        self._watch = Watch(threads, ranks)
        self._ceiling = Ceiling(self.moments.wait)
        self._around = impls.snapshot()
        self._compilations = compilers.Compilations()
        self._prepared: dict[Cell, Prepared | CellError] = {}
        self._problem: tuple[tuple[str, int], impls.Problem] | None = None

    def measure(self, cell: Cell) -> race_file.Measurement:
        """The cell's measurement, with its times or the reason why there are none."""
        found = self._attempt(cell, self._timed)
        self.measurements.append(found)
        return found

    def call_once(self, cell: Cell) -> race_file.Measurement:
        """The outcome of a cell whose method is called once and not timed; it does not go on record."""

        def call(cell: Cell, prepared: Prepared) -> race_file.Measurement:
            method(prepared.subject.implementation, cell.phase, self.training(cell))()
            return race_file.Measurement(**dataclasses.asdict(cell), process=0, status="measured")

        return self._attempt(cell, call)

    def _attempt(
        self, cell: Cell, what: Callable[[Cell, Prepared], race_file.Measurement]
    ) -> race_file.Measurement:
        try:
            with guard(cell):
                return what(cell, self.prepared(cell))
        except CellError as error:
            return error.measurement(cell)

    def problem(self, workload: str, batch_size: int) -> impls.Problem:
        """The problem of every implementation of a cell; the last one is cached, as cells come in groups."""
        if self._problem is None or self._problem[0] != (workload, batch_size):
            made = workloads.problem(self.workloads[workload], batch_size)
            self._problem = (workload, batch_size), made
        return self._problem[1]

    def training(self, cell: Cell) -> impls.Training:
        """The training of the cell's workload."""
        return self.workloads[cell.workload].training

    def prepared(self, cell: Cell) -> Prepared:
        """The cell's implementation, constructed and verified once for all phases; raises CellError."""
        self._check_prediction(cell)
        of_any_phase = dataclasses.replace(cell, phase="")
        known = self._prepared.get(of_any_phase)
        if known is None:
            # Implementations of another batch size are not needed again: the cells come in groups.
            group = dataclasses.replace(of_any_phase, implementation="")
            self._prepared = {
                other: each
                for other, each in self._prepared.items()
                if dataclasses.replace(other, implementation="") == group
            }
            try:
                with guard(cell):
                    known = self._prepare(cell)
            except CellError as error:
                known = error
            self._prepared[of_any_phase] = known
        if isinstance(known, CellError):
            raise known
        return known

    def load(self, name: str, ranks: int = 1) -> type[impls.Implementation]:
        """The implementation's class; adds its facts to the record."""
        implementation_class = load(name, ranks)
        if name not in self.facts:
            self.facts[name] = facts(implementation_class)
        return implementation_class

    def _prepare(self, cell: Cell) -> Prepared:
        implementation_class = self.load(cell.implementation, cell.ranks)
        problem = self.problem(cell.workload, cell.batch_size)
        try:
            impls.held(problem, cell.dtype)
        except ValueError as error:  # no implementation sees a problem that overflows in its dtype
            raise CellError("unsupported", str(error)) from error
        return verified(implementation_class, problem, cell)

    def _check_prediction(self, cell: Cell) -> None:
        if cell in self.affordable:
            return
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
        """Times of one call at small batches, for a prediction before anything is measured.

        One sample a rank is enough if the cell is not too slow even if every sample takes as long.
        """
        implementation_class = self.load(cell.implementation, cell.ranks)
        found: dict[int, float] = {}
        for m in (cell.ranks, 4 * cell.ranks):
            if (
                found
                and found[cell.ranks] * cell.batch_size / cell.ranks * CALLS_OF_A_CELL <= CELL_LIMIT_SECONDS
            ):
                break
            implementation = implementation_class(
                workloads.problem(self.workloads[cell.workload], m), cell.dtype, cell.threads
            )
            self._compiled[cell] = max(implementation.compile_seconds, self._compiled.get(cell, 0.0))
            found[m] = clock.settle(method(implementation, cell.phase, self.training(cell)))
        return found

    def _timed(self, cell: Cell, prepared: Prepared) -> race_file.Measurement:
        refuse_instruments()
        subject, rounds = prepared.subject, []
        call = method(subject.implementation, cell.phase, self.training(cell))
        seconds = clock.settle(subject.step if cell.phase == "step" else call)
        plan = clock.plan(seconds, at_once=hasattr(subject.implementation, "repeat"))
        audit = Audit(subject, cell, plan, self._draw)
        audit.lead()
        compiled = self._compilations.count()
        try:
            for number, taken in enumerate(self.moments.rounds(audit.rounds, audit.take, audit.lead)):
                if taken.seconds <= 0:  # no implementation is accused of what the clock does
                    raise CellError("failed", "the clock stood still or stepped back in this cell")
                if audit.is_recorded(number):
                    rounds.append(taken)
                if number in audit.drawn:
                    self._check_around(cell)  # what a call replaces, the next one may put back
                audit.after(number, taken.seconds)
        except AuditError as error:
            found_out = CellError("wrong", f"{cell.implementation}: {error}")
            self._prepared[dataclasses.replace(cell, phase="")] = found_out  # it is wrong in every phase
            raise found_out from error
        finally:
            self.audit_seconds += audit.seconds
        self._check_around(cell)
        if self._compilations.count() != compiled:
            raise CellError("failed", f"{cell.implementation} compiled something inside the clock")
        found = self.timed(cell, prepared, rounds, plan.iterations)
        found = dataclasses.replace(found, **communication(subject.implementation, cell, plan.iterations))
        flops = costs.flops(self.workloads[cell.workload].network, cell.phase, cell.batch_size)
        return self._ceiling.held(dataclasses.replace(found, judged=tuple(audit.judged)), flops)

    def _check_around(self, cell: Cell) -> None:
        if changed := impls.changed(self._around):
            raise CellError("wrong", f"{cell.implementation} changed {', '.join(changed[:5])}")

    def timed(
        self, cell: Cell, prepared: Prepared, rounds: Sequence[Round], iterations: int
    ) -> race_file.Measurement:
        """The measurement of a timed cell: its undisturbed rounds if there are enough, otherwise all."""
        undisturbed = [each for each in rounds if self.moments.undisturbed(each.probe)]
        enough = len(undisturbed) >= UNDISTURBED_ROUNDS
        self.disturbed += not enough
        kept = undisturbed if enough else rounds
        fastest = min(each.seconds for each in kept)
        self.fastest[cell] = fastest
        network, training = self.workloads[cell.workload].network, self.training(cell)
        itemsize = 4 if cell.dtype == "float32" else 8
        # What was compiled to predict the cell's time, its construction found compiled.
        compiled = prepared.subject.implementation.compile_seconds
        earlier = max(0.0, self._compiled.get(cell, 0.0) - compiled)
        return race_file.Measurement(
            **dataclasses.asdict(cell),
            process=0,
            status="measured",
            seconds=tuple(each.seconds for each in kept),
            probe=statistics.median(each.probe for each in kept),
            iterations=iterations,
            construct_seconds=prepared.construct_seconds + earlier,
            compile_seconds=compiled + earlier,
            flops=costs.flops(network, cell.phase, cell.batch_size),
            bytes=costs.traffic(network, cell.phase, cell.batch_size, itemsize, training),
            error_of_bound=prepared.verdict.error_of_bound,
            error_ulp=prepared.verdict.error_ulp,
            error_ulp_median=prepared.verdict.error_ulp_median,
            bound_of_norm=prepared.verdict.bound_of_norm,
        )

    def process(self, seed: int, calibrate: bool = True) -> race_file.Process:
        """The record of this process at its end; with `calibrate`, the speed of the machine as well."""
        # The rest of the cells' wait budget is not spent here: a race ends with its budget.
        self.moments.wait_budget = min(self.moments.wait_budget, WAIT_SECONDS[0])
        calibrated = calibration.calibrate(self.moments.wait) if calibrate else {}
        warnings = [*self._watch.warnings(), *clock_warnings(self.measurements, calibrated.get("call", 0.0))]
        if self.disturbed > NOISY * len(self.fastest):
            warnings.append(
                f"more than {NOISY:.0%} of the cells found no undisturbed moment: something else kept "
                "slowing the machine down; race later or elsewhere"
            )
        return race_file.Process(
            seed=seed,
            audit_seed=self.audit_seed,
            audit_seconds=self.audit_seconds,
            started=self._started.isoformat(),
            seconds=time.perf_counter() - self._start,
            threads_in_force=threads_in_force(),
            cpus=cpus(),
            load_average=self._watch.load,
            calibration={**calibrated, "probe": self.moments.fastest},
            warnings=tuple(warnings),
            waited=self.moments.waited,
        )


def verified(
    implementation_class: type[impls.Implementation], problem: impls.Problem, cell: Cell
) -> Prepared:
    """An implementation of the cell's problem that has passed the referee; raises CellError."""
    start = time.perf_counter()
    implementation = implementation_class(problem, dtype=cell.dtype, threads=cell.threads)
    construct_seconds = time.perf_counter() - start
    verdict = impls.check(implementation, problem, cell.dtype)
    if not verdict.passed:
        raise CellError("wrong", f"{cell.implementation}: {verdict.message}")
    subject = Subject(implementation, problem, cell.dtype)
    # The steps of the check: two if an optimizer keeps something from one step to the next.
    subject.steps = 2 if impls.OPTIMIZERS[problem.training.optimizer] else 1
    return Prepared(subject, construct_seconds, verdict)


def communication(implementation: Any, cell: Cell, iterations: int) -> dict[str, Any]:
    """The fields of a `Measurement` on ranks: the time without communication, and those of sums."""
    if cell.ranks == 1:
        return {}
    seconds = implementation.allreduces(ALLREDUCES)
    found: dict[str, Any] = {"allreduces": tuple(zip(ALLREDUCES, seconds, strict=True))}
    if cell.phase == "gradients":
        alone = [
            clock.seconds_of(implementation.gradients_alone, iterations) / iterations
            for _ in range(ALONE_ROUNDS)
        ]
        implementation.gradients()  # the gradients of all ranks again
        found["alone_seconds"] = min(alone)
    return found


def clock_warnings(measurements: Iterable[race_file.Measurement], call: float) -> Iterator[str]:
    """The warnings that follow from the times; `call` is the seconds of an empty call."""
    timed = [m for m in measurements if m.seconds]
    wide = [m for m in timed if np.ptp(np.quantile(m.seconds, (0.25, 0.75))) > WIDE * m.fastest]
    if len(wide) > NOISY * len(timed):
        yield (
            f"the rounds of more than {NOISY:.0%} of the cells spread widely (quartiles {WIDE:.0%} apart): "
            "the machine is busy or throttled; race longer, later or elsewhere"
        )
    for name in dict.fromkeys(m.implementation for m in timed if call > OWN_COST * m.fastest):
        yield f"the call itself is more than {OWN_COST:.0%} of the time of {name} in its shortest cells"


@contextlib.contextmanager
def guard(cell: Cell) -> Iterator[None]:
    """A block in which any exception of an implementation becomes a CellError of its cell."""
    try:
        yield
    except CellError:
        raise
    except impls.Unsupported as error:
        raise CellError("unsupported", str(error)) from error
    except impls.Unavailable as error:  # facts that only its own process knows
        raise CellError("unavailable", str(error)) from error
    except (Exception, SystemExit) as error:  # an implementation may be anybody's code
        raise CellError("failed", f"{cell.implementation}: {type(error).__name__}: {error}") from error


def refuse_instruments() -> None:
    """Raise CellError if something watches every step of this process."""
    if watching := instruments.active():
        raise CellError("failed", watching)


def load(name: str, ranks: int = 1) -> type[impls.Implementation]:
    """The implementation's class; raises CellError if it cannot be had."""
    for library, variable in JUST_IN_TIME.items():
        if name.startswith(library) and os.environ.get(variable, "0") not in ("", "0"):
            reason = f"{variable} is set, so that {library} compiles nothing: unset it"
            raise CellError("unavailable", f"{name}: {reason}")
    try:
        return impls.load(name, ranks)
    except impls.Unavailable as error:
        raise CellError("unavailable", str(error)) from error


def facts(implementation: type[impls.Implementation]) -> race_file.Facts:
    """An implementation's line of the fairness sheet, with its source."""
    module = sys.modules[implementation.__module__]
    source = getattr(implementation, "source", None) or inspect.getsource(module)
    interpreter, _, version = getattr(implementation, "interpreter", "").partition(" ")
    # An implementation in another process needs the packages of that process.
    needed = frozenset() if interpreter else packages.needed(implementation.__module__)
    return race_file.Facts(
        idea=implementation.idea,
        differs_from=implementation.differs_from,
        dtypes=tuple(implementation.dtypes),
        same_order=implementation.same_order,
        fast_math=implementation.fast_math,
        layout=implementation.layout,
        lines_of_code=impls.lines_of_code(source),
        versions={interpreter: version} if interpreter else packages.versions(needed),
        install_bytes=packages.installed_bytes(needed) if needed else None,
        source=source,
    )
