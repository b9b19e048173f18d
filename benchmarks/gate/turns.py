"""One pair: two fresh processes, which take turns on one CPU, benchmark by benchmark.

Turns of a few milliseconds expose both processes to the same conditions: a slow second of the machine slows
both. The process that comes first is drawn for each pair, and alternates from turn to turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import random
import time
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.planning import FEW_TURNS, LEAST_TURNS, SIDE_SECONDS, TURNS, Cost, Schedule
from benchmarks.gate.sides import (
    SIDES,
    Collected,
    Finished,
    Left,
    LostBenchmark,
    RunSuite,
    Settle,
    SideEnvironment,
    SideProcess,
    SuiteEnded,
    TakeTurn,
    Trace,
    Traced,
)
from benchmarks.measure.threads import cpus
from benchmarks.record import machine
from benchmarks.record.pairs_file import Incident, Pair, Reading, Side

PADDING_BYTES = 4096
"""The most that is added at random to an environment, which moves the stack and what shares a cache line."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The controls and benchmarks that a pair measures, by their node ids.

    Those in `few` take few turns; the memory of those in `untraced` is not traced.
    """

    controls: tuple[str, ...]
    benchmarks: tuple[str, ...]
    few: frozenset[str] = frozenset()
    untraced: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class MeasuredPair:
    """A pair, and why readings are missing: `incidents` on a side, and benchmarks `skipped` by both."""

    pair: Pair
    incidents: tuple[Incident, ...]
    skipped: Mapping[str, str]


def collect(places: Iterable[SideEnvironment]) -> dict[Side, Collected]:
    """The suite of each side, both collected at once; raises NoAnswer if one cannot be collected."""
    with contextlib.ExitStack() as running:
        processes = [running.enter_context(SideProcess(place, 0, 0)) for place in places]
        return {process.place.side: process.collected() for process in processes}


def measure(
    places: Sequence[SideEnvironment], wanted: Wanted, schedules: dict[str, Schedule]
) -> MeasuredPair:
    """Measure what is wanted in a fresh pair.

    Adds the schedules of benchmarks that were never measured before to `schedules`. Raises NoAnswer if a side
    cannot run at all, or runs code of another tree.
    """
    rng = random.SystemRandom()
    began, started = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    load = machine.load_average()
    seeds = {side: rng.randrange(2**32) for side in SIDES}
    paddings = {side: rng.randrange(PADDING_BYTES) for side in SIDES}
    order = rng.sample(places, len(places))
    readings: list[Reading] = []
    incidents: list[Incident] = []
    skipped: dict[str, str] = {}
    with contextlib.ExitStack() as running:
        processes = {
            each.side: running.enter_context(SideProcess(each, seeds[each.side], paddings[each.side]))
            for each in order
        }
        for process in processes.values():
            process.collected()
        for process in processes.values():
            process.send(RunSuite(cpus()[-1], wanted.controls, wanted.benchmarks))
        try:
            for name in (*wanted.controls, *wanted.benchmarks):
                most = FEW_TURNS if name in wanted.few else TURNS
                reading, ends = _benchmark(name, processes, schedules, most, name not in wanted.untraced)
                lost = {side: end for side, end in ends.items() if end.status != "passed"}
                if all(end.status == "skipped" for end in ends.values()):
                    skipped[name] = ends["head"].reason
                elif lost:
                    incidents += [
                        Incident(name, side, "skipped" if end.status == "skipped" else "failed", end.reason)
                        for side, end in lost.items()
                    ]
                elif reading is not None:
                    readings.append(reading)
            for process in processes.values():
                _check_source(process)
        except LostBenchmark as error:
            incidents.append(error.incident)
    pair = Pair(
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - began,
        first=order[0].side,
        base_hash_seed=seeds["base"],
        head_hash_seed=seeds["head"],
        base_padding=paddings["base"],
        head_padding=paddings["head"],
        load_average=load,
        readings=tuple(readings),
    )
    return MeasuredPair(pair, tuple(incidents), skipped)


def _check_source(process: SideProcess) -> None:
    """Raise NoAnswer if a side has loaded code from outside its worktree."""
    process.busy_with = None
    foreign = process.receive(SuiteEnded).foreign
    if foreign:
        raise NoAnswer(
            f"{process.place.side} runs {', '.join(foreign)}, expected code of its own worktree, "
            f"{process.place.worktree}; omit --here, so that each side has its own environment"
        )


def _benchmark(
    name: str, processes: Mapping[Side, SideProcess], schedules: dict[str, Schedule], most: int, traced: bool
) -> tuple[Reading | None, dict[Side, Finished]]:
    """The reading of one benchmark, None if a side has none, and how its tests ended."""
    reading, ends = None, {}
    try:
        bears = [process.reached(name).rounds for process in processes.values()]
        rounds = min((b for b in bears if b), default=None)
        reading = _turns(name, processes, schedules, most, rounds, traced)
    except Left as left:
        ends[left.side] = left.finished
    for side, process in processes.items():
        if side not in ends:
            ends[side] = process.finished(name)
    return reading, ends


def _turns(
    name: str,
    processes: Mapping[Side, SideProcess],
    schedules: dict[str, Schedule],
    most: int,
    bears: int | None,
    traced: bool,
) -> Reading:
    """The turns of one benchmark, which allows at most `bears` rounds (None: any number)."""
    first = {side: process.time(TakeTurn(1)) for side, process in processes.items()}
    if bears is not None:
        return _rounds(name, processes, first, min(most, bears - 1))
    if name not in schedules:
        schedules[name] = Schedule.of(min(process.time(Settle()) for process in processes.values()))
    schedule = schedules[name]
    seconds = _alternating(processes, schedule.calls, min(most, schedule.turns))
    peaks = {}
    for side, process in processes.items() if traced else ():
        process.send(Trace(schedule.traced))
        peaks[side] = process.receive(Traced).bytes
    return Reading(
        name,
        schedule.calls,
        tuple(seconds["base"]),
        tuple(seconds["head"]),
        (first["base"], first["head"]),
        (peaks["base"], peaks["head"]) if traced else None,
    )


def _rounds(
    name: str, processes: Mapping[Side, SideProcess], first: Mapping[Side, float], most: int
) -> Reading:
    """The turns of a benchmark that sets its own number of rounds: one round each, and no more than that."""
    fit = max(LEAST_TURNS, round(SIDE_SECONDS / min(first.values())))
    seconds = _alternating(processes, 1, min(most, fit))
    if not seconds["base"]:  # one round, which is the first call, too
        return Reading(name, 1, (first["base"],), (first["head"],))
    calls = (first["base"], first["head"])
    return Reading(name, 1, tuple(seconds["base"]), tuple(seconds["head"]), calls)


def _alternating(processes: Mapping[Side, SideProcess], calls: int, turns: int) -> dict[Side, list[float]]:
    """The seconds of a call in each of `turns` turns; who goes first alternates from turn to turn."""
    seconds: dict[Side, list[float]] = {side: [] for side in SIDES}
    sides = list(processes)
    for turn in range(turns):
        for side in sides if turn % 2 == 0 else reversed(sides):
            seconds[side].append(processes[side].time(TakeTurn(calls)))
    return seconds


def survey(place: SideEnvironment, benchmarks: Sequence[str]) -> tuple[dict[str, Cost], float]:
    """The cost of each benchmark on one side, and the seconds that a process takes to start and to collect.

    A benchmark that fails there costs 0; the first pair reports it.
    """
    costs: dict[str, Cost] = {}
    starting = 0.0
    while left := [name for name in benchmarks if name not in costs]:
        began = time.perf_counter()
        with SideProcess(place, 0, 0) as process:
            process.collected()
            starting = time.perf_counter() - began
            process.send(RunSuite(cpus()[-1], (), tuple(left)))
            for name in left:
                costs[name] = Cost(0.0, 0.0)
                try:
                    costs[name] = _cost(process, name)
                except Left:
                    continue
                except LostBenchmark:
                    break
    return costs, starting


def _cost(process: SideProcess, name: str) -> Cost:
    began = time.perf_counter()
    reached = process.reached(name)
    call, settled = process.time(TakeTurn(1)), time.perf_counter()
    if reached.rounds is None:
        call = process.time(Settle())
    settling = time.perf_counter() - settled
    process.finished(name)
    return Cost(time.perf_counter() - began - settling, call)
