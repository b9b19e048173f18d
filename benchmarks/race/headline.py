"""The article's experiment: a number of training steps on the digits, by every implementation.

An implementation whose steps fit its budget runs them all, in one process. For any other one, several fresh
processes measure a sample, from which the whole is projected, with an interval over the processes.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import impls
from benchmarks import workloads
from benchmarks.measure.process import ProcessError, PythonProcess, Silent
from benchmarks.race import losses, report
from benchmarks.race.messages import PROCESSES, Experiment, Train, Trained
from benchmarks.record import checkout, machine, race_file
from benchmarks.record.cells import Status
from benchmarks.record.merging import check_source, must_agree

SERVE = "benchmarks.race.steps:serve"
"""The name of the function that answers orders to train: this process loads nothing that computes."""

TIMEOUT_SECONDS = 600.0
"""The seconds that a process may take beyond twice its budget, to construct, verify and warm up."""


def in_full(measurement: race_file.Measurement, steps: int) -> bool:
    """Whether every step was run, so that nothing is projected."""
    return len(measurement.seconds) * measurement.iterations >= steps


def findings(
    names: Sequence[str], experiments: Sequence[Experiment], kept: Sequence[Trained] = ()
) -> Iterator[Trained]:
    """Yield the results that `kept` lacks: for each order one full run, or several samples."""
    process = len(kept)
    facts = {each.measurement.implementation: each.facts for each in kept}
    for order in orders(names, experiments):
        name, experiment = order.name, order.experiment
        of_it = [each.measurement for each in kept if each.measurement.cell == experiment.cell(name)]
        while not _enough(of_it, experiment.steps):
            [found] = answers([order])
            if (known := facts.get(name)) and found.facts:
                check_source(name, known, found.facts)
            of_it.append(dataclasses.replace(found.measurement, process=process))
            process += 1
            yield Trained(of_it[-1], found.process, found.facts)


def _enough(of_it: Sequence[race_file.Measurement], steps: int) -> bool:
    """Whether an implementation needs no further process."""
    if not of_it or len(of_it) == PROCESSES:
        return bool(of_it)
    return of_it[-1].status != "measured" or in_full(of_it[-1], steps)


def earlier(path: Path, experiments: Sequence[Experiment], names: Sequence[str]) -> list[Trained]:
    """The results of an interrupted headline with the record at `path`.

    Raises ValueError if there are none, or if they are of another experiment or machine.
    """
    partial = race_file.partial_of(path)
    if not partial.exists():
        raise ValueError(
            f"--resume: expected an interrupted headline at {partial}, found none; run it without --resume"
        )
    kept = race_file.read(partial)
    now = record((), experiments, names, "")
    must_agree("settings", kept.settings, now.settings)
    must_agree("machine", kept.machine, now.machine)
    must_agree("versions", kept.versions, now.versions)
    return [
        Trained(m, kept.processes[m.process], kept.implementations.get(m.implementation))
        for m in kept.measurements
    ]


def orders(names: Sequence[str], experiments: Sequence[Experiment]) -> list[Train]:
    """The orders of all implementations and experiments; without ranks, one for each workload and seed."""
    found: dict[tuple[str, Experiment], Train] = {}
    for experiment, name in itertools.product(experiments, names):
        own = experiment if impls.takes_ranks(name) else dataclasses.replace(experiment, ranks=1)
        found[name, own] = Train(name, own, own.ranks)
    return list(found.values())


def answers(orders: Sequence[Train]) -> Iterator[Trained]:
    """Yield the answers of a fresh process to the orders, until it has answered all or is lost.

    An order at which it ends or hangs is recorded as lost.
    """
    with PythonProcess(SERVE, orders[0].experiment.threads) as process:
        for order in orders:
            experiment = order.experiment
            started = datetime.datetime.now(datetime.UTC)
            try:
                process.send(order)
                yield process.receive(Trained, TIMEOUT_SECONDS + 2 * experiment.budget)
            except ProcessError as error:
                status: Status = "timed out" if isinstance(error, Silent) else "failed"
                cell, reason = experiment.cell(order.name), f"{order.name}: {error}"
                yield Trained(
                    race_file.Measurement.without_times(cell, status, reason),
                    race_file.Process(seed=experiment.seed, started=started.isoformat(), seconds=0.0),
                )
                return


def record(
    found: Sequence[Trained], experiments: Sequence[Experiment], names: Sequence[str], command: str
) -> race_file.Record:
    """The experiments, which differ in workload, seed and ranks, as a record of the seconds of a step."""
    known = {experiment.workload: workloads.named(experiment.workload) for experiment in experiments}
    settings = dataclasses.asdict(experiments[0])
    for name in ("workload", "seed", "ranks", "learning_rate"):
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
            "ranks": tuple(dict.fromkeys(experiment.ranks for experiment in experiments)),
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
    """Each process once, with the seconds of all its orders."""
    kept: dict[int, race_file.Process] = {}
    for each in found:
        number, process = each.measurement.process, each.process
        if number in kept:
            process = dataclasses.replace(kept[number], seconds=kept[number].seconds + process.seconds)
        kept[number] = process
    return tuple(kept.values())


def keep(
    findings: Iterable[Trained],
    names: Sequence[str],
    experiments: Sequence[Experiment],
    path: Path,
    command: str,
    kept: Sequence[Trained] = (),
) -> list[race_file.Measurement]:
    """Write the record of the `kept` and the new results, and print its report. Partial results are written
    beside it. The losses are compared at the end, when all are known.

    No record is written if nothing was measured.
    """
    partial = race_file.partial_of(path)
    found = list(kept)
    # Lines instead of a progress bar, which would use the CPU while a process measures.
    print(f"{names[0]} ...", file=sys.stderr)
    for each in findings:
        found.append(each)
        race_file.write(record(found, experiments, names, command), partial)
        done = each.measurement
        words = [f"seed {each.process.seed}"] * (experiments[0].seed != experiments[-1].seed)
        words += [done.workload] * (experiments[0].workload != experiments[-1].workload)
        words += [done.implementation, *([f"{done.ranks} ranks"] if done.ranks > 1 else [])]
        took = f"{each.process.seconds:.3g} s"
        came = took if done.status == "measured" else f"{done.status}: {done.reason}"
        print(f"{', '.join(words)}: {came}", file=sys.stderr)
    partial.unlink(missing_ok=True)
    held = losses.held([each.measurement for each in found], [each.process.seed for each in found])
    found = [Trained(each, of.process, of.facts) for each, of in zip(held, found, strict=True)]
    measurements = [each.measurement for each in found]
    if any(m.status == "measured" for m in measurements):
        race_file.write(record(found, experiments, names, command), path)
        print(report.draw("render", path))
    return measurements
