"""One pair: two fresh processes are prepared, and then take turns on one CPU, benchmark by benchmark.

Turns of a few milliseconds expose both processes to the same conditions: what slows the machine for a second
slows both. Which process comes first is drawn for each pair, and alternates from turn to turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.messages import (
    WORKER,
    Catalogue,
    ListBenchmarks,
    PairAnswer,
    PairOrder,
    Prepare,
    Preparing,
    Ready,
    Settle,
    TakeTurn,
    Timed,
)
from benchmarks.measure.process import Process, ProcessError, Silent
from benchmarks.record import machine
from benchmarks.record.cells import Status
from benchmarks.record.pairs_file import Benchmark, Incident, Pair, Reading, Side

SIDES: tuple[Side, Side] = ("base", "head")

TURNS = 80
"""Turns of each process on each benchmark. The process is what counts: more turns buy little."""

TURN_SECONDS = 1e-3
"""Least length of a turn: some 10,000 times the resolution of the timer."""

PADDING_BYTES = 4096
"""A process's environment is longer by up to so much: that moves its stack, and what shares a cache line."""

PREPARE_SECONDS = 300.0
"""A benchmark that takes longer to construct, compile or verify is lost."""

TURN_LIMIT_SECONDS = 60.0
"""A turn that takes longer hangs."""

A = TypeVar("A", bound=PairAnswer)


class Incidents(Exception):
    """A pair that measured nothing, since benchmarks were lost: it is to be repeated without those."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        super().__init__(f"{len(incidents)} benchmarks lost")
        self.incidents = tuple(incidents)


@dataclasses.dataclass(frozen=True)
class Place:
    """A side: the worktree of its commit, and the Python that runs it."""

    side: Side
    python: Path
    worktree: Path


class SideProcess:
    """A fresh process of a side, in its worktree, with numba's cache empty; a context manager.

    Where it fails the benchmark that it was busy with is lost (Incidents); where it was busy with none, there
    is no answer (NoAnswer).
    """

    def __init__(self, place: Place, hash_seed: int, padding: int) -> None:
        self.place = place
        self.busy_with: str | None = None
        self.cache = place.worktree.parent / f"numba-{place.side}"
        shutil.rmtree(self.cache, ignore_errors=True)
        self.process = Process(
            WORKER,
            threads=1,
            python=place.python,
            root=place.worktree,
            folder=place.worktree,
            variables={
                "PYTHONHASHSEED": str(hash_seed),
                "GRADRACE_PADDING": "x" * padding,
                "NUMBA_CACHE_DIR": str(self.cache),
            },
        )

    def __enter__(self) -> SideProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()
        shutil.rmtree(self.cache, ignore_errors=True)

    def send(self, order: PairOrder) -> None:
        """Send an order, without waiting for its answer."""
        with self._failures():
            self.process.send(order)

    def receive(self, kind: type[A], seconds: float) -> A:
        """The next answer, of a kind that the last order allows."""
        with self._failures():
            answer = self.process.receive(PairAnswer, seconds)
        assert isinstance(answer, kind)
        return answer

    def time(self, order: Settle | TakeTurn) -> float:
        """Seconds of one call, by an order to time it."""
        self.busy_with = order.benchmark
        self.send(order)
        return self.receive(Timed, TURN_LIMIT_SECONDS).seconds

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except ProcessError as error:
            how, _, printed = str(error).partition("; it printed: ")
            reason = f"{how}: {printed.splitlines()[-1]}" if printed else how
            side = self.place.side
            if self.busy_with is None:
                raise NoAnswer(
                    f"{side} cannot be compared, as it cannot run head's benchmark files: {reason}"
                ) from error
            status: Status = "timed out" if isinstance(error, Silent) else "failed"
            raise Incidents([Incident(self.busy_with, side, status, reason)]) from error


def catalogue(head: Place, implementations: Sequence[str]) -> tuple[Benchmark, ...]:
    """What head's benchmark files have to measure, controls last; raises NoAnswer where they cannot say."""
    with SideProcess(head, 0, 0) as process:
        process.send(ListBenchmarks(tuple(implementations)))
        return process.receive(Catalogue, TURN_LIMIT_SECONDS).benchmarks


def measure(
    places: Sequence[Place], benchmarks: Sequence[Benchmark], iterations: dict[str, int], verify: bool
) -> tuple[Pair, dict[Side, Ready]]:
    """Measure `benchmarks` in a fresh pair.

    `iterations` holds the calls of a turn, and gets those of benchmarks that were never measured before.
    Raises Incidents where benchmarks were lost, NoAnswer where a side cannot run at all.
    """
    rng = random.SystemRandom()
    began, started = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    load = machine.load_average()
    seeds = {side: rng.randrange(2**32) for side in SIDES}
    paddings = {side: rng.randrange(PADDING_BYTES) for side in SIDES}
    order = rng.sample(places, len(places))
    with contextlib.ExitStack() as running:
        processes = {
            each.side: running.enter_context(SideProcess(each, seeds[each.side], paddings[each.side]))
            for each in order
        }
        ready = _prepare(processes, benchmarks, verify)
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if name not in iterations:
                fastest = min(process.time(Settle(name)) for process in processes.values())
                iterations[name] = max(1, math.ceil(TURN_SECONDS / fastest))
        seconds: dict[str, dict[Side, list[float]]] = {name: {side: [] for side in SIDES} for name in names}
        for turn in range(TURNS):
            rng.shuffle(names)
            for name in names:
                for side in processes if turn % 2 == 0 else reversed(processes):
                    seconds[name][side].append(processes[side].time(TakeTurn(name, iterations[name])))
    pair = Pair(
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        first=order[0].side,
        base_hash_seed=seeds["base"],
        head_hash_seed=seeds["head"],
        base_padding=paddings["base"],
        head_padding=paddings["head"],
        load_average=load,
        readings=tuple(
            Reading(name, iterations[name], tuple(spent["base"]), tuple(spent["head"]))
            for name, spent in sorted(seconds.items())
        ),
    )
    return pair, ready


def _prepare(
    processes: Mapping[Side, SideProcess], benchmarks: Sequence[Benchmark], verify: bool
) -> dict[Side, Ready]:
    """Both at once, where there are CPUs for both: nothing is timed yet."""
    for process in processes.values():
        process.send(Prepare(tuple(benchmarks), verify))
    ready: dict[Side, Ready] = {}
    for side, process in processes.items():
        while isinstance(answer := process.receive(PairAnswer, PREPARE_SECONDS), Preparing):
            process.busy_with = answer.benchmark
        assert isinstance(answer, Ready)
        worktree = process.place.worktree
        if answer.source != str(worktree.resolve()):
            raise NoAnswer(
                f"{side} runs the implementations in {answer.source}, expected those of its own worktree, "
                f"{worktree}"
            )
        ready[side] = answer
    lost = [Incident(name, side, *why) for side in ready for name, why in ready[side].lost.items()]
    if lost:
        raise Incidents(lost)
    return ready
