"""What a race is asked for: parsed and checked in one place, for pytest and for the command line.

Every function raises ValueError, saying what was expected and what was got, before anything is raced.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Settings:
    """A checked request: which implementations run which cells, on how many threads, in which shuffled
    order.
    """

    implementations: tuple[str, ...]
    workloads: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    dtypes: tuple[str, ...]
    threads: int
    seed: int


def items(values: Iterable[str]) -> list[str]:
    """Options that were repeated, or given as a list with commas, as one list without repetitions."""
    found = [item.strip() for value in values for item in value.split(",")]
    return list(dict.fromkeys(item for item in found if item))


def choices(option: str, values: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """`values`, each checked to be one of `known`; all of `known` where there are none."""
    for value in values:
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{option}: expected one of {', '.join(known)}, got {value!r}{hint}")
    return tuple(values) or tuple(known)


def implementations(option: str, values: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Implementations by name, or as a target (`path/to/file.py:Class`); all that are known where there are
    none.
    """
    asked = items(values)
    choices(option, [name for name in asked if ":" not in name], known)
    return tuple(asked) or tuple(known)


def positive(option: str, value: str) -> int:
    """A whole number of 1 and up."""
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError(f"{option}: expected a whole number of 1 or more, got {value!r}")
    return number


def positives(option: str, values: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers of 1 and up, in rising order."""
    return tuple(sorted({positive(option, value) for value in values}))


def whole(option: str, value: str) -> int:
    """A whole number of 0 and up."""
    if not value.isdecimal():
        raise ValueError(f"{option}: expected a whole number of 0 or more, got {value!r}")
    return int(value)


def number(option: str, value: str) -> float:
    """A positive, finite number."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise ValueError(f"{option}: expected a positive number, got {value!r}")
    return found


def check_writable(option: str, path: Path) -> None:
    """Fail before the race, not after it, where the file `path` could not be written."""
    if path.is_dir():
        raise ValueError(f"{option}: expected a file that can be written, got the folder {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.parent / f".{path.name}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"{option}: expected a place that can be written to, got {path} ({error})"
        ) from error
