"""One process of a pair, which runs in the worktree of its side and does what it is ordered to.

It prepares the benchmarks that it is given, and then times one of them in each of its turns. Between its
turns it sleeps, while the other process of the pair has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import impls
from benchmarks import workloads
from benchmarks.gate import watched
from benchmarks.gate.controls import CONTROLS
from benchmarks.gate.messages import (
    Catalogue,
    ListBenchmarks,
    PairOrder,
    Prepare,
    Preparing,
    Ready,
    Settle,
    TakeTurn,
    Timed,
)
from benchmarks.measure import clock
from benchmarks.measure.audit import method
from benchmarks.measure.process import Parent
from benchmarks.measure.session import CellError, guard, load, refuse_instruments
from benchmarks.measure.threads import limit_threads, threads_in_force
from benchmarks.record import machine
from benchmarks.record.cells import Cell
from benchmarks.record.pairs_file import CONTROL, Benchmark

Call = Callable[[], Any]


def serve(parent: Parent) -> None:
    """Do what is ordered until there are no more orders."""
    calls: dict[str, Call] = {}
    while order := parent.receive(PairOrder):
        match order:
            case ListBenchmarks(implementations):
                parent.send(Catalogue((*watched.gated(implementations), *watched.STEADY)))
            case Prepare():
                parent.send(prepare_all(parent, order, calls))
            case Settle(name):
                parent.send(Timed(clock.settle(calls[name])))
            case TakeTurn(name, iterations):
                calls[name]()  # fetches back what the other process pushed out of the caches
                parent.send(Timed(clock.seconds_of(calls[name], iterations) / iterations))


def prepare_all(parent: Parent, order: Prepare, calls: dict[str, Call]) -> Ready:
    """Fill `calls`; then, as nothing is compiled any more, take one CPU and keep it."""
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
    refuse_instruments()
    if benchmark.implementation == CONTROL:
        return CONTROLS[benchmark.phase]()
    cell = Cell(**dataclasses.asdict(benchmark), threads=1)
    with guard(cell):
        try:
            implementation = load(cell.implementation)
        except ValueError as error:  # a name that this commit does not know
            raise CellError("unavailable", str(error)) from error
        problem = workloads.problem(workloads.named(cell.workload), cell.batch_size)
        if verify:
            verdict = impls.check(implementation(problem, cell.dtype, 1), problem, cell.dtype)
            if not verdict.passed:
                raise CellError("wrong", verdict.message)
        return method(implementation(problem, cell.dtype, 1), cell.phase, problem.training)
