"""The schedule of each benchmark, and the plan of those that fit the budget, the cheapest first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

TURNS = 80
"""Turns of each process on each benchmark. More turns gain little, as processes differ more than turns."""

FEW_TURNS = 10
"""Turns if only measures with one value for each process are open."""

LEAST_TURNS = 6

SIDE_SECONDS = 0.4
"""The time of a process on one benchmark, above which it takes fewer turns, but at least LEAST_TURNS."""

TURN_SECONDS = 1e-3
"""The shortest turn: about 10,000 times the resolution of the timer."""

TRACE_SECONDS = 5e-3
"""The untraced seconds of the calls whose memory is traced. Several calls show memory that each one keeps."""

TRACED_SLOWDOWN = 5
"""The approximate slowdown of a call while its memory is traced."""

PAIRS_TO_PASS = 19
"""The pairs after which an unchanged benchmark passes; fewer do not rule out one slow process in five."""

FULL_PAIRS = 8
"""About how many of those pairs take all turns, until only measures with one value for a process are open."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A benchmark's calls in a turn, turns in a process, and traced calls, the same in every pair."""

    calls: int
    turns: int
    traced: int

    @classmethod
    def of(cls, seconds: float) -> Schedule:
        """The schedule of a benchmark whose warm call takes `seconds`."""
        calls = max(1, math.ceil(TURN_SECONDS / seconds))
        turns = min(TURNS, max(LEAST_TURNS, round(SIDE_SECONDS / (calls * seconds))))
        return cls(calls, turns, max(1, math.ceil(TRACE_SECONDS / seconds)))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of a benchmark in a process: `test` without its calls, and one warm `call`."""

    test: float
    call: float

    def pair(self, few: bool) -> float:
        """Seconds in a pair, with all turns or with `few`."""
        if not self.call:
            return 0.0
        schedule = Schedule.of(self.call)
        calls = min(FEW_TURNS, schedule.turns) * schedule.calls
        if not few:
            calls = schedule.turns * schedule.calls + TRACED_SLOWDOWN * schedule.traced
        return 2 * (self.test + calls * self.call)


@dataclasses.dataclass(frozen=True)
class GatePlan:
    """The benchmarks that are watched, the cheapest first, and those that are too slow for the budget.

    `pair` is the seconds of a pair, `seconds` those until an unchanged suite passes.
    """

    watched: tuple[str, ...]
    too_slow: tuple[str, ...]
    pair: float
    seconds: float

    @classmethod
    def of(cls, costs: Mapping[str, Cost], starting: float, budget: float) -> GatePlan:
        """The plan within a `budget` of seconds, if starting a pair takes `starting` seconds.

        It watches at least one benchmark.
        """
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
