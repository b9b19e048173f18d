"""The orders of a race's conductor to a process, and the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.measure.process import Message
from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Facts, Measurement, Process, RecordedWorkload

WORKER = "benchmarks.race.worker:serve"
"""The name of the function that answers a race's orders: the conductor loads nothing that computes."""

PROCESSES = 5
"""The number of fresh processes from which a headline is projected if its steps do not fit the budget."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A training of `steps` steps, which every implementation has to take; `phase` is "headline" or "train".

    An implementation that takes longer than `budget` seconds takes a sample of them. `learning_rate` is None
    for the workload's; `seed` draws the initial weights; `accuracy` is the share of held-out digits that the
    training has to reach; `ranks` is the number of processes that share each batch.
    """

    steps: int
    batch_size: int
    workload: str
    dtype: str
    threads: int
    budget: float
    learning_rate: float | None = None
    seed: int = 0
    phase: str = "headline"
    accuracy: float | None = None
    ranks: int = 1

    def cell(self, name: str) -> Cell:
        """The cell of the implementation of that name."""
        return Cell(self.workload, self.phase, self.batch_size, self.dtype, self.threads, name, self.ranks)


class WorkerOrder(Message):
    """The next order to a process, which is idle between its answer and the next order."""


class Begin(WorkerOrder):
    """Limit the threads, and report the machine and the versions.

    `probe` is the probe's time in earlier processes; `ranks` is the largest number of ranks of its cells.
    """

    workloads: Mapping[str, RecordedWorkload]
    threads: int
    probe: float | None
    ranks: int = 1


class MeasureCell(WorkerOrder):
    """Measure one cell; if `affordable`, an earlier process has measured it, so that it is not too slow."""

    cell: Cell
    affordable: bool = False


class Peak(WorkerOrder):
    """Measure the peak memory of one cell's implementation, in a process that has done nothing else."""

    cell: Cell


class Construct(WorkerOrder):
    """Time the construction of one cell's implementation, in a process that has done nothing else."""

    cell: Cell


class End(WorkerOrder):
    """Report what was in force and, with `calibrate`, the speed of the machine."""

    seed: int
    calibrate: bool = True


class Train(Message):
    """The order to take the experiment's steps, or a sample of them, with the implementation `name`.

    `ranks` is the largest number of ranks of the orders to the same process.
    """

    name: str
    experiment: Experiment
    ranks: int


class WorkerAnswer(Message):
    """The answer to an order."""


class Begun(WorkerAnswer):
    """The machine and the versions that the process found."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]


class Measured(WorkerAnswer):
    """A cell's measurement, with the facts of its implementation if they are new."""

    measurement: Measurement
    facts: Facts | None = None


class Peaked(WorkerAnswer):
    """The fields of a `Measurement` that a survey of memory finds."""

    construct_peak_bytes: int
    peak_bytes: int
    least_bytes: int


class Constructed(WorkerAnswer):
    """Seconds of a construction, and of the compilation within it."""

    seconds: float
    compile_seconds: float


class LostCell(WorkerAnswer):
    """A cell that cannot be measured, and why."""

    reason: str


class Ended(WorkerAnswer):
    """The process, as it is on record at its end."""

    process: Process


class Trained(Message):
    """The measurement of the steps, with the process and, if it was loaded, the implementation's facts."""

    measurement: Measurement
    process: Process
    facts: Facts | None = None
