"""The article's experiment: so many steps of gradient descent on the digits, by every implementation.

An implementation whose steps fit its budget runs them all, in one process. Of another a sample is measured in
several fresh processes, and the whole is projected from it, with an interval over the processes.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import impls
from benchmarks import workloads
from benchmarks.measure import clock, environment, isolation, session
from benchmarks.race import report
from benchmarks.record import checkout, race_file
from benchmarks.record.cells import Cell
from benchmarks.record.statistics import total

PHASE = "headline"

PROCESSES = 5
"""Fresh processes that a projection is made from."""

CHECKED_STEPS = 3
"""What an implementation's own loop of steps is held against its steps by, bit for bit."""

ROUNDS = 100
"""A run in full is put on record in so many rounds, at most."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What every implementation has to do."""

    steps: int
    batch_size: int
    workload: str
    dtype: str
    threads: int
    budget: float


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one process found of one implementation."""

    measurement: race_file.Measurement
    process: race_file.Process
    facts: race_file.Facts | None


def rounds(steps: int, call_seconds: float, budget: float) -> clock.Plan:
    """All the steps, where they fit the budget in seconds; else as many as fill one process's share of it."""
    if steps * call_seconds <= budget:
        number = max(k for k in range(1, ROUNDS + 1) if steps % k == 0)
        return clock.Plan(number, steps // number)
    iterations = max(1, round(clock.CELL_SECONDS / call_seconds))
    number = round(budget / PROCESSES / (call_seconds * iterations))
    return clock.Plan(min(max(number, clock.ROUNDS[0]), ROUNDS), iterations)


def run(name: str, experiment: Experiment, process: int) -> Finding:
    """One implementation in this process: verified, warmed up, and timed for all the steps or for a sample of
    them.
    """
    started = datetime.datetime.now(datetime.UTC)
    load = environment.load_average()
    start = time.perf_counter()
    cell = Cell(experiment.workload, PHASE, experiment.batch_size, experiment.dtype, experiment.threads, name)
    facts = None
    try:
        with session.guard(cell):
            implementation_class = session.load(name)
            facts = session.facts(implementation_class)
            measurement = _measure(implementation_class, cell, experiment, process)
    except session.CellError as error:
        measurement = race_file.Measurement(
            **dataclasses.asdict(cell), process=process, status=error.status, reason=error.reason
        )
    threads = environment.threads_in_force()
    return Finding(
        measurement,
        race_file.Process(
            seed=0,
            started=started.isoformat(),
            seconds=time.perf_counter() - start,
            threads_in_force=threads,
            cpus=environment.cpus(),
            load_average=load,
            warnings=tuple(environment.thread_warnings(threads, experiment.threads)),
        ),
        facts,
    )


def _measure(
    implementation_class: type[impls.Implementation], cell: Cell, experiment: Experiment, process: int
) -> race_file.Measurement:
    workload = workloads.named(cell.workload)
    problem = workloads.problem(workload, cell.batch_size)
    start = time.perf_counter()
    implementation = implementation_class(problem, dtype=cell.dtype, threads=cell.threads)
    construct_seconds = time.perf_counter() - start
    verdict = impls.check(implementation, problem, cell.dtype)
    if not verdict.passed:
        raise session.CellError("wrong", f"{cell.implementation}: {verdict.message}")
    _check_train(implementation_class, problem, cell, workload.learning_rate)
    implementation.train(1, workload.learning_rate)
    plan = rounds(
        experiment.steps,
        clock.settle(lambda: implementation.train(1, workload.learning_rate)),
        experiment.budget,
    )
    # From the start again: warming up took as many steps as it took.
    implementation = implementation_class(problem, dtype=cell.dtype, threads=cell.threads)
    seconds, losses = [], []
    for _ in range(plan.rounds):
        whole = clock.seconds_of(lambda: implementation.train(plan.iterations, workload.learning_rate), 1)
        seconds.append(whole / plan.iterations)
        losses.append(_loss(problem, implementation.export()))
        if not math.isfinite(losses[-1]):
            raise session.CellError("failed", f"{cell.implementation}: the loss became {losses[-1]}")
    return race_file.Measurement(
        **dataclasses.asdict(cell),
        process=process,
        status="measured",
        seconds=tuple(seconds),
        losses=tuple(losses),
        iterations=plan.iterations,
        construct_seconds=construct_seconds,
        compile_seconds=implementation.compile_seconds,
        error_of_bound=verdict.error_of_bound,
        error_ulp=verdict.error_ulp,
        error_ulp_median=verdict.error_ulp_median,
    )


def _check_train(
    implementation_class: type[impls.Implementation], problem: impls.Problem, cell: Cell, rate: float
) -> None:
    """The referee has judged the implementation's step; what is timed here is its train. Raises CellError."""
    trained, stepped = (
        implementation_class(problem, dtype=cell.dtype, threads=cell.threads) for _ in range(2)
    )
    trained.train(CHECKED_STEPS, rate)
    for _ in range(CHECKED_STEPS):
        stepped.step(rate)
    pairs = zip(impls.quantities(trained.export()), impls.quantities(stepped.export()), strict=True)
    for (what, one), (_, other) in pairs:
        if not np.array_equal(one, other):
            raise session.CellError(
                "wrong", f"{what}: expected train({CHECKED_STEPS}) to be as many steps, got other numbers"
            )


def _loss(problem: impls.Problem, trained: impls.Result) -> float:
    """J over all samples, whichever batch the last step was of; by `numpy`, for all alike."""
    whole = impls.Problem(
        problem.network, trained.weights, trained.biases, problem.X, problem.Y, problem.samples
    )
    judge = impls.load("numpy")(whole)
    judge.forward()
    return judge.export().loss


def in_full(measurement: race_file.Measurement, steps: int) -> bool:
    """Whether every step was run, so that nothing is projected."""
    return len(measurement.seconds) * measurement.iterations >= steps


def findings(names: tuple[str, ...], experiment: Experiment) -> Iterator[Finding]:
    """Every implementation's: one of a run in full, several to project from."""
    process = 0
    for name in names:
        for _ in range(PROCESSES):
            try:
                finding = isolation.fresh(run, name, experiment, process)
            except isolation.Died as death:
                finding = _crashed(name, experiment, process, f"{name}: {death}")
            process += 1
            yield finding
            if finding.measurement.status != "measured" or in_full(finding.measurement, experiment.steps):
                break


def _crashed(name: str, experiment: Experiment, process: int, reason: str) -> Finding:
    cell = Cell(experiment.workload, PHASE, experiment.batch_size, experiment.dtype, experiment.threads, name)
    return Finding(
        race_file.Measurement(**dataclasses.asdict(cell), process=process, status="failed", reason=reason),
        race_file.Process(seed=0, started=datetime.datetime.now(datetime.UTC).isoformat(), seconds=0.0),
        None,
    )


def record(
    found: list[Finding], experiment: Experiment, names: tuple[str, ...], command: str
) -> race_file.Record:
    """The experiment as a record: measurements of the phase "headline", whose seconds are those of a step."""
    return race_file.Record(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        command=command,
        machine=environment.machine(),
        versions=environment.versions(),
        settings={"implementations": names, **dataclasses.asdict(experiment), **checkout.described()},
        workloads={experiment.workload: workloads.named(experiment.workload).described()},
        implementations={f.measurement.implementation: f.facts for f in found if f.facts},
        processes=tuple(f.process for f in found),
        measurements=tuple(f.measurement for f in found),
    )


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds as a reader says them: 9 h 12 min, 1 min 3 s, 4.21 s."""
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    if round(seconds) < 3600:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    return "{} h {} min".format(*divmod(round(seconds / 60), 60))


def main(names: tuple[str, ...], experiment: Experiment, path: Path, command: str) -> None:
    """Run the experiment, print its table, write its record; what there is so far is kept beside it."""
    partial = race_file.partial_of(path)
    import rich.console
    import rich.table

    progress = rich.console.Console(stderr=True)
    found = []
    say: Callable[[str], None] = progress.print
    with progress.status("") as status:
        if progress.is_terminal:
            say = status.update
        say(f"{names[0]} ...")
        for finding in findings(names, experiment):
            found.append(finding)
            race_file.write(record(found, experiment, names, command), partial)
            say(f"{finding.measurement.implementation}: {finding.process.seconds:.3g} s")
    partial.replace(path)
    by_name: dict[str, list[race_file.Measurement]] = {name: [] for name in names}
    for finding in found:
        by_name[finding.measurement.implementation].append(finding.measurement)
    title = f"{experiment.steps:,} steps of {experiment.batch_size} samples ({experiment.workload})"
    table = rich.table.Table("implementation", "time", "factor", "how", title=title)
    measured = {
        name: total(of_it, experiment.steps)
        for name, of_it in by_name.items()
        if all(m.status == "measured" for m in of_it)
    }
    slowest = max((each.mean for each in measured.values()), default=1.0)
    for name, of_it in by_name.items():
        if name not in measured:
            table.add_row(name, "", "", f"{of_it[-1].status}: {of_it[-1].reason}")
            continue
        taken = measured[name]
        how = "run in full"
        if not in_full(of_it[0], experiment.steps):
            steps = sum(len(m.seconds) * m.iterations for m in of_it)
            how = (
                f"projected from {steps:,} steps in {len(of_it)} processes: "
                f"{clock_time(taken.low)} to {clock_time(taken.high)}"
            )
        factor = float(f"{slowest / taken.mean:.3g}")  # three digits, and thousands without an exponent
        table.add_row(name, clock_time(taken.mean), f"{factor:,.10g}x", how)
    rich.console.Console().print(table)
    print(report.render(path))
