"""`numba-parallel`: `numba-blocked` over several cores.

A batch is cut into one run of samples a thread. Each thread takes its run through the network with scratch
and gradients of its own, exactly as `numba-blocked` would; then the gradients are added up in the order of
the threads. Who computes what, and the order of the sums, depend on the batch size and the number of threads
only, so that the bits are the same on every run.

Threads are numba's. Of its threading layers, OpenMP's costs a few microseconds for each parallel call, the
fallback `workqueue` some tens; `threading_layer` holds the one in force. Too few samples to share are
computed in one thread.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from impls.interface import Problem, Unsupported
from impls.kernels.simd import Array, Int, compiled
from impls.numba_blocked import (
    BATCH,
    FIRST,
    GRADIENTS,
    PASS,
    SCRATCH,
    SIZE,
    THREADS,
    EntryPoints,
    NumbaBlocked,
    Plan,
    forward_of,
    gradients_of,
    memory_of,
    next_batch,
    plan_at,
    source_stamp,
    update,
)

# What numba would try first, TBB, shares work out anew on each call, and is seldom there. This takes effect
# where nothing in this process has run in parallel before.
config: Any = numba.config
config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

LEAST_SAMPLES = 16
"""A thread's share of a batch, at least: two register tiles high."""

LEAST_PRODUCTS = 150_000
"""Samples x parameters in a thread's share, at least: microseconds of work, to pay for its start."""


@compiled
def share_of(plan: Plan) -> Int:
    """Samples for each thread but the last ones, which have less: equal shares, of whole register tiles."""
    share = (plan[0, BATCH] + plan[0, THREADS] - 1) // plan[0, THREADS]
    whole: Int = (max(share, LEAST_SAMPLES, LEAST_PRODUCTS // plan[0, SIZE]) + 7) // 8 * 8
    return whole


@compiled
def forward_share(memory: Array, plan: Plan, first: Int, part: Int) -> None:
    """Forward for one thread's share."""
    start, stop = part * share_of(plan), min(plan[0, BATCH], (part + 1) * share_of(plan))
    forward_of(memory, plan, part * plan[0, SCRATCH], first, start, stop)


@compiled
def gradients_share(memory: Array, plan: Plan, first: Int, part: Int) -> None:
    """Forward and backward for one thread's share, into the thread's own gradients."""
    start, stop = part * share_of(plan), min(plan[0, BATCH], (part + 1) * share_of(plan))
    gradients_of(memory, plan, part * plan[0, SCRATCH], part * plan[0, SIZE], first, start, stop)


@compiled
def add_up(memory: Array, plan: Plan, parts: Int) -> None:
    """The gradients of all threads, added to those of the first in the order of the threads."""
    size = plan[0, SIZE]
    total = memory[plan[0, GRADIENTS] : plan[0, GRADIENTS] + size]
    for part in range(1, parts):
        theirs = memory[plan[0, GRADIENTS] + part * size : plan[0, GRADIENTS] + (part + 1) * size]
        for i in range(size):
            total[i] += theirs[i]


STAMP = source_stamp(__file__)


@functools.cache
def entry_points(dtype: str) -> EntryPoints:
    """Those of `numba-parallel`."""
    real, stamp = np.dtype(dtype).type, STAMP

    @njit(parallel=True, cache=True)
    def forward(address: int) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real(0))
        first = plan[0, PASS] = plan[0, FIRST]
        share = share_of(plan)
        for part in prange((plan[0, BATCH] + share - 1) // share):
            forward_share(memory, plan, first, part)

    @njit(parallel=True, cache=True)
    def passes(address: int, steps: int, learning_rate: float, updating: bool) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real(0))
        share = share_of(plan)
        parts = (plan[0, BATCH] + share - 1) // share
        for _ in range(steps):
            first = plan[0, PASS] = plan[0, FIRST]
            if parts == 1:
                gradients_share(memory, plan, first, np.int64(0))
            else:
                for part in prange(parts):
                    gradients_share(memory, plan, first, part)
                add_up(memory, plan, parts)
            if updating:
                update(memory, plan, learning_rate)
                next_batch(plan)

    def gradients(address: int) -> None:
        passes(address, 1, 0.0, False)

    def train(address: int, steps: int, learning_rate: float) -> None:
        passes(address, steps, learning_rate, True)

    return EntryPoints(forward, gradients, train)


class NumbaParallel(NumbaBlocked):
    """`numba-blocked`, with room for the scratch and the gradients of every thread."""

    idea = "over several cores: a run of samples each, partial gradients added in a fixed order"
    differs_from: str | None = "numba-blocked"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba-parallel computes in {' or '.join(self.dtypes)}, got {dtype}")
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        available = min(config.NUMBA_NUM_THREADS, cpus)
        if not 1 <= threads <= available:
            raise Unsupported(f"numba-parallel has 1 to {available} threads here, got threads={threads}")
        self.threads = threads
        self.prepare(problem, dtype, threads, entry_points(dtype))
        self.threading_layer: str = numba.threading_layer()  # type: ignore[attr-defined]

    # The number of threads is one setting for everything in this process, so it is made anew each time.

    def forward(self) -> None:
        numba.set_num_threads(self.threads)
        super().forward()

    def gradients(self) -> None:
        numba.set_num_threads(self.threads)
        super().gradients()

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        numba.set_num_threads(self.threads)
        super().train(steps, learning_rate)
