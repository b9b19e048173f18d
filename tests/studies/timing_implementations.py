"""Implementations for the trial of the race itself: copies of `numpy`, and copies of a known extra cost."""

from __future__ import annotations

import math
import time

from benchmarks.measure import clock
from benchmarks.measure.noise import Moments
from benchmarks.record.statistics import SLOWER
from impls import Problem
from impls.numpy_batch import NumpyBatch


class CopyA(NumpyBatch):
    """`numpy` under another name."""

    idea = "a copy of numpy"


class CopyB(NumpyBatch):
    """`numpy` under yet another name."""

    idea = "a copy of numpy"


class Spun(NumpyBatch):
    """`numpy`, and then a spin of a known share of the time that its own gradients take."""

    idea = "a copy of numpy with a known extra cost: here nothing but the looks at the clock"
    extra = 0.0

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.spin = 0.0
        super().__init__(problem, dtype, threads)
        moments = Moments(SLOWER)
        moments.listen()
        fastest = math.inf
        for _ in range(SETTLINGS):
            moments.wait()
            fastest = min(fastest, clock.settle(super().gradients))
        self.spin = self.extra * fastest

    def gradients(self) -> None:
        super().gradients()
        until = time.perf_counter() + self.spin
        while time.perf_counter() < until:
            pass


SETTLINGS = 5


class Spun3(Spun):
    """3 % more."""

    extra = 0.03


class Spun5(Spun):
    """5 % more."""

    extra = 0.05


class Spun10(Spun):
    """10 % more."""

    extra = 0.10


class Spun20(Spun):
    """20 % more."""

    extra = 0.20
