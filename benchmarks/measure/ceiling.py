"""The largest number of operations a second of a core: a measured rate beyond it is implausible.

It is that of fused multiply-adds in registers. A large product by BLAS is slower: hand-blocked code has been
13 % faster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.measure import calibration
from benchmarks.record import race_file

MARGIN = 1.1
"""The factor by which a rate may exceed the ceiling, as the clock frequency may have been higher."""

PRODUCTS = 2.0
"""The ceiling without numba, as a multiple of the rate of a large product; far above any attainable rate."""

TRIES = 4
"""The number of measurements of the ceiling, of which the highest counts, before a rate is implausible."""


class Ceiling:
    """The highest measured rate of a core of this machine, in operations a second of each dtype.

    `ready` is called before each measurement; it may wait until the machine is undisturbed.
    """

    def __init__(self, ready: Callable[[], Any]) -> None:
        self.ready = ready
        self.known: dict[str, float] = {}

    def held(self, found: race_file.Measurement, flops: int) -> race_file.Measurement:
        """`found`, whose calls do `flops` operations; above the ceiling `implausible`, with the reason."""
        rate, cores = flops / found.fastest, found.threads * found.ranks
        if self.allows(rate, found.dtype, cores):
            return found
        reason = (
            f"{found.implementation}: {rate / 1e9:.4g} GFLOP/s in its fastest round; FMAs reach at most "
            f"{cores * self.known[found.dtype] / 1e9:.4g} here: "
            "which part of the work is left out?"
        )
        return dataclasses.replace(found, status="implausible", reason=reason)

    def allows(self, rate: float, dtype: str, threads: int) -> bool:
        """Whether `threads` cores can do `rate` operations a second; measures until that is clear."""
        measures: list[Callable[[], float]] = [lambda: calibration.gemm(dtype, self.ready) / threads]
        measures += [lambda: highest(dtype, self.ready)] * TRIES
        for measure in measures:
            if rate <= MARGIN * threads * self.known.get(dtype, 0.0):
                break
            self.known[dtype] = max(self.known.get(dtype, 0.0), measure())
        return rate <= MARGIN * threads * self.known[dtype]


def highest(dtype: str, ready: Callable[[], Any]) -> float:
    """The operations a second of fused multiply-adds in registers, on one core."""
    try:
        from benchmarks.measure import fma
    except ImportError:
        return PRODUCTS * calibration.gemm(dtype, ready)
    return max(operations / calibration.best(loop, ready) for operations, loop in fma.loops(dtype))
