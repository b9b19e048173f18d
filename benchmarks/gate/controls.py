"""Kernels that no change of ours touches: where they move between two commits, the machine moved.

Each is bound by one part of the machine, and so by what disturbs that part.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

COPIED_BYTES = 16 * 2**20
"""From and to as much: beyond a second-level cache, and beyond one core's share of a third-level one."""


def _interpret(numbers: list[int]) -> int:
    total = 0
    for number in numbers:
        total += number & 7
    return total


def interpreter() -> Callable[[], Any]:
    """A loop of Python's own: some 100 us."""
    return functools.partial(_interpret, list(range(3000)))


def blas() -> Callable[[], Any]:
    """A float64 matrix product of 192 x 192, into memory that is there already: some 300 us."""
    a = np.random.default_rng(0).standard_normal((192, 192))
    return functools.partial(np.matmul, a, a.copy(), out=np.empty_like(a))


def memory() -> Callable[[], Any]:
    """A copy from memory to memory: some 3 ms."""
    source = np.ones(COPIED_BYTES // 8)
    return functools.partial(np.copyto, np.empty_like(source), source)


# Names are stored in pairs files: they are stable.
CONTROLS: dict[str, Callable[[], Callable[[], Any]]] = {
    "interpreter": interpreter,
    "blas": blas,
    "memory": memory,
}
