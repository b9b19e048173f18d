"""What the conductor of a race orders of a process, and what it is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.measure.process import Message
from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Facts, Measurement, Process, RecordedWorkload

WORKER = "benchmarks.race.worker:serve"
"""Whom the orders of a race go to; by its name, since the conductor loads nothing that computes."""

PROCESSES = 5
"""Fresh processes that a headline is projected from, where its steps do not fit the budget."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """So many steps of training, which every implementation has to take; `phase` is "headline" or "train".

    One that takes longer than `budget` seconds takes a sample of them. `learning_rate` is the workload's
    where there is none; `seed` draws the weights to begin with; `accuracy` is the share of held-out digits
    that the training is to reach; `ranks` is how many processes share each batch.
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
    """What a process is to do next; it does nothing between its answer and the next order."""


class Begin(WorkerOrder):
    """Limit the threads, and say what runs here; `probe` is the probe's time in earlier processes.

    Its cells are of so many `ranks` at most.
    """

    workloads: Mapping[str, RecordedWorkload]
    threads: int
    probe: float | None
    ranks: int = 1


class MeasureCell(WorkerOrder):
    """Measure one cell; one that is `affordable` is not too slow, as an earlier process measured it."""

    cell: Cell
    affordable: bool = False


class Peak(WorkerOrder):
    """Measure the peak memory of one cell's implementation, in a process that has done nothing else."""

    cell: Cell


class Construct(WorkerOrder):
    """Time the construction of one cell's implementation, in a process that has done nothing else."""

    cell: Cell


class End(WorkerOrder):
    """Say what was in force, and, to `calibrate`, what the machine could do."""

    seed: int
    calibrate: bool = True


class Train(Message):
    """The order to take the experiment's steps with that implementation, or a sample of them.

    Those that one process is given are of so many `ranks` at most.
    """

    name: str
    experiment: Experiment
    ranks: int


class WorkerAnswer(Message):
    """What an order came to."""


class Begun(WorkerAnswer):
    """The machine and the versions that the process found."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]


class Measured(WorkerAnswer):
    """A cell's measurement, with the facts of its implementation where they are new."""

    measurement: Measurement
    facts: Facts | None = None


class Peaked(WorkerAnswer):
    """Bytes beyond what stood before; `least` is what any implementation needs beside the problem."""

    construct: int
    gradients: int
    least: int


class Constructed(WorkerAnswer):
    """Seconds of a construction, and of the compilation within it."""

    seconds: float
    compile_seconds: float


class LostCell(WorkerAnswer):
    """A cell that cannot be measured, and why."""

    reason: str


class Ended(WorkerAnswer):
    """The process, at its end."""

    process: Process


class Trained(Message):
    """What the steps took, with the process and, where it could be loaded, the implementation's facts."""

    measurement: Measurement
    process: Process
    facts: Facts | None = None
