"""The runs in a file: one for a race, two for pairs."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.record import pairs_file, race_file
from benchmarks.record.documents import RecordError, content_of
from benchmarks.record.pairs_file import Benchmark, Pairs, Side
from benchmarks.record.race_file import Record
from reports.history import commits
from reports.history.runs import HistoryError, Revision, Run, Sample, Series, canonical, moment


class MeasuredCommit(NamedTuple):
    """One commit with measurements in a file; a file of several has a side for each."""

    side: str
    commit: Revision
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    samples: tuple[Sample, ...]


def load(path: Path, commit: str | None, branch: str | None) -> list[Run]:
    """The runs in the file at `path`.

    `commit` and `branch`, if given, replace those that a record names, and `branch` that of a pairs
    file's head. Raises HistoryError for a file that cannot be read or does not name what it measured.
    """
    try:
        content = content_of(path)
        # The format is the first field of every document that this project writes.
        pairs = pairs_file.FORMAT.encode() in content[:200]
        document = (pairs_file if pairs else race_file).read(path, content)
        return runs_of(document, msgspec.json.decode(content), commit, branch)
    except RecordError as error:
        raise HistoryError(str(error)) from error
    except OSError as error:
        raise HistoryError(
            f"{path}: expected a record of a race or of pairs, got: {error.strerror or error}"
        ) from error
    except HistoryError as error:
        raise HistoryError(f"{path}: {error}") from error


def runs_of(document: Record | Pairs, content: Any, commit: str | None, branch: str | None) -> list[Run]:
    """The runs of a document, which is `content` as JSON."""
    kept = canonical(content)
    if isinstance(document, Record):
        found = _of_record(document, commit, branch)
    else:
        found = _of_pairs(document, commit, branch)
    return [
        Run(
            digest=hashlib.sha256(kept).hexdigest(),
            side=measured.side,
            created=moment(document.created),
            commit=measured.commit,
            machine=measured.machine,
            versions={**measured.versions, **_system(measured.machine)},
            command=document.command,
            samples=measured.samples,
            document=zlib.compress(kept),
        )
        for measured in found
    ]


def _system(machine: Mapping[str, Any]) -> dict[str, str]:
    """The versions of a machine's kernel and microcode, which may change while the machine stays the same."""
    found = {
        "kernel": str(machine.get("system", "")).partition(" ")[2],
        "microcode": str(machine.get("microcode", "")),
    }
    return {name: version for name, version in found.items() if version}


def _of_record(record: Record, commit: str | None, branch: str | None) -> Iterator[MeasuredCommit]:
    """One sample for each measured cell of each process; raises HistoryError if nothing was measured."""
    named = (commit or record.settings.get("commit"), branch or record.settings.get("branch"))
    found = {}
    for m in record.measurements:
        if m.status != "measured":
            continue
        w = record.workloads[m.workload]
        shape = f"{'-'.join(map(str, w.widths))} {','.join(w.activations)} {w.loss} {w.data}"
        if w.training != race_file.RecordedTraining():
            shape += f" {w.training}"
        if m.ranks > 1:
            shape += f", on {m.ranks} ranks"
        series = Series(
            "race", m.workload, shape, m.phase, m.implementation, m.batch_size, m.dtype, m.threads
        )
        if (series, m.process) in found:
            raise HistoryError(f"expected one measurement of a cell in a process, got two of {series}")
        if not m.seconds:
            raise HistoryError(f"expected measured seconds, got none of {series}")
        found[series, m.process] = Sample.of(series, m.process, m.seconds)
    if not found:
        raise HistoryError("expected measurements, got none: in this race nothing was timed")
    revision = commits.find(*named, moment(record.created))
    yield MeasuredCommit("", revision, record.machine, record.versions, tuple(found.values()))


def _of_pairs(pairs: Pairs, commit: str | None, branch: str | None) -> Iterator[MeasuredCommit]:
    """One sample of each benchmark, and of each control, for each process of a side."""
    if commit is not None:
        raise HistoryError(
            "--commit: expected with the record of a race, got it with pairs, which name their commits"
        )
    # A process of a pair holds itself to one thread.
    series = {benchmark.name: _series(benchmark) for benchmark in pairs.benchmarks}

    def measured(side: Side, of: pairs_file.Commit, branch: str | None) -> MeasuredCommit:
        revision = commits.find(of.commit, branch or commits.branch_of(of.ref), moment(pairs.created))
        samples = (
            Sample.of(series[reading.benchmark], k, getattr(reading, side))
            for k, pair in enumerate(pairs.pairs)
            for reading in pair.readings
        )
        return MeasuredCommit(side, revision, of.machine, of.versions, tuple(samples))

    yield measured("base", pairs.base, None)
    yield measured("head", pairs.head, branch)


def _series(benchmark: Benchmark) -> Series:
    """The series of a test: that of a cell if it has the parameters of one, otherwise one with its name."""
    has = {"implementation": benchmark.name, "workload": "", "phase": "", "batch_size": 0, "dtype": ""}
    cell = {key: benchmark.params.get(key, other) for key, other in has.items()}
    return Series(how="pairs", shape="", threads=1, **cell)
