"""Merges races, but only those of the same machine, versions and settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.record import race_file

RUN_SETTINGS = (
    *("seed", "seeds", "baseline", "target", "until", "budget", "threads", "ranks"),
    *("implementations", "batch_sizes", "workloads", "phases", "dtypes"),
)
"""Settings in which races may differ and still be one: what was raced, not how."""

LIKE_MACHINES = ("memory_bytes",)
"""Facts in which like machines may differ: virtual ones do so by a few pages."""


def must_agree(what: str, one: Mapping[str, Any], other: Mapping[str, Any], free: Sequence[str] = ()) -> None:
    """Raise ValueError, naming both values, where the two differ in anything but the `free` keys."""
    for key in dict.fromkeys([*one, *other]):
        # By way of JSON, in which a record has them: a tuple is a list there.
        first, second = (json.loads(json.dumps(given.get(key))) for given in (one, other))
        if key not in free and first != second:
            raise ValueError(
                f"{what} differ in {key!r}: {first!r} and {second!r}; only races of the same machine, "
                "versions and settings belong together"
            )


def check_source(name: str, one: race_file.Facts, other: race_file.Facts) -> None:
    """Raise ValueError if two races of the implementation `name` ran different code."""
    if one.source != other.source:
        raise ValueError(
            f"{name}: its code changed between one process and another; only races of the same code belong "
            "together: race it again, without --resume"
        )


def merge(records: Sequence[race_file.Record]) -> race_file.Record:
    """All the processes of several races as one race."""
    first = records[0]
    processes: list[race_file.Process] = []
    measurements: list[race_file.Measurement] = []
    workloads: dict[str, race_file.RecordedWorkload] = {}
    facts: dict[str, race_file.Facts] = {}
    settings = dict(first.settings)
    for record in records:
        must_agree("machine", first.machine, record.machine, free=LIKE_MACHINES)
        must_agree("versions", first.versions, record.versions)
        must_agree("settings", first.settings, record.settings, free=RUN_SETTINGS)
        for name in workloads.keys() & record.workloads.keys():
            must_agree(
                f"workloads {name}",
                dataclasses.asdict(workloads[name]),
                dataclasses.asdict(record.workloads[name]),
            )
        for name in facts.keys() & record.implementations.keys():
            check_source(name, facts[name], record.implementations[name])
        again = {(p.started, p.seed) for p in processes} & {(p.started, p.seed) for p in record.processes}
        if again:
            raise ValueError(
                f"expected races that have no process in common, got one of {min(again)[0]} twice; "
                "merge the records that they came from"
            )
        offset = len(processes)
        processes += record.processes
        measurements += [dataclasses.replace(m, process=m.process + offset) for m in record.measurements]
        workloads.update(record.workloads)
        facts.update(record.implementations)
        for key in RUN_SETTINGS:
            if isinstance(settings.get(key), (list, tuple)):
                settings[key] = list(dict.fromkeys([*settings[key], *record.settings.get(key, ())]))
    return dataclasses.replace(
        first,
        created=max(record.created for record in records),
        command="; ".join(dict.fromkeys(record.command for record in records)),
        settings=settings,
        workloads=workloads,
        implementations=facts,
        processes=tuple(processes),
        measurements=tuple(measurements),
    )
