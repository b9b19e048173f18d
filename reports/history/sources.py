"""From a file to the runs in it: one for a race, two for pairs."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.record import pairs_file, race_file
from benchmarks.record.documents import RecordError
from reports.history import commits
from reports.history.runs import HistoryError, Run, Sample, Series, canonical, moment

Turns = Callable[[pairs_file.Reading], tuple[float, ...]]
"""One side of a reading."""


def load(path: Path, commit: str | None, branch: str | None) -> list[Run]:
    """The runs in the file at `path`.

    `commit` and `branch`, where given, stand for those that a record names, and `branch` for that of a pairs
    file's head. Raises HistoryError for a file that cannot be read or does not say what it measured.
    """
    try:
        document = _read(path)
        if isinstance(document, race_file.Record):
            return [of_record(document, commit, branch)]
        return of_pairs(document, commit, branch)
    except RecordError as error:
        raise HistoryError(str(error)) from error
    except OSError as error:
        raise HistoryError(
            f"{path}: expected a record of a race or of pairs, got: {error.strerror or error}"
        ) from error
    except HistoryError as error:
        raise HistoryError(f"{path}: {error}") from error


def _read(path: Path) -> race_file.Record | pairs_file.Pairs:
    """Whichever of the two the file is; if neither, the error of the reader of races."""
    with path.open("rb") as file:
        # The format is the first field of every document that this project writes.
        head = file.read(200)
    if pairs_file.FORMAT.encode() in head:
        return pairs_file.read(path)
    return race_file.read(path)


def of_record(record: race_file.Record, commit: str | None, branch: str | None) -> Run:
    """The run of a race."""
    settings = record.settings
    created = moment(record.created)
    content = canonical(record, race_file.FORMAT, race_file.SCHEMA)
    return Run(
        digest=hashlib.sha256(content).hexdigest(),
        side="",
        created=created,
        commit=commits.find(commit or settings.get("commit"), branch or settings.get("branch"), created),
        machine=record.machine,
        versions=record.versions,
        command=record.command,
        samples=_samples_of_record(record),
        document=zlib.compress(content),
    )


def _samples_of_record(record: race_file.Record) -> tuple[Sample, ...]:
    """One sample for each measured cell of each process; raises HistoryError where nothing was measured."""
    found = {}
    for m in record.measurements:
        if m.status != "measured":
            continue
        w = record.workloads[m.workload]
        shape = f"{'-'.join(map(str, w.widths))} {','.join(w.activations)} {w.loss} {w.data}"
        series = Series(
            "race", m.workload, shape, m.phase, m.implementation, m.batch_size, m.dtype, m.threads
        )
        if (series, m.process) in found:
            raise HistoryError(f"expected one measurement of a cell in a process, got two of {series}")
        if not m.seconds:
            raise HistoryError(f"expected the seconds of what was measured, got none of {series}")
        found[series, m.process] = Sample.of(series, m.process, m.seconds)
    if not found:
        raise HistoryError("expected measurements, got none: in this race nothing was timed")
    return tuple(found.values())


def of_pairs(pairs: pairs_file.Pairs, commit: str | None, branch: str | None) -> list[Run]:
    """The runs of base and head."""
    if commit is not None:
        raise HistoryError(
            "--commit: expected with the record of a race, got it with pairs, which name theirs"
        )
    created = moment(pairs.created)
    content = canonical(pairs, pairs_file.FORMAT, pairs_file.SCHEMA)
    digest, document = hashlib.sha256(content).hexdigest(), zlib.compress(content)

    def run(side: str, of: pairs_file.Commit, branch: str | None, turns: Turns) -> Run:
        return Run(
            digest=digest,
            side=side,
            created=created,
            commit=commits.find(of.commit, branch or commits.branch_of(of.ref), created),
            machine=of.machine,
            versions=of.versions,
            command=pairs.command,
            samples=_samples_of_pairs(pairs, turns),
            document=document,
        )

    return [
        run("base", pairs.base, None, lambda reading: reading.base),
        run("head", pairs.head, branch, lambda reading: reading.head),
    ]


def _samples_of_pairs(pairs: pairs_file.Pairs, turns: Turns) -> tuple[Sample, ...]:
    """One sample of each benchmark, and of each control, for each process of a side."""
    # A process of a pair holds itself to one thread.
    series = {
        b.name: Series("pairs", b.workload, "", b.phase, b.implementation, b.batch_size, b.dtype, threads=1)
        for b in pairs.benchmarks
    }
    return tuple(
        Sample.of(series[reading.benchmark], k, turns(reading))
        for k, pair in enumerate(pairs.pairs)
        for reading in pair.readings
    )
