"""The journal of a running race: one JSON line for each event, appended between cells.

It is beside the future record. A race that was interrupted or killed continues from the entries. A last line
that was cut short is ignored.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import msgspec

from benchmarks.measure.process import Message
from benchmarks.race.messages import Begun, Ended, Measured
from benchmarks.record.documents import RecordError
from benchmarks.record.race_file import Record

FORMAT = "gradrace-journal 1"


class Opened(Message):
    """The first entry, which identifies the race."""

    format: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]


class Started(Message):
    """A process was started."""

    seed: int
    started: str


JournalEntry = Opened | Started | Begun | Measured | Ended


def of(path: Path) -> Path:
    """The path of the journal of a race with the record at `path`."""
    return path.with_name(f"{path.stem}.journal.jsonl")


class Journal:
    """The file that entries are appended to."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    @property
    def empty(self) -> bool:
        """Whether it has no entry yet."""
        return not self._file.tell()

    def append(self, entry: JournalEntry) -> None:
        """Write the entry to disk, whole or not at all; raises OSError if it cannot be written."""
        size, line = self._file.tell(), msgspec.json.encode(entry) + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(size)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[JournalEntry]:
    """The entries at `path`; a line cut short at its end is removed. Raises RecordError."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    decoder = msgspec.json.Decoder(JournalEntry)
    entries: list[JournalEntry] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entries.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            raise RecordError(
                f"{path}, line {number}: expected an entry of a race, got {error}; race without --resume"
            ) from None
    if entries and not (isinstance(entries[0], Opened) and entries[0].format == FORMAT):
        raise RecordError(f"{path}: expected a journal of this version ({FORMAT}); race without --resume")
    return entries


def entries_of(record: Record) -> Iterator[JournalEntry]:
    """A record as the entries of the race that it came from."""
    yield Opened(FORMAT, record.settings, record.machine)
    facts = dict(record.implementations)
    for number, process in enumerate(record.processes):
        yield Started(process.seed, process.started)
        yield Begun(record.machine, record.versions)
        for measurement in record.measurements:
            if measurement.process == number:
                yield Measured(measurement, facts.pop(measurement.implementation, None))
        yield Ended(process)


@contextlib.contextmanager
def sole(path: Path) -> Iterator[None]:
    """A block that holds the lock of the record at `path`; raises ValueError if another race holds it.

    A device or a pipe has no lock.
    """
    if path.exists() and not path.is_file():
        yield
        return
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ValueError(
            f"--record: another race is writing {path}: expected a file that nothing else writes; "
            "wait for it, or name another file"
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink()
        lock.release()
