"""The article's experiment: so many steps of gradient descent on the digits, by every implementation.

An implementation whose steps fit its budget runs them all, in one process. Of another a sample is measured in
several fresh processes, and the whole is projected from it, with an interval over the processes.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich.console
import rich.table

from benchmarks import workloads
from benchmarks.measure.process import Process, ProcessError, Silent
from benchmarks.race import report
from benchmarks.race.messages import PROCESSES, Answer, Experiment, Train, Trained
from benchmarks.record import checkout, machine, race_file
from benchmarks.record.cells import Status
from benchmarks.record.statistics import total

TIMEOUT_SECONDS = 600.0
"""What a process may take beyond twice its budget, to construct, verify and warm up."""


def in_full(measurement: race_file.Measurement, steps: int) -> bool:
    """Whether every step was run, so that nothing is projected."""
    return len(measurement.seconds) * measurement.iterations >= steps


def findings(names: Sequence[str], experiment: Experiment) -> Iterator[Trained]:
    """Every implementation's: one of a run in full, several to project from."""
    process = 0
    for name in names:
        for _ in range(PROCESSES):
            found = _run(name, experiment)
            measurement = dataclasses.replace(found.measurement, process=process)
            process += 1
            yield Trained(measurement, found.process, found.facts)
            if measurement.status != "measured" or in_full(measurement, experiment.steps):
                break


def _run(name: str, experiment: Experiment) -> Trained:
    """What a fresh process found; one that ends or hangs costs its implementation alone."""
    started = datetime.datetime.now(datetime.UTC)
    status: Status = "failed"
    try:
        with Process("benchmarks.race.steps:serve", experiment.threads) as process:
            process.send(Train(name, experiment))
            answer = process.receive(Answer, TIMEOUT_SECONDS + 2 * experiment.budget)
        assert isinstance(answer, Trained)
    except ProcessError as error:
        status = "timed out" if isinstance(error, Silent) else "failed"
        cell = dataclasses.asdict(experiment.cell(name))
        answer = Trained(
            race_file.Measurement(**cell, process=0, status=status, reason=f"{name}: {error}"),
            race_file.Process(seed=0, started=started.isoformat(), seconds=0.0),
        )
    return answer


def record(
    found: Sequence[Trained], experiment: Experiment, names: Sequence[str], command: str
) -> race_file.Record:
    """The experiment as a record: measurements of the phase "headline", whose seconds are those of a step."""
    return race_file.Record(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        command=command,
        machine=machine.machine(),
        versions=machine.versions(),
        settings={"implementations": tuple(names), **dataclasses.asdict(experiment), **checkout.described()},
        workloads={experiment.workload: workloads.named(experiment.workload).described()},
        implementations={f.measurement.implementation: f.facts for f in found if f.facts},
        processes=tuple(f.process for f in found),
        measurements=tuple(f.measurement for f in found),
    )


def clock_time(seconds: float) -> str:
    """A time in hours, minutes and seconds: 9 h 12 min, 1 min 3 s, 4.21 s."""
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    if round(seconds) < 3600:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    return "{} h {} min".format(*divmod(round(seconds / 60), 60))


def main(
    names: Sequence[str], experiment: Experiment, path: Path, command: str
) -> list[race_file.Measurement]:
    """Run the experiment, print its table, write its record; what there is so far is kept beside it."""
    partial = race_file.partial_of(path)
    found = []
    # Lines, and nothing that moves: the processes are to have the machine for themselves.
    print(f"{names[0]} ...", file=sys.stderr)
    for each in findings(names, experiment):
        found.append(each)
        race_file.write(record(found, experiment, names, command), partial)
        print(f"{each.measurement.implementation}: {each.process.seconds:.3g} s", file=sys.stderr)
    partial.replace(path)
    measurements = [each.measurement for each in found]
    rich.console.Console().print(table(measurements, experiment))
    print(report.render(path))
    return measurements


def table(measurements: Sequence[race_file.Measurement], experiment: Experiment) -> rich.table.Table:
    """What the steps took every implementation, by which factor it beats the slowest, and how known."""
    by_name: dict[str, list[race_file.Measurement]] = {}
    for measurement in measurements:
        by_name.setdefault(measurement.implementation, []).append(measurement)
    title = f"{experiment.steps:,} steps of {experiment.batch_size} samples ({experiment.workload})"
    shown = rich.table.Table("implementation", "time", "factor", "how", title=title)
    measured = {
        name: total(of_it, experiment.steps)
        for name, of_it in by_name.items()
        if all(m.status == "measured" for m in of_it)
    }
    slowest = max((each.mean for each in measured.values()), default=1.0)
    for name, of_it in by_name.items():
        if name not in measured:
            shown.add_row(name, "", "", f"{of_it[-1].status}: {of_it[-1].reason}")
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
        shown.add_row(name, clock_time(taken.mean), f"{factor:,.10g}x", how)
    return shown
