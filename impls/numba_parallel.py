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
from impls.kernels.intrinsics import Array, Int, compiled, merged
from impls.numba_blocked import (
    EntryPoints,
    NumbaBlocked,
    Record,
    forward_of,
    gradients_of,
    memory_of,
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
def share_of(plan: Record) -> Int:
    """Samples for each thread but the last ones, which have less: equal shares, of whole register tiles."""
    share = (plan.batch + plan.threads - 1) // plan.threads
    whole: Int = (max(share, LEAST_SAMPLES, LEAST_PRODUCTS // plan.size) + 7) // 8 * 8
    return whole


@compiled
def parts_of(plan: Record) -> Int:
    """The number of threads that have a share."""
    share = share_of(plan)
    parts: Int = (plan.batch + share - 1) // share
    return parts


# Threads are handed the address: a parallel loop of numba takes no records.


@merged
def forward_share(address: int, memory: Array, part: Int) -> None:
    """Forward for one thread's share."""
    plan = plan_at(address)
    share = share_of(plan)
    start, stop = part * share, min(plan.batch, (part + 1) * share)
    forward_of(memory, plan, part * plan.scratch, start, stop)


@merged
def gradients_share(address: int, memory: Array, part: Int) -> None:
    """Forward and backward for one thread's share, into the thread's own gradients."""
    plan = plan_at(address)
    share = share_of(plan)
    start, stop = part * share, min(plan.batch, (part + 1) * share)
    gradients_of(memory, plan, part * plan.scratch, part * plan.size, start, stop)


@compiled
def add_up(memory: Array, plan: Record, parts: Int) -> None:
    """The gradients of all threads, added to those of the first in the order of the threads."""
    size = plan.size
    total = memory[plan.gradients : plan.gradients + size]
    for part in range(1, parts):
        theirs = memory[plan.gradients + part * size : plan.gradients + (part + 1) * size]
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
        memory = memory_of(plan, real)
        plan.pass_start = plan.start
        for part in prange(parts_of(plan)):  # which counts without a sign: of two types, both would compile
            forward_share(address, memory, np.int64(part))

    @njit(parallel=True, cache=True)
    def passes(address: int, steps: int, learning_rate: float, updating: bool) -> None:
        assert stamp
        plan = plan_at(address)
        memory = memory_of(plan, real)
        parts = parts_of(plan)
        for _ in range(steps):
            plan.pass_start = plan.start
            if parts == 1:
                gradients_share(address, memory, np.int64(0))
            else:
                for part in prange(parts):
                    gradients_share(address, memory, np.int64(part))
                add_up(memory, plan, parts)
            if updating:
                update(memory, plan, learning_rate)

    def gradients(address: int) -> None:
        passes(address, 1, 0.0, False)

    def train(address: int, steps: int, learning_rate: float) -> None:
        passes(address, steps, learning_rate, True)

    return EntryPoints(forward, gradients, train)


class NumbaParallel(NumbaBlocked):
    """`numba-blocked`, with room for the scratch and the gradients of every thread."""

    idea = "over several cores: a share of the samples each, partial gradients added in a fixed order"
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
