"""Histories made up for tests."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.record import race_file
from benchmarks.record.pairs_file import Benchmark, Commit, Pair, Pairs, Reading
from benchmarks.record.race_file import Record
from reports.history.runs import Revision, Run, Sample, Series
from reports.history.sources import runs_of
from tests.reports import records

if TYPE_CHECKING:
    from reports.history.store import Store

DAY = datetime.datetime(2025, 1, 2)
MACHINE = {"cpu": "a processor", "cores": 2, "system": "Linux 6.1"}
NUMPY = Series("race", "digits", "64-32-10", "gradients", "numpy", 16, "float64", 1)
NUMBA = Series("race", "digits", "64-32-10", "gradients", "numba", 16, "float64", 1)


def sha(k: int) -> str:
    return hashlib.sha256(str(k).encode()).hexdigest()[:40]


def race(k: int = 0, **more: Any) -> Record:
    """The record of the k-th of some commits, which it names; 8 measurements."""
    made = {"processes": 2, "settings": {"commit": sha(k), "branch": "main"}, **more}
    return records.race(("numpy", "numba"), (1, 16), scale=1 + k / 1000, **made)


def run(k: int = 0, **more: Any) -> Run:
    """The run of that record."""
    record = race(k, **more)
    content = {"format": race_file.FORMAT, **dataclasses.asdict(record)}
    return runs_of(record, content, None, None)[0]


def levels(
    k: int,
    seconds: Mapping[Series, Sequence[float]],
    branch: str = "main",
    machine: dict[str, Any] = MACHINE,
    versions: dict[str, str] | None = None,
) -> Run:
    """A run of the k-th commit in which each series has these seconds, one value a process."""
    return Run(
        digest=hashlib.sha256(repr((k, branch, machine)).encode()).hexdigest(),
        side="",
        created=DAY + datetime.timedelta(days=k),
        commit=Revision(sha(k), branch, DAY + datetime.timedelta(days=k), f"change {k}"),
        machine=machine,
        versions=versions or {"numpy": "2.4"},
        command="python -m benchmarks race",
        samples=tuple(
            Sample.of(series, process, [value])
            for series, values in seconds.items()
            for process, value in enumerate(values)
        ),
        document=b"",
    )


def stepping(store: Store, commits: int = 40, at: int = 25, factor: float = 1.1) -> None:
    """A history of two series with noise, of which NUMBA takes `factor` as long from commit `at` on."""
    rng = np.random.default_rng(0)
    for k in range(commits):
        noise = np.exp(0.01 * rng.standard_normal((2, 5)))
        numba = 1e-5 * (factor if k >= at else 1.0)
        versions = {"numpy": "2.4" if k < at else "2.5"}
        store.add([levels(k, {NUMPY: 3e-5 * noise[0], NUMBA: numba * noise[1]}, versions=versions)])


def pairs(base: str = sha(1), head: str = sha(2), count: int = 3) -> Pairs:
    """Pairs of one benchmark and one control, head taking 5 % longer."""

    def side(ref: str, commit: str) -> Commit:
        return Commit(ref, commit, MACHINE, {"numpy": "2.4"})

    cell = {"implementation": "numpy", "workload": "digits", "phase": "gradients", "batch_size": 128}
    benchmark = Benchmark("numpy gradients m=128 float64", params={**cell, "dtype": "float64"})
    control = Benchmark("control interpreter", control=True)
    turns = tuple(1e-4 * (1 + k / 100) for k in range(8))
    return Pairs(
        created="2025-01-02T03:04:05+00:00",
        command="gradrace gate run --base main",
        base=side("origin/main", base),
        head=side("HEAD", head),
        settings={},
        benchmarks=(benchmark, control),
        incidents=(),
        pairs=tuple(
            Pair(
                "2025-01-02T03:04:05+00:00",
                10.0,
                "base",
                1,
                2,
                3,
                4,
                None,
                (
                    Reading(benchmark.name, 10, turns, tuple(1.05 * t for t in turns)),
                    Reading(control.name, 10, turns, turns),
                ),
            )
            for _ in range(count)
        ),
    )


def opened(db: str) -> Store:
    from reports.history.store import open_store

    return open_store(db, "create")
