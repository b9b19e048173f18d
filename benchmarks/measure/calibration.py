"""The speed of the machine, measured in the process that races; implementations are compared with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from impls import caches

GEMM_SIZE = 640
"""Large: 5e8 operations amortise the call and the edges; three such matrices exceed an L2 cache."""

TRIAD_BYTES = 1 << 24
"""The size of each of the triad's three arrays: larger than a core's share of most last-level caches."""

DOT_BYTES = 1 << 24
"""The bytes that the dot products of one measurement read; those that fit a small cache are repeated."""

LOOP = 20_000
REPEATS, MOST = 5, 40
"""The fewest and the most repeats."""

ALIKE = 1.03
"""Times within this factor of each other are alike."""


def calibrate(ready: Callable[[], Any] = lambda: None) -> dict[str, float]:
    """The best of a few repeats of each, in operations or bytes a second, or in seconds.

    `ready` is called before each repeat; it may wait until the machine is undisturbed.

    gemm_float64, gemm_float32: multiplications and additions a second of a large product, on as many
    threads as are in force. triad: bytes a second of a = b + s c (McCalpin's STREAM counts three arrays).
    dot_L1, dot_L2 and so on: bytes a second of a dot product whose vectors fill half of that cache, on one
    thread, where the system reports the sizes of the caches.
    interpreter: seconds of one iteration of `for i in range(n): t += i * 0.5`. timer: the least difference
    that `perf_counter` shows, in seconds. call: seconds of an empty call, which every timed call carries.
    """
    return {
        "gemm_float64": gemm("float64", ready),
        "gemm_float32": gemm("float32", ready),
        "triad": _triad(ready),
        **{f"dot_{level}": _dot(size // 2, ready) for level, size in caches().items()},
        "interpreter": best(_loop, ready) / LOOP,
        "timer": _timer_resolution(),
        "call": best(_calls, ready) / LOOP,
    }


def best(work: Callable[[], Any], ready: Callable[[], Any]) -> float:
    """The fewest seconds of the work, as a disturbance makes it longer, never shorter.

    It is repeated until its three fastest times are alike, as undisturbed ones are.
    """
    found: list[float] = []
    while len(found) < REPEATS or (found[2] > ALIKE * found[0] and len(found) < MOST):
        ready()
        start, used = time.perf_counter(), time.process_time()
        work()
        # the CPU time, if less: another program had the CPU meanwhile
        found.append(min(time.perf_counter() - start, time.process_time() - used))
        found.sort()
    return found[0]


def gemm(dtype: str, ready: Callable[[], Any]) -> float:
    """Operations a second of a large product, on as many threads as are in force."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((GEMM_SIZE, GEMM_SIZE)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    np.matmul(a, b, out=out)
    return 2 * GEMM_SIZE**3 / best(lambda: np.matmul(a, b, out=out), ready)


def _triad(ready: Callable[[], Any]) -> float:
    n = TRIAD_BYTES // 8
    b, c, a = np.ones(n), np.ones(n), np.empty(n)

    def triad() -> None:
        # Two passes of NumPy, in blocks that stay in cache between them: one pass over memory.
        for k in range(0, n, 4096):
            part = slice(k, k + 4096)
            np.multiply(c[part], 3.0, out=a[part])
            np.add(a[part], b[part], out=a[part])

    triad()
    return 3 * TRIAD_BYTES / best(triad, ready)


def _dot(size: int, ready: Callable[[], Any]) -> float:
    """Bytes a second of dot products of two vectors that take `size` bytes together."""
    m, times = size // 16, max(1, DOT_BYTES // size)
    # One call for all of them, over the same two vectors: a call of Python's costs as much as a small one.
    x = np.broadcast_to(np.ones((1, m)), (times, 1, m))
    y = np.broadcast_to(np.ones((m, 1)), (times, m, 1))
    out = np.empty((times, 1, 1))
    np.matmul(x, y, out=out)
    return 16 * m * times / best(lambda: np.matmul(x, y, out=out), ready)


def _loop() -> None:
    t = 0.0
    for i in range(LOOP):
        t += i * 0.5


def _nothing() -> None:
    pass


def _calls() -> None:
    for _ in range(LOOP):
        _nothing()


def _timer_resolution() -> float:
    steps = []
    for _ in range(100):
        start = now = time.perf_counter()
        while now == start:
            now = time.perf_counter()
        steps.append(now - start)
    return min(steps)
