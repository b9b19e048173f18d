"""The state of a fleet's race: a folder beside the future record, with the record of every host."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from benchmarks.record import files, merging, race_file
from benchmarks.record.race_file import Record


class HostRecords:
    """The records of hosts whose races have ended, by host.

    With `resume` it continues from the existing records; raises ValueError if there are none, or if they are
    of another race.
    """

    def __init__(self, record: Path, arguments: Sequence[str], resume: bool) -> None:
        self.folder = record.with_name(f"{record.stem}.hosts")
        self._asked = self.folder / "race.json"
        self._arguments, self._resume = list(arguments), resume
        if resume:
            self._check()

    def begin(self) -> None:
        """Put aside what an earlier fleet left, unless this one continues from it."""
        if not self._resume:
            files.put_aside(self.folder)
        files.write(self._asked, msgspec.json.encode(self._arguments))

    def _check(self) -> None:
        asked, arguments = self._asked, self._arguments
        if not asked.exists():
            raise ValueError(
                f"--resume: expected a fleet's race at {asked.parent}, found none; race without --resume"
            )
        earlier = msgspec.json.decode(asked.read_bytes(), type=list[str])
        if earlier != arguments:
            raise ValueError(
                f"--resume: expected the options of the race that was begun, {' '.join(earlier)!r}, got "
                f"{' '.join(arguments)!r}; repeat the options, or race without --resume"
            )

    def _place(self, host: str) -> Path:
        return self.folder / f"{quote(host, safe='')}.json"

    def finished(self, host: str) -> Record | None:
        """The record of a host, if its race has ended."""
        place = self._place(host)
        return race_file.read(place) if place.exists() else None

    def missing(self, host: str) -> list[str]:
        """A line for each part that the host's race did not measure."""
        place = self._place(host).with_suffix(".missing")
        return place.read_text("utf-8").splitlines() if place.exists() else []

    def keep(self, host: str, content: str, missing: Sequence[str]) -> None:
        """Keep the record of a host; raises RecordError, and keeps nothing, if it is not a record."""
        arrived = files.write(self.folder / ".arrived", content.encode())
        try:
            race_file.read(arrived)
            if missing:
                files.write(self._place(host).with_suffix(".missing"), "\n".join(missing).encode())
            arrived.replace(self._place(host))
        finally:
            arrived.unlink(missing_ok=True)


def merged(records: Sequence[Record]) -> list[Record]:
    """The records of like machines as one, those of unlike ones side by side, in the order they came in."""
    found: list[Record] = []
    for record in records:
        for k, other in enumerate(found):
            try:
                found[k] = merging.merge([other, record])
            except ValueError:  # a record of another machine, or with other settings
                continue
            break
        else:
            found.append(record)
    return found


def write(records: Sequence[Record], place: Path) -> list[Path]:
    """The files of the records: `place` for one, record-1.json, record-2.json ... beside it for several.

    Files of an earlier race that this one does not replace are put aside, so that no report mixes the two.
    """
    numbered = (place.with_name(f"{place.stem}-{k}{place.suffix}") for k in itertools.count(1))
    paths = list(itertools.islice(numbered, len(records))) if len(records) > 1 else [place]
    for record, path in zip(records, paths, strict=True):
        race_file.write(record, path)
    stale = itertools.takewhile(Path.exists, numbered)
    for path in [*stale, *([place] if place not in paths else [])]:
        files.put_aside(path)
    return paths
