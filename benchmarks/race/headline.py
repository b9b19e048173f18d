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

from benchmarks import workloads
from benchmarks.measure.process import ProcessError, Silent, ask
from benchmarks.race import report
from benchmarks.race.messages import PROCESSES, Experiment, Train, Trained
from benchmarks.record import checkout, machine, race_file
from benchmarks.record.cells import Status

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
        timeout = TIMEOUT_SECONDS + 2 * experiment.budget
        order = Train(name, experiment)
        answer = ask("benchmarks.race.steps:serve", order, Trained, timeout, experiment.threads)
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
        settings={
            "implementations": tuple(names),
            **dataclasses.asdict(experiment),
            **checkout.described(),
            **machine.variables(),
        },
        workloads={experiment.workload: workloads.named(experiment.workload).described()},
        implementations={f.measurement.implementation: f.facts for f in found if f.facts},
        processes=tuple(f.process for f in found),
        measurements=tuple(f.measurement for f in found),
    )


def main(
    names: Sequence[str], experiment: Experiment, path: Path, command: str
) -> list[race_file.Measurement]:
    """Run the experiment, write its record and print its report; what there is so far is kept beside it."""
    partial = race_file.partial_of(path)
    found = []
    # Lines, and nothing that moves: the processes are to have the machine for themselves.
    print(f"{names[0]} ...", file=sys.stderr)
    for each in findings(names, experiment):
        found.append(each)
        race_file.write(record(found, experiment, names, command), partial)
        done = each.measurement
        took = f"{each.process.seconds:.3g} s"
        lost = f"{done.status}: {done.reason}"
        print(f"{done.implementation}: {took if done.status == 'measured' else lost}", file=sys.stderr)
    race_file.write(record(found, experiment, names, command), path)
    partial.unlink()
    print(report.render(path))
    return [each.measurement for each in found]
