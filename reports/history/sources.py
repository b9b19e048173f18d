"""From a file to the runs in it."""

from __future__ import annotations

from pathlib import Path

from benchmarks import results
from reports.history import commits
from reports.history.runs import HistoryError, Run, from_record, moment


def load(path: Path, commit: str | None, branch: str | None) -> list[Run]:
    """The runs in the file at `path`; `commit` and `branch`, where given, stand for the file's own.

    Raises HistoryError for a file that cannot be read or that does not say what it measured.
    """
    try:
        record = results.read(path)
    except results.RecordError as error:
        raise HistoryError(str(error)) from error
    except OSError as error:
        raise HistoryError(
            f"{path}: expected the record of a race, got: {error.strerror or error}"
        ) from error
    own = commits.named(record.versions)
    name = commits.Named(commit or own.commit, branch or own.branch)
    try:
        return [from_record(record, commits.find(name, moment(record.created)))]
    except HistoryError as error:
        raise HistoryError(f"{path}: {error}") from error
