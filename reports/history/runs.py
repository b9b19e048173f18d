"""What the history keeps of a file: one run for each commit measured in it, one sample for each process."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import statistics
import zlib
from collections.abc import Mapping
from typing import Any

from benchmarks import results


class HistoryError(Exception):
    """Something that the user can mend; the message says what was expected, what was got and what to do."""


@dataclasses.dataclass(frozen=True, order=True)
class Series:
    """What is followed from commit to commit: one benchmark of one racer."""

    workload: str
    shape: str
    """The network behind the name: a workload that is defined anew begins a new series."""
    phase: str
    implementation: str
    batch_size: int
    dtype: str
    threads: int

    @property
    def key(self) -> str:
        """A digest that is the same wherever the series is met."""
        return digest(dataclasses.asdict(self))

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + ("" if self.threads == 1 else "s")
        return (
            f"{self.implementation}: {self.workload} {self.phase}, m = {self.batch_size}, "
            f"{self.dtype}, {threads}"
        )


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one process measured of a series: seconds of one call, over its rounds."""

    series: Series
    process: int
    minimum: float
    median: float
    rounds: int


@dataclasses.dataclass(frozen=True)
class Commit:
    """The code that was measured. `dated` orders commits: the commit's own date, or if unknown its run's."""

    sha: str
    branch: str
    dated: datetime.datetime
    subject: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """All that one file says of one commit.

    `digest` is that of the file's content, `side` tells the runs of a file with several apart, `document` is
    the content itself, compressed: nothing of it is lost here.
    """

    digest: str
    side: str
    created: datetime.datetime
    commit: Commit
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    samples: tuple[Sample, ...]
    document: bytes


MACHINE_FACTS = ("cpu", "cores", "caches", "architecture", "system")
"""What makes two machines alike. Memory is left out: like virtual machines differ in it by a few pages."""


def machine_facts(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record's machine what a time depends on. Of the system its name: a kernel's update is no other
    machine, and a step that it brings shall be seen."""
    found = {name: machine.get(name) for name in MACHINE_FACTS}
    found["system"] = str(machine.get("system", "")).partition(" ")[0]
    return found


def machine_key(machine: Mapping[str, Any]) -> str:
    """A digest that like machines share."""
    return digest(machine_facts(machine))


def digest(value: Any) -> str:
    """SHA-256 of `value` as JSON whose keys are sorted: the same whatever the file's layout."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """`value` as JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def from_record(record: results.Record, commit: Commit) -> Run:
    """The run of a record; raises HistoryError for one in which nothing was measured."""
    content = canonical({"format": results.FORMAT, "schema": results.SCHEMA, **dataclasses.asdict(record)})
    return Run(
        digest=hashlib.sha256(content).hexdigest(),
        side="",
        created=moment(record.created),
        commit=commit,
        machine=record.machine,
        versions=record.versions,
        command=record.command,
        samples=samples(record),
        document=zlib.compress(content),
    )


def samples(record: results.Record) -> tuple[Sample, ...]:
    """One sample for each measured cell of each process."""
    found = {}
    for m in record.measurements:
        if m.status != "measured":
            continue
        w = record.workloads[m.workload]
        layers = "-".join(map(str, w.widths))
        shape = f"{layers} {','.join(w.activations)} {w.loss} {w.data}"
        series = Series(m.workload, shape, m.phase, m.implementation, m.batch_size, m.dtype, m.threads)
        if (series, m.process) in found:
            raise HistoryError(f"expected one measurement of a cell in a process, got two of {series}")
        found[series, m.process] = Sample(
            series, m.process, min(m.seconds), statistics.median(m.seconds), len(m.seconds)
        )
    if not found:
        raise HistoryError("expected measurements, got none: in this record nothing was timed")
    return tuple(found.values())


def moment(text: str) -> datetime.datetime:
    """An ISO 8601 date as the database keeps it: in UTC, which a date without a zone is taken to be in."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise HistoryError(
            f"expected an ISO 8601 date, like 2025-01-02T03:04:05+00:00, got {text!r}"
        ) from error
    return found.astimezone(datetime.UTC).replace(tzinfo=None)
