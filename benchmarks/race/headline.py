"""The article's experiment: so many steps of training on the digits, by every implementation.

An implementation whose steps fit its budget runs them all, in one process. Of another a sample is measured in
several fresh processes, and the whole is projected from it, with an interval over the processes.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import workloads
from benchmarks.measure.process import ProcessError, Silent, ask
from benchmarks.race import report
from benchmarks.race.messages import PROCESSES, Experiment, Train, Trained
from benchmarks.record import checkout, machine, race_file
from benchmarks.record.cells import Status

SERVE = "benchmarks.race.steps:serve"
"""Whom an order to train goes to; by its name, since whoever orders loads nothing that computes."""

TIMEOUT_SECONDS = 600.0
"""What a process may take beyond twice its budget, to construct, verify and warm up."""


def in_full(measurement: race_file.Measurement, steps: int) -> bool:
    """Whether every step was run, so that nothing is projected."""
    return len(measurement.seconds) * measurement.iterations >= steps


def findings(names: Sequence[str], experiments: Sequence[Experiment]) -> Iterator[Trained]:
    """Every implementation's in every experiment: one of a run in full, several to project from."""
    process = 0
    for experiment, name in itertools.product(experiments, names):
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
    try:
        order = Train(name, experiment)
        return ask(SERVE, order, Trained, timeout(experiment), experiment.threads)
    except ProcessError as error:
        return lost(order, started, error)


def timeout(experiment: Experiment) -> float:
    """The seconds that a process may take for the experiment."""
    return TIMEOUT_SECONDS + 2 * experiment.budget


def lost(order: Train, started: datetime.datetime, error: ProcessError) -> Trained:
    """What is put on record of an order that a process did not answer."""
    status: Status = "timed out" if isinstance(error, Silent) else "failed"
    cell = dataclasses.asdict(order.experiment.cell(order.name))
    return Trained(
        race_file.Measurement(**cell, process=0, status=status, reason=f"{order.name}: {error}"),
        race_file.Process(seed=order.experiment.seed, started=started.isoformat(), seconds=0.0),
    )


def record(
    found: Sequence[Trained], experiments: Sequence[Experiment], names: Sequence[str], command: str
) -> race_file.Record:
    """The experiments, which differ in workload and seed, as a record: the seconds are those of a step."""
    known = {experiment.workload: workloads.named(experiment.workload) for experiment in experiments}
    settings = dataclasses.asdict(experiments[0])
    for name in ("workload", "seed", "learning_rate"):
        del settings[name]
    rates = {name: experiments[0].learning_rate or workload.rate for name, workload in known.items()}
    return race_file.Record(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        command=command,
        machine=machine.machine(),
        versions=machine.versions(),
        settings={
            "implementations": tuple(names),
            "workloads": tuple(known),
            "seeds": tuple(dict.fromkeys(experiment.seed for experiment in experiments)),
            "learning_rates": rates,
            **settings,
            **checkout.described(),
            **machine.variables(),
        },
        workloads={name: workload.described() for name, workload in known.items()},
        implementations={f.measurement.implementation: f.facts for f in found if f.facts},
        processes=_processes(found),
        measurements=tuple(f.measurement for f in found),
    )


def _processes(found: Sequence[Trained]) -> tuple[race_file.Process, ...]:
    """Each once, with the seconds of all its orders."""
    kept: dict[int, race_file.Process] = {}
    for each in found:
        number, process = each.measurement.process, each.process
        if number in kept:
            process = dataclasses.replace(kept[number], seconds=kept[number].seconds + process.seconds)
        kept[number] = process
    return tuple(kept.values())


def main(
    names: Sequence[str], experiments: Sequence[Experiment], path: Path, command: str
) -> list[race_file.Measurement]:
    """Run the experiments, write their record and print its report."""
    return keep(findings(names, experiments), names, experiments, path, command)


def keep(
    findings: Iterable[Trained],
    names: Sequence[str],
    experiments: Sequence[Experiment],
    path: Path,
    command: str,
) -> list[race_file.Measurement]:
    """Write the record of what is found, and print its report; what there is so far is kept beside it.

    Where nothing was measured there is no record.
    """
    partial = race_file.partial_of(path)
    found = []
    # Lines, and nothing that moves: the processes are to have the machine for themselves.
    print(f"{names[0]} ...", file=sys.stderr)
    for each in findings:
        found.append(each)
        race_file.write(record(found, experiments, names, command), partial)
        done = each.measurement
        words = [f"seed {each.process.seed}"] * (experiments[0].seed != experiments[-1].seed)
        words += [done.workload] * (experiments[0].workload != experiments[-1].workload)
        took = f"{each.process.seconds:.3g} s"
        came = took if done.status == "measured" else f"{done.status}: {done.reason}"
        print(f"{', '.join([*words, done.implementation])}: {came}", file=sys.stderr)
    partial.unlink()
    measurements = [each.measurement for each in found]
    if any(m.status == "measured" for m in measurements):
        race_file.write(record(found, experiments, names, command), path)
        print(report.render(path))
    return measurements
