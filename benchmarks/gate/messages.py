"""What the processes of a pair are ordered to do, and what they answer."""

from __future__ import annotations

from typing import Any

from benchmarks.measure.process import Message
from benchmarks.record.cells import Status
from benchmarks.record.pairs_file import Benchmark

WORKER = "benchmarks.gate.worker:serve"
"""Whom the orders go to: by its name, as it is that of head's benchmark files."""


class PairOrder(Message):
    """What a process is to do."""


class ListBenchmarks(PairOrder):
    """Name the benchmarks of these implementations; answered by `Catalogue`."""

    implementations: tuple[str, ...]


class Prepare(PairOrder):
    """Get ready to time these benchmarks; answered by a `Preparing` each, one without a name, and `Ready`."""

    benchmarks: tuple[Benchmark, ...]
    verify: bool


class Settle(PairOrder):
    """Warm a benchmark up; answered by `Timed`."""

    benchmark: str


class TakeTurn(PairOrder):
    """Take a turn of so many calls on a benchmark; answered by `Timed`."""

    benchmark: str
    iterations: int


class PairAnswer(Message):
    """What has been done."""


class Catalogue(PairAnswer):
    """What there is to measure, controls last."""

    benchmarks: tuple[Benchmark, ...]


class Preparing(PairAnswer):
    """The benchmark that the process turns to now; None for what no benchmark is to blame for."""

    benchmark: str | None


class Ready(PairAnswer):
    """What a process that holds one CPU runs on, the benchmarks that it lost (status and reason), and the
    folder that its implementations are from.
    """

    machine: dict[str, Any]
    versions: dict[str, str]
    threads_in_force: dict[str, int]
    lost: dict[str, tuple[Status, str]]
    source: str


class Timed(PairAnswer):
    """Seconds of one call."""

    seconds: float
