"""The program of one process of a race, which measures cell by cell, as the conductor orders."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from benchmarks import workloads
from benchmarks.measure import memory
from benchmarks.measure.process import Parent
from benchmarks.measure.session import CellError, Session, guard, load
from benchmarks.measure.threads import limit_threads
from benchmarks.race import messages
from benchmarks.race.messages import WorkerOrder
from benchmarks.record import machine
from benchmarks.record.cells import Cell


def serve(parent: Parent) -> None:
    """Answer one order after the other, until there are no more."""
    begin = parent.receive(WorkerOrder)
    if not isinstance(begin, messages.Begin):
        return
    allowed = limit_threads(begin.threads, begin.ranks)
    known = {name: workloads.measured_on(described) for name, described in begin.workloads.items()}
    session = Session(known, begin.threads, allowed, begin.probe, begin.ranks)
    parent.send(messages.Begun(machine.machine(), machine.versions()))
    while order := parent.receive(WorkerOrder):
        match order:
            case messages.MeasureCell(cell, affordable):
                if affordable:
                    session.affordable.add(cell)
                parent.send(_measured(session, cell))
            case messages.Peak(cell):
                parent.send(_alone(peak, cell, known))
            case messages.Construct(cell):
                parent.send(_alone(construct, cell, known))
            case messages.End(seed, calibrate):
                parent.send(messages.Ended(session.process(seed, calibrate)))


def _measured(session: Session, cell: Cell) -> messages.Measured:
    known = set(session.facts)
    measurement = session.measure(cell)
    new = session.facts.keys() - known
    return messages.Measured(measurement, session.facts[cell.implementation] if new else None)


def _alone(
    what: Callable[[Cell, workloads.Workload], messages.WorkerAnswer],
    cell: Cell,
    known: Mapping[str, workloads.Workload],
) -> messages.WorkerAnswer:
    try:
        with guard(cell):
            return what(cell, known[cell.workload])
    except CellError as error:
        return messages.LostCell(error.reason)


def peak(cell: Cell, workload: workloads.Workload) -> messages.Peaked:
    """The peaks of a construction and of one `gradients()`, once the library is loaded and warm."""
    implementation_class = load(cell.implementation, cell.ranks)
    implementation_class(workloads.problem(workload, cell.ranks), cell.dtype, cell.threads).gradients()
    problem = workloads.problem(workload, cell.batch_size)
    implementation, constructed = memory.peak(lambda: implementation_class(problem, cell.dtype, cell.threads))
    _, gradients = memory.peak(implementation.gradients)
    itemsize = 4 if cell.dtype == "float32" else 8
    least = memory.least(workload.network, cell.batch_size, itemsize)
    return messages.Peaked(constructed, gradients, least)


def construct(cell: Cell, workload: workloads.Workload) -> messages.Constructed:
    """The time of a construction, and of the compilation within it."""
    implementation_class = load(cell.implementation, cell.ranks)
    problem = workloads.problem(workload, cell.batch_size)
    start = time.perf_counter()
    implementation = implementation_class(problem, cell.dtype, cell.threads)
    return messages.Constructed(time.perf_counter() - start, implementation.compile_seconds)
