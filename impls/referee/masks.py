"""The referee's own computation of the dropout masks that `Training` defines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impls.interface import Problem

Reals = NDArray[np.float64]
Words = NDArray[np.uint64]
"""32-bit numbers in 64 bits, so that a product of two is exact."""

Kept = Sequence[Reals | None]
"""For each layer the factors of its activations, (n_l, m): 0 where dropped, else 1 / (1 - p); None for a
layer without dropout, as the last one.
"""

LOW = np.uint64(0xFFFFFFFF)


def scramble(x: Words) -> Words:
    """lowbias32 (Chris Wellons, hash-prospector)."""
    x = (x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D) & LOW
    x = (x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B) & LOW
    return x ^ (x >> np.uint64(16))


def kept(problem: Problem, dtype: str, step: int) -> list[Reals | None]:
    """The factors of dropout after `step` steps, rounded to `dtype`."""
    found: list[Reals | None] = []
    m = problem.batch_size
    for layer, (n, p) in enumerate(zip(problem.network.widths[1:-1], problem.dropout, strict=True)):
        if p == 0:
            found.append(None)
            continue
        key = np.array([problem.training.seed ^ 0x9E3779B9], np.uint64)
        for word in (step, layer):
            key = scramble(key) ^ (np.uint64(word) & LOW)
        index = np.arange(n * m, dtype=np.uint64) & LOW
        hashed = scramble(scramble(index) ^ scramble(key)).astype(np.float64)
        stays = hashed >= min(p * 2.0**32, 2.0**32 - 1)
        scale = float(np.dtype(dtype).type(1 / (1 - p)))
        found.append(np.where(stays, scale, 0.0).reshape(n, m))
    return [*found, None]
