"""One process of a pair, which runs in the worktree of its side and does what it is ordered to.

It prepares the benchmarks that it is given, and then times one of them in each of its turns. Between its
turns it sleeps, while the other process of the pair has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure.process import Message, Parent
from benchmarks.record.pairs_file import Benchmark
from benchmarks.record.race_file import Status

Call = Callable[[], Any]


class Order(Message):
    """What a process is to do."""


class ListBenchmarks(Order):
    """Name the benchmarks of these implementations; answered by `Catalogue`."""

    implementations: tuple[str, ...]


class Prepare(Order):
    """Get ready to time these benchmarks; answered by a `Preparing` each, one without a name, and `Ready`."""

    benchmarks: tuple[Benchmark, ...]
    verify: bool


class Settle(Order):
    """Warm a benchmark up; answered by `Timed`."""

    benchmark: str


class Time(Order):
    """Take a turn of so many calls on a benchmark; answered by `Timed`."""

    benchmark: str
    iterations: int


class Answer(Message):
    """What has been done."""


class Catalogue(Answer):
    """What there is to measure, controls last."""

    benchmarks: tuple[Benchmark, ...]


class Preparing(Answer):
    """The benchmark that the process turns to now; None for what no benchmark is to blame for."""

    benchmark: str | None


class Ready(Answer):
    """What a process that holds one CPU runs on, the benchmarks that it lost (status and reason), and the
    folder that its implementations are from.
    """

    machine: dict[str, Any]
    versions: dict[str, str]
    threads_in_force: dict[str, int]
    lost: dict[str, tuple[Status, str]]
    source: str


class Timed(Answer):
    """Seconds of one call."""

    seconds: float


def serve(parent: Parent) -> None:
    """Do what is ordered until there are no more orders."""
    from benchmarks.gate import watched
    from benchmarks.measure import clock

    calls: dict[str, Call] = {}
    while order := parent.receive(Order):
        if isinstance(order, ListBenchmarks):
            parent.send(Catalogue((*watched.gated(order.implementations), *watched.STEADY)))
        elif isinstance(order, Prepare):
            parent.send(prepare_all(parent, order, calls))
        elif isinstance(order, Settle):
            parent.send(Timed(clock.settle(calls[order.benchmark])))
        elif isinstance(order, Time):
            call = calls[order.benchmark]
            call()  # fetches back what the other process pushed out of the caches
            parent.send(Timed(clock.seconds_of(call, order.iterations) / order.iterations))


def prepare_all(parent: Parent, order: Prepare, calls: dict[str, Call]) -> Ready:
    """Fill `calls`; then, as nothing is compiled any more, take one CPU and keep it."""
    import impls
    from benchmarks.measure.session import CellError
    from benchmarks.measure.threads import limit_threads, threads_in_force
    from benchmarks.record import machine

    # Before any implementation brings a BLAS of its own: later pairs measure fewer of them, and must record
    # the same.
    versions = machine.versions()
    lost = {}
    for benchmark in order.benchmarks:
        parent.send(Preparing(benchmark.name))
        try:
            calls[benchmark.name] = prepare(benchmark, order.verify)
        except CellError as error:
            lost[benchmark.name] = (error.status, error.reason)
    parent.send(Preparing(None))
    limit_threads(1)
    return Ready(
        machine=machine.machine(),
        versions=versions,
        threads_in_force=threads_in_force(),
        lost=lost,
        source=str(Path(str(impls.__file__)).resolve().parents[1]),
    )


def prepare(benchmark: Benchmark, verify: bool) -> Call:
    """The call that a benchmark times; raises CellError, with the reason, where there is none."""
    from benchmarks import workloads
    from benchmarks.gate.controls import CONTROLS
    from benchmarks.measure.session import CellError, guard, method
    from benchmarks.record.cells import Cell
    from benchmarks.record.pairs_file import CONTROL
    from impls import Unavailable, check, load

    if benchmark.implementation == CONTROL:
        return CONTROLS[benchmark.phase]()
    cell = Cell(**dataclasses.asdict(benchmark), threads=1)
    with guard(cell):
        try:
            implementation = load(cell.implementation)
        except (Unavailable, ValueError) as error:  # ValueError: a name that this commit does not know
            raise CellError("unavailable", str(error)) from error
        problem = workloads.problem(workloads.named(cell.workload), cell.batch_size)
        if verify:
            verdict = check(implementation(problem, cell.dtype, 1), problem, cell.dtype)
            if not verdict.passed:
                raise CellError("wrong", verdict.message)
        return method(implementation(problem, cell.dtype, 1), cell.phase)
