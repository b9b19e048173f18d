"""How one method is timed: warmed up at its very shape, in rounds that are long against the timer."""

from __future__ import annotations

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

ROUND_SECONDS = 1e-3
"""Least length of a round: some 10,000 times the resolution of the timer."""

CELL_SECONDS = 0.1
"""Rounds are repeated for so long, as far as `ROUNDS` lets them."""

ROUNDS = (8, 50)
"""Fewest and most rounds of a cell in one process."""

WARM_UP_SECONDS = 0.1
_CALM = 3
_FALLEN = 0.98


@dataclasses.dataclass(frozen=True)
class Plan:
    """So many rounds of so many calls."""

    rounds: int
    iterations: int


def seconds_of(call: Callable[[], Any], iterations: int) -> float:
    """The time of so many calls, with the garbage collector off."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(iterations):
            call()
        return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


def settle(call: Callable[[], Any]) -> float:
    """Call until the times have stopped falling; returns the best time of one call, in seconds."""
    iterations, best, calm = 1, math.inf, 0
    deadline = time.perf_counter() + WARM_UP_SECONDS
    while True:
        elapsed = seconds_of(call, iterations)
        calm = calm + 1 if elapsed / iterations > _FALLEN * best else 0
        best = min(best, elapsed / iterations)
        if elapsed < ROUND_SECONDS / 4:
            iterations *= 2
        elif calm >= _CALM:
            return best
        if time.perf_counter() > deadline:
            return best


def plan(call_seconds: float) -> Plan:
    """Rounds and iterations for a method whose warm call takes so long."""
    iterations = max(1, math.ceil(ROUND_SECONDS / call_seconds))
    fewest, most = ROUNDS
    rounds = round(CELL_SECONDS / (call_seconds * iterations))
    return Plan(min(max(rounds, fewest), most), iterations)


def predict(measured: Mapping[int, float], batch_size: int) -> float | None:
    """The seconds of one call at `batch_size`, from those at smaller batch sizes; None without any.

    A call costs something once and something for each sample: the line through the two largest batch sizes
    measured, or, from one alone, a cost in proportion to the samples.
    """
    smaller = sorted(m for m in measured if m < batch_size)
    if not smaller:
        return None
    largest = smaller[-1]
    if len(smaller) == 1:
        return measured[largest] * batch_size / largest
    before = smaller[-2]
    slope = (measured[largest] - measured[before]) / (largest - before)
    return measured[largest] + max(slope, 0.0) * (batch_size - largest)
