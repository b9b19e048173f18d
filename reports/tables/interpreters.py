"""The implementations that are one file under several interpreters."""

from __future__ import annotations

from benchmarks.record.race_file import Record

FILE = "loops"


def interpreters(record: Record) -> dict[str, str]:
    """The interpreter of `loops`, and of each implementation that is the same file; empty if none is."""
    loops = record.implementations.get(FILE)
    if loops is None or not loops.source:
        return {}
    found = {FILE: f"Python {record.versions['python']}"} if "python" in record.versions else {}
    for name, facts in record.implementations.items():
        if name != FILE and facts.source == loops.source and facts.versions:
            found[name] = " ".join(*facts.versions.items())
    return found if len(found) > 1 else {}
