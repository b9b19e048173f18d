"""How one method is timed: warmed up at its very shape, in rounds that are long against the timer."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROUND_SECONDS = 1e-3
"""The least length of a round: some 10,000 times the resolution of the timer."""

AT_ONCE_SECONDS = 1e-2
"""The least length of a round that is asked for at once: some 500 times what a message to another process
takes."""

CELL_SECONDS = 0.1
"""Seconds that the rounds of a cell fill, with the calls around them, within the limits of `ROUNDS`."""

ROUNDS = (5, 50)
"""The fewest and the most rounds of a cell in one process."""

MOST_CALLS = 2**20
"""So many calls take longer than a round: no call takes less than a cycle. More are only made where an
implementation that is asked for all of them at once leaves some out, which its audit finds.
"""

WARM_UP_SECONDS = 0.1
_STEADY = 3
_FALLEN = 0.98


@dataclasses.dataclass(frozen=True)
class RoundPlan:
    """So many rounds of so many calls."""

    rounds: int
    iterations: int

    @property
    def slow(self) -> bool:
        """Whether a round is a single call, and as few of them as may be are too long for a cell."""
        return self.iterations == 1 and self.rounds <= ROUNDS[0]


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """A block in which the garbage collector is off."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def seconds_of(call: Callable[[], Any], iterations: int) -> float:
    """The seconds of so many calls, with the garbage collector off.

    Where they are of a method of an implementation that offers `repeat`, it is asked for all of them at once.
    """
    repeated = _repeated(call)
    with no_collection():
        start = time.perf_counter()
        if repeated is not None:
            repeated(iterations)
        else:
            for _ in range(iterations):
                call()
        return time.perf_counter() - start


def _repeated(call: Callable[[], Any]) -> Callable[[int], Any] | None:
    """So many of these calls as one, by their implementation's `repeat`; None where there is none."""
    method, arguments = (call.func, call.args) if isinstance(call, functools.partial) else (call, ())
    implementation, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    repeat = getattr(implementation, "repeat", None)
    if repeat is None or getattr(implementation, name, None) != method:
        return None
    return lambda times: repeat(name, times, *arguments)


def settle(call: Callable[[], Any]) -> float:
    """The best time of one call in seconds, once the times have stopped falling: the warm-up."""
    iterations, best, steady = 1, math.inf, 0
    deadline = time.perf_counter() + WARM_UP_SECONDS
    while True:
        elapsed = seconds_of(call, iterations)
        steady = steady + 1 if elapsed / iterations > _FALLEN * best else 0
        best = min(best, elapsed / iterations)
        if elapsed < ROUND_SECONDS / 4 and iterations < MOST_CALLS:
            iterations *= 2
        elif steady >= _STEADY:
            return best
        if time.perf_counter() > deadline:
            return best


def plan(call_seconds: float, at_once: bool = False) -> RoundPlan:
    """The rounds and iterations of a method whose warm call takes so many seconds.

    `at_once` is whether its implementation is asked for the calls of a round at once. Around a round, to move
    the state, come about two calls, or a quarter of the round.
    """
    iterations = max(1, math.ceil((AT_ONCE_SECONDS if at_once else ROUND_SECONDS) / call_seconds))
    fewest, most = ROUNDS
    rounds = round(CELL_SECONDS / (call_seconds * (iterations + max(2, iterations / 4))))
    return RoundPlan(min(max(rounds, fewest), most), iterations)


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
