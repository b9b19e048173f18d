"""The timing of one method, warm at the same shape, in rounds much longer than the timer's resolution."""

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
"""The shortest round: about 10,000 times the resolution of the timer."""

AT_ONCE_SECONDS = 1e-2
"""The shortest round of an implementation that runs it on one request: about 500 times the duration of a
message to another process."""

CELL_SECONDS = 0.1
"""Seconds that the rounds of a cell fill, with the calls around them, within the limits of `ROUNDS`."""

ROUNDS = (5, 50)
"""The fewest and the most rounds of a cell in one process."""

MOST_CALLS = 2**20
"""The largest number of calls of a round, since a call takes a cycle at least. A round seems to need more
only if the implementation, asked for all of them at once, leaves some out, which the audit finds.
"""

WARM_UP_SECONDS = 0.1
_STEADY = 3
_FALLEN = 0.98


@dataclasses.dataclass(frozen=True)
class RoundPlan:
    """The number of rounds, and of calls (`iterations`) in each."""

    rounds: int
    iterations: int

    @property
    def slow(self) -> bool:
        """Whether a round is a single call, and the fewest rounds take longer than a cell should."""
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
    """The seconds of `iterations` calls, with the garbage collector off.

    If `call` is a method of an implementation that has `repeat`, all of them are one request.
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
    """`repeated(times)` makes `times` calls in one request, by the implementation's `repeat`; or None."""
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
    """The rounds and iterations of a method whose warm call takes `call_seconds`.

    `at_once`: the calls of a round are one request. Moving the state before a round takes about two calls, or
    a quarter of the round.
    """
    iterations = max(1, math.ceil((AT_ONCE_SECONDS if at_once else ROUND_SECONDS) / call_seconds))
    fewest, most = ROUNDS
    rounds = round(CELL_SECONDS / (call_seconds * (iterations + max(2, iterations / 4))))
    return RoundPlan(min(max(rounds, fewest), most), iterations)


def predict(measured: Mapping[int, float], batch_size: int) -> float | None:
    """The seconds of one call at `batch_size`, from those at smaller batch sizes; None without any.

    A call has a fixed cost and a cost for each sample: the line through the two largest batch sizes measured,
    or, from a single one, a cost in proportion to the samples.
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
