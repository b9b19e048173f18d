"""The record of a race: frozen, versioned, read and written here only.

A record is one JSON file that describes itself: what was raced, on which machine, with which versions and
settings, and the raw seconds of every measurement. Ratios are derived from it later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import documents, files
from benchmarks.record.cells import Cell, Status
from benchmarks.record.documents import Positive, RecordError

FORMAT = "gradrace-record"
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class RecordedTraining:
    """The fields of `impls.Training`; records without it are of the default."""

    optimizer: str = "gradient_descent"
    l2: float = 0.0
    dropout: float | tuple[float, ...] = 0.0
    seed: int = 0
    mu: float = 0.9
    rho: float = 0.9
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    @property
    def words(self) -> str:
        """The optimizer, with L2 and dropout if there are any: `adam l2=0.001 dropout=0.5`."""
        parts = [f"{name}={getattr(self, name)}" for name in ("l2", "dropout") if getattr(self, name)]
        return " ".join([self.optimizer, *parts])


@dataclasses.dataclass(frozen=True)
class RecordedWorkload:
    """A named network, the source of its data, and its training."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    data: str
    training: RecordedTraining = RecordedTraining()


@dataclasses.dataclass(frozen=True)
class Facts:
    """An implementation on the fairness sheet: its class's static facts, and the libraries that it imports.

    `versions` are those of these libraries, and `install_bytes` is their size on disk with all requirements,
    without NumPy.
    """

    idea: str
    differs_from: str | None
    dtypes: tuple[str, ...]
    same_order: bool
    fast_math: str
    layout: str
    lines_of_code: int | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    install_bytes: int | None = None
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of a race: the unit of statistics.

    `calibration` is the speed of the machine: `gemm_float64` and `gemm_float32` (operations a
    second of a large product), `triad` and `dot_L1`, `dot_L2` ... (bytes a second, of memory and of a dot
    product in each cache, the latter on one thread), `interpreter` (seconds of an iteration of a plain
    loop), `timer` (its resolution, seconds), `call` (seconds of an empty call, which every timed call
    includes), `probe` (the fewest seconds of the loop that detects disturbances). `waited` is the part of its
    wait budget that it used, in seconds. `audit_seed` drew the rounds that the referee judged beside each
    cell's last; `audit_seconds` is what moving states, judging and comparing times took.
    """

    seed: int
    started: str
    seconds: float
    threads_in_force: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    load_average: float | None = None
    calibration: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    waited: float = 0.0
    audit_seed: int | None = None
    audit_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One cell of one implementation, as measured by one process.

    `seconds` holds one value per round: the time of one call, averaged over the round's `iterations` calls.
    They are those of the undisturbed rounds, if three or more were: the probe (a loop of some 30 us) took no
    longer than usual before and after. `probe` is the median of its seconds around them.

    In the phase "headline" a call is one step of training. Where an implementation's rounds hold all of
    `settings["steps"]` steps it ran in full, in one process, and the sum of seconds times iterations is its
    time; otherwise its time is projected from each process's mean. `losses` holds the loss over all samples
    after each round, `accuracies` the share of held-out digits that the network then classifies correctly (of
    workloads on the digits). In the phase "train" it is the same, but every process begins with weights of
    its own, drawn from its seed.

    `judged` are the numbers of the rounds, from 0, whose last call left the results that the referee judged.

    `ranks` is the number of processes that share the batch, each with `threads` threads; records without it
    are of one. Of several, `alone_seconds` is the fastest round of the same call without communication, the
    rest of `fastest` being its share; and `allreduces` has what sums over the ranks took in the same process:
    bytes, and the median of the seconds of one.

    `flops` counts the multiplications and additions of the matrix products, `bytes` the least that a call
    moves. `peak_bytes` is the most that a call had allocated beyond what stood before it, and
    `construct_peak_bytes` that of the construction beyond the problem, each measured in a process of its own;
    `least_bytes` is what any implementation needs for both. `cold_construct_seconds` and
    `cold_compile_seconds` are those of a first construction, with no compiler's cache on disk;
    `cached_compile_seconds` those of the next process, which finds what the first one left.
    """

    workload: str
    phase: str
    implementation: str
    batch_size: int
    dtype: str
    threads: int
    process: int
    status: Status
    reason: str = ""
    seconds: tuple[Positive, ...] = ()
    probe: float | None = None
    iterations: int = 0
    construct_seconds: float | None = None
    compile_seconds: float | None = None
    predicted_seconds: float | None = None
    flops: int | None = None
    bytes: int | None = None
    peak_bytes: int | None = None
    construct_peak_bytes: int | None = None
    least_bytes: int | None = None
    cold_construct_seconds: float | None = None
    cold_compile_seconds: float | None = None
    cached_compile_seconds: float | None = None
    error_of_bound: float | None = None
    error_ulp: float | None = None
    error_ulp_median: float | None = None
    bound_of_norm: float | None = None
    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()
    judged: tuple[int, ...] = ()
    ranks: int = 1
    alone_seconds: Positive | None = None
    allreduces: tuple[tuple[int, Positive], ...] = ()

    @classmethod
    def without_times(
        cls, cell: Cell, status: Status, reason: str, process: int = 0, predicted_seconds: float | None = None
    ) -> Measurement:
        """The measurement of a cell that was not timed, or whose times do not count."""
        return cls(
            **dataclasses.asdict(cell),
            process=process,
            status=status,
            reason=reason,
            predicted_seconds=predicted_seconds,
        )

    @property
    def cell(self) -> Cell:
        """The cell that was measured."""
        return Cell(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Cell)})

    @property
    def fastest(self) -> float:
        """The seconds of the fastest round."""
        return min(self.seconds)


@dataclasses.dataclass(frozen=True)
class Record:
    """The record of a race, with everything that a report needs."""

    created: str
    command: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    workloads: Mapping[str, RecordedWorkload]
    implementations: Mapping[str, Facts]
    processes: tuple[Process, ...]
    measurements: tuple[Measurement, ...]


def partial_of(path: Path) -> Path:
    """The path of the unfinished record of a race with the record at `path`."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def write(record: Record, path: Path) -> None:
    """Write `record` to `path` as JSON, whole or not at all."""
    files.write(path, documents.encoded(record, FORMAT, SCHEMA))


def read(path: Path, content: bytes | None = None) -> Record:
    """The record at `path`, or what was read there before.

    Raises RecordError for a file of another kind, OSError for one that cannot be read.
    """
    record = documents.read(Record, path, FORMAT, SCHEMA, again="race again", content=content)
    for k, measurement in enumerate(record.measurements):
        if not 0 <= measurement.process < len(record.processes):
            raise RecordError(f"{path}: measurements[{k}].process: no process {measurement.process}")
        if measurement.workload not in record.workloads:
            raise RecordError(f"{path}: measurements[{k}].workload: no workload {measurement.workload!r}")
    return record
