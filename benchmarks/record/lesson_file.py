"""The file of the times and results of the lesson's code blocks, which `nox -s lesson` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import documents, files
from benchmarks.record.documents import Positive

FORMAT, SCHEMA = "gradrace-lesson", 1


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One run of the lesson, block by block.

    `seconds[block][m]` is the time of one call of a block's function on a batch of m samples; `costs[start]`
    are the cost every `every` steps of the training that began with these weights, `accuracy[start]` its
    share of right answers on digits that it never saw.
    """

    created: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: Mapping[str, Mapping[int, Positive]]
    costs: Mapping[str, tuple[float, ...]]
    every: int
    accuracy: Mapping[str, float]


def write(lesson: Lesson, path: Path) -> Path:
    """Write `lesson` to `path`, whole or not at all."""
    return files.write(path, documents.encoded(lesson, FORMAT, SCHEMA))


def read(path: Path) -> Lesson:
    """The lesson at `path`; raises RecordError for any other file, OSError for one that cannot be read."""
    return documents.read(Lesson, path, FORMAT, SCHEMA, again="run `nox -s lesson`")
