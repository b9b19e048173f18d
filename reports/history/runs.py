"""The runs that the history keeps of a file: one for each commit in it, with one sample for each process."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


class HistoryError(ValueError):
    """A mistake of the user, or an unavailable database: what was expected, what was got and what to do."""


@dataclasses.dataclass(frozen=True, order=True)
class Series:
    """A series that is followed from commit to commit: one benchmark of one implementation."""

    how: str
    """The kind of file, "race" or "pairs", since calls in turns do not take the same time."""
    workload: str
    shape: str
    """The network behind the name, where the file has it: a workload that is defined anew is a new series.
    So is one on another number of ranks, which stands at its end.
    """
    phase: str
    implementation: str
    batch_size: int
    dtype: str
    threads: int

    @functools.cached_property
    def key(self) -> str:
        """A digest that identifies the series in every database."""
        return digest(dataclasses.asdict(self))

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + ("" if self.threads == 1 else "s")
        return (
            f"{self.implementation}: {self.workload} {self.phase}, m = {self.batch_size}, "
            f"{self.dtype}, {threads}"
        )


@dataclasses.dataclass(frozen=True)
class Sample:
    """The seconds of one call of a series in one process, over its rounds."""

    series: Series
    process: int
    minimum: float
    quartile: float
    median: float
    rounds: int

    @classmethod
    def of(cls, series: Series, process: int, seconds: Sequence[float]) -> Sample:
        """The sample of these rounds."""
        ordered = sorted(seconds)
        quartile = ordered[len(ordered) // 4]
        return cls(series, process, ordered[0], quartile, statistics.median(ordered), len(ordered))


@dataclasses.dataclass(frozen=True)
class Revision:
    """The commit that was measured. `dated` orders commits: its own date, or that of its run if unknown."""

    sha: str
    branch: str
    dated: datetime.datetime
    subject: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """The content of one file on one commit.

    `digest` is that of the file's content, `document` is the content itself, compressed. Where a file has
    several runs, each has its own `side`.
    """

    digest: str
    side: str
    created: datetime.datetime
    commit: Revision
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    samples: tuple[Sample, ...]
    document: bytes


MACHINE_FACTS = ("cpu", "cores", "caches", "architecture", "system")
"""The facts that two like machines share; not memory, as like virtual machines differ by a few pages."""


def machine_facts(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a record's machine that a time depends on. Of the system only its name, since
    a step that comes with an update of the kernel has to be seen on the same machine."""
    found = {name: machine.get(name) for name in MACHINE_FACTS}
    found["system"] = str(machine.get("system", "")).partition(" ")[0]
    return found


def machine_key(machine: Mapping[str, Any]) -> str:
    """A digest that like machines share."""
    return digest(machine_facts(machine))


def digest(value: Any) -> str:
    """SHA-256 of `value` as JSON: the same for equal values."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """`value` as JSON with sorted keys: the same bytes for equal values, in any layout of the file."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def moment(text: str) -> datetime.datetime:
    """An ISO 8601 date in UTC, as the database keeps it; a date without a zone is in UTC."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise HistoryError(
            f"expected an ISO 8601 date, like 2025-01-02T03:04:05+00:00, got {text!r}"
        ) from error
    zoned = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return zoned.astimezone(datetime.UTC).replace(tzinfo=None)
