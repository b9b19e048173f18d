"""The record of pairs of processes, base against head: frozen, versioned, read and written here only.

It keeps the seconds of every turn, so that any statistic can be derived from it later; `differences` derives
the one that the gate decides by.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from benchmarks.gate.decision import Decision, Rule, decide
from benchmarks.record import documents, files
from benchmarks.record.cells import Status
from benchmarks.record.documents import Positive, RecordError

FORMAT = "gradrace-pairs"
SCHEMA = 1

CONTROL = "control"
"""What stands for the implementation in a benchmark of code that no change of ours touches."""

Side = Literal["base", "head"]

Turns = Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1)]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One gated method of one implementation, or a control (phase: which kernel)."""

    implementation: str
    workload: str
    phase: str
    batch_size: int
    dtype: str

    @property
    def name(self) -> str:
        """The name in tables and readings."""
        if self.implementation == CONTROL:
            return f"{CONTROL} {self.phase}"
        return f"{self.implementation} {self.phase} m={self.batch_size} {self.workload} {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Commit:
    """One side: what was asked for, what that was, and what it ran in."""

    ref: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    threads_in_force: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Incident:
    """Why a benchmark has no (more) readings on one side."""

    benchmark: str
    side: Side
    status: Status
    reason: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """Seconds of one call, turn by turn, the two processes taking turns; averaged over `iterations` calls."""

    benchmark: str
    iterations: int
    base: Turns
    head: Turns


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two fresh processes, one of each side, and what they measured in turns."""

    started: str
    seconds: float
    first: Side
    base_hash_seed: int
    head_hash_seed: int
    base_padding: int
    head_padding: int
    load_average: float | None
    readings: tuple[Reading, ...]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Everything that was measured to compare head with base."""

    created: str
    command: str
    base: Commit
    head: Commit
    settings: Mapping[str, Any]
    rule: Rule
    benchmarks: tuple[Benchmark, ...]
    incidents: tuple[Incident, ...]
    pairs: tuple[Pair, ...]


def write(pairs: Pairs, path: Path) -> None:
    """Write `pairs` to `path` as JSON, whole or not at all."""
    files.write(path, documents.encoded(pairs, FORMAT, SCHEMA))


def read(path: Path) -> Pairs:
    """The pairs at `path`; raises RecordError for what is no such file, OSError for what cannot be read."""
    pairs = documents.read(Pairs, path, FORMAT, SCHEMA, again="run `gradrace gate run` again")
    names = [benchmark.name for benchmark in pairs.benchmarks]
    if len(set(names)) < len(names):
        raise RecordError(f"{path}: benchmarks: expected each once, got {', '.join(names)}")
    for k, incident in enumerate(pairs.incidents):
        if incident.benchmark not in names:
            raise RecordError(f"{path}: incidents[{k}]: no benchmark {incident.benchmark!r}")
    for i, pair in enumerate(pairs.pairs):
        found = [reading.benchmark for reading in pair.readings]
        if len(set(found)) < len(found):
            raise RecordError(f"{path}: pairs[{i}].readings: expected each benchmark once, got {found}")
        for reading in pair.readings:
            place = f"{path}: pairs[{i}] {reading.benchmark}"
            if reading.benchmark not in names:
                raise RecordError(f"{place}: no such benchmark")
            if len(reading.base) != len(reading.head):
                raise RecordError(
                    f"{place}: expected as many turns of both sides, "
                    f"got {len(reading.base)} of base and {len(reading.head)} of head"
                )
    return pairs


def differences(pair: Pair) -> dict[str, float]:
    """d = ln(head / base) of all that a pair measured, controls included.

    It is the median over the turns, each turn of head against the turn of base beside it: the two are
    milliseconds apart, and what other tenants of the machine do to both is no difference. (docs/gate.md has
    the spread of this and of other statistics, on the same pairs.)
    """
    return {
        reading.benchmark: statistics.median(
            math.log(head / base) for base, head in zip(reading.base, reading.head, strict=True)
        )
        for reading in pair.readings
    }


def decision(pairs: Pairs) -> Decision:
    """The gate's decision on the pairs so far."""
    return decide(
        [differences(pair) for pair in pairs.pairs],
        gated=[b.name for b in pairs.benchmarks if b.implementation != CONTROL],
        controls=[b.name for b in pairs.benchmarks if b.implementation == CONTROL],
        rule=pairs.rule,
    )
