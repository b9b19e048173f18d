"""One pair: two fresh processes are prepared, and then take turns on one CPU, benchmark by benchmark.

Turns of a few milliseconds put both processes into the same weather: what slows the machine for a second
slows both. Which process comes first is drawn for each pair, and alternates from turn to turn.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.gate.process import Crash, Process
from benchmarks.gate.worker import PROTOCOL
from benchmarks.gate.worktrees import SIDES, NoAnswer
from benchmarks.measure import environment
from benchmarks.record.pairs_file import Benchmark, Incident, Pair, Reading, Side

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


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a process says of itself."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    threads_in_force: Mapping[str, int]


class Incidents(Exception):
    """A pair that measured nothing, since benchmarks were lost: it is to be repeated without those."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        super().__init__(f"{len(incidents)} benchmarks lost")
        self.incidents = tuple(incidents)


Start = Callable[[Side, int, int], Process]
"""Starts a process of a side, with a hash seed and so many bytes of padding."""


def catalogue(start: Start, implementations: Sequence[str]) -> tuple[Benchmark, ...]:
    """What head's benchmark files have to measure, controls last; raises NoAnswer where they cannot say."""
    process = start("head", 0, 0)
    try:
        process.order(list=list(implementations))
        found = process.answer(TURN_LIMIT_SECONDS)
    except Crash as crash:
        raise NoAnswer(f"head's benchmark files cannot be run: {crash.reason}") from crash
    finally:
        process.close()
    if found["protocol"] != PROTOCOL:
        raise NoAnswer(
            f"head's benchmark files: expected protocol {PROTOCOL}, got {found['protocol']}; "
            "run the gate from a checkout of head"
        )
    return tuple(Benchmark(**given) for given in found["gated"] + found["controls"])


def measure(
    start: Start,
    benchmarks: Sequence[Benchmark],
    iterations: dict[str, int],
    verify: bool,
) -> tuple[Pair, dict[Side, Facts]]:
    """Measure `benchmarks` in a fresh pair.

    `iterations` holds the calls of a turn, and gets those of benchmarks that were never measured before.
    Raises Incidents where benchmarks were lost, NoAnswer where a side cannot run at all.
    """
    rng = random.SystemRandom()
    began, started = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    load = environment.load_average()
    seeds = {side: rng.randrange(2**32) for side in SIDES}
    paddings = {side: rng.randrange(PADDING_BYTES) for side in SIDES}
    order = list(SIDES)
    rng.shuffle(order)
    processes: dict[Side, Process] = {}
    try:
        for side in order:
            processes[side] = start(side, seeds[side], paddings[side])
        facts = _prepare(processes, benchmarks, verify)
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if name not in iterations:
                fastest = min(_ask(processes[side], name, settle=name) for side in order)
                iterations[name] = max(1, math.ceil(TURN_SECONDS / fastest))
        seconds: dict[str, dict[Side, list[float]]] = {name: {side: [] for side in SIDES} for name in names}
        for turn in range(TURNS):
            rng.shuffle(names)
            for name in names:
                for side in order if turn % 2 == 0 else reversed(order):
                    spent = _ask(processes[side], name, time=name, iterations=iterations[name])
                    seconds[name][side].append(spent)
    except Crash as crash:
        raise _incident(crash) from crash
    finally:
        for process in processes.values():
            process.close()
    pair = Pair(
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        first=order[0],
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
    return pair, facts


def _prepare(
    processes: Mapping[Side, Process], benchmarks: Sequence[Benchmark], verify: bool
) -> dict[Side, Facts]:
    """Both at once, where there are CPUs for both: nothing is timed yet."""
    wanted = [dataclasses.asdict(benchmark) for benchmark in benchmarks]
    for process in processes.values():
        process.order(prepare=wanted, verify=verify)
    facts, incidents = {}, []
    for side, process in processes.items():
        answer = process.answer(PREPARE_SECONDS)
        while "preparing" in answer:
            process.during = answer["preparing"]
            answer = process.answer(PREPARE_SECONDS)
        if answer["source"] != str(process.worktree.resolve()):
            raise NoAnswer(
                f"{side} runs the implementations in {answer['source']}, expected those of its own worktree, "
                f"{process.worktree}"
            )
        incidents += [Incident(name, side, **why) for name, why in answer["lost"].items()]
        facts[side] = Facts(**answer["facts"])
    if incidents:
        raise Incidents(incidents)
    return facts


def _ask(process: Process, name: str, **order: Any) -> float:
    process.during = name
    process.order(**order)
    seconds: float = process.answer(TURN_LIMIT_SECONDS)["seconds"]
    return seconds


def _incident(crash: Crash) -> Exception:
    if crash.during is None:
        return NoAnswer(f"{crash.side} cannot run head's benchmark files: {crash.reason}")
    return Incidents(
        [Incident(crash.during, crash.side, "timed out" if crash.timed_out else "failed", crash.reason)]
    )
