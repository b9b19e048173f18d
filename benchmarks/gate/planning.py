"""How each benchmark is measured, and which of them fit into the budget: the cheap ones come first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

TURNS = 80
"""Turns of each process on each benchmark. The process is what counts: more turns buy little."""

FEW_TURNS = 10
"""Turns where only what is seen once a process is still open."""

LEAST_TURNS = 6

SIDE_SECONDS = 0.4
"""Where 80 turns would take a process longer, it takes fewer, down to the least."""

TURN_SECONDS = 1e-3
"""Least length of a turn: some 10,000 times the resolution of the timer."""

TRACE_SECONDS = 5e-3
"""Memory is traced over as many calls as take so long untraced: what a list keeps of each of them adds up."""

TRACED_SLOWDOWN = 5
"""How many times as long a call takes while its memory is traced, about."""

PAIRS_TO_PASS = 19
"""Pairs after which an unchanged benchmark passes: fewer do not show that one process in five is not slow."""

FULL_PAIRS = 8
"""How many of those have all of their turns, about: until only what is seen once a process is open."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How a benchmark is measured in every pair: the calls of a turn, and the turns of a process."""

    calls: int
    turns: int
    traced: int

    @classmethod
    def of(cls, seconds: float) -> Schedule:
        """The schedule of a benchmark whose warm call takes so many seconds."""
        calls = max(1, math.ceil(TURN_SECONDS / seconds))
        turns = min(TURNS, max(LEAST_TURNS, round(SIDE_SECONDS / (calls * seconds))))
        return cls(calls, turns, max(1, math.ceil(TRACE_SECONDS / seconds)))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of a benchmark in a process: those of its test besides its calls, and those of a warm call."""

    test: float
    call: float

    def pair(self, few: bool) -> float:
        """Seconds in a pair."""
        if not self.call:
            return 0.0
        schedule = Schedule.of(self.call)
        calls = min(FEW_TURNS, schedule.turns) * schedule.calls
        if not few:
            calls = schedule.turns * schedule.calls + TRACED_SLOWDOWN * schedule.traced
        return 2 * (self.test + calls * self.call)


@dataclasses.dataclass(frozen=True)
class GatePlan:
    """The benchmarks that are watched, the cheap ones first, and those that are too slow; seconds to pass."""

    watched: tuple[str, ...]
    too_slow: tuple[str, ...]
    pair: float
    seconds: float

    @classmethod
    def of(cls, costs: Mapping[str, Cost], starting: float, budget: float) -> GatePlan:
        """The plan within so many seconds, where starting a pair takes `starting`; it has one at least."""
        pair, whole = starting, PAIRS_TO_PASS * starting
        watched: list[str] = []
        ordered = sorted(costs, key=lambda name: costs[name].pair(few=False))
        for name in ordered:
            full, few = costs[name].pair(few=False), costs[name].pair(few=True)
            own = FULL_PAIRS * full + (PAIRS_TO_PASS - FULL_PAIRS) * few
            if watched and whole + own > budget:
                break
            watched.append(name)
            pair, whole = pair + full, whole + own
        return cls(tuple(watched), tuple(ordered[len(watched) :]), pair, whole)
