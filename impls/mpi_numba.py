"""`numba-mpi`: `numba-blocked` in several processes, ranks, each with its samples of every batch.

Every rank computes the gradients of its samples, divided by the m of the whole batch; sums over the ranks
make them the averages over the batch, on every rank with the same bits. So all make the same update, and no
parameter ever travels. All gradients lie one after another in memory, as `numba-blocked` has them anyway.

The first layer's dw comes last, and as a rule is by far the largest. Where it is large, the last tile of a
rank leaves it out; the sum of all other gradients gets under way, and then that part of dw is computed in
blocks of rows: while one is, the one before is summed. The products copy no operand, so a block costs what
its share of the whole does.

Sources: MPI: A Message-Passing Interface Standard 4.1, sections 6.9.6 (MPI_Allreduce) and 6.12.8
(MPI_Iallreduce); gradients in one buffer: Sergeev, Del Balso: Horovod, arXiv:1802.05799.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from mpi4py import MPI
from numba import njit

from impls import numba_blocked, shares
from impls.interface import Problem, Unsupported
from impls.kernels import masks
from impls.kernels.intrinsics import Array, Int, compiled
from impls.numba_blocked import (
    Layout,
    NumbaBlocked,
    Record,
    backward_tile,
    first_tile,
    forward_tile,
    layers_of,
    memory_of,
    plan_at,
    source_stamp,
    update,
)

BLOCK_BYTES = 96 * 1024
"""A block of the first layer's dw, at least: the sum of less takes about as long."""

MOST_BLOCKS = 8
"""And so many blocks at most."""


@compiled
def tiles(memory: Array, plan: Record, m: Int) -> None:
    """All gradients but what the last tile adds to the first layer's dw; the average is over m samples."""
    zero, rows = np.int64(0), layers_of(plan)[0].n_in
    plan.pass_start = plan.start
    for s in range(0, plan.batch, plan.tile):
        t = min(plan.tile, plan.batch - s)
        last = s + t == plan.batch
        forward_tile(memory, plan, zero, s, t, True)
        backward_tile(memory, plan, zero, zero, s, t, s == 0, 1.0 / m if last else 1.0)
        if not last:
            first_tile(memory, plan, zero, zero, s, t, s == 0, 1.0, zero, rows)


@compiled
def block(memory: Array, plan: Record, m: Int, first: Int, rows: Int) -> None:
    """So many rows of the first layer's dw^T, from the `first` on, of the last tile; after `tiles`."""
    zero, s = np.int64(0), (plan.batch - 1) // plan.tile * plan.tile
    first_tile(memory, plan, zero, zero, s, plan.batch - s, s == 0, 1.0 / m, first, rows)


STAMP = source_stamp(__file__)


class EntryPoints(NamedTuple):
    """Compiled functions of the address of a plan and of the m of the whole batch."""

    tiles: Callable[[int, int], None]
    block: Callable[[int, int, int, int], None]
    update: Callable[[int, float], None]


@functools.cache
def entry_points(dtype: str) -> EntryPoints:
    """Those of `numba-mpi`: compiled at once, as a first update would change the parameters."""
    real, stamp = np.dtype(dtype).type, STAMP

    @njit("void(int64, int64)", cache=True)
    def all_tiles(address: int, m: int) -> None:
        assert stamp
        plan = plan_at(address)
        tiles(memory_of(plan, real), plan, m)

    @njit("void(int64, int64, int64, int64)", cache=True)
    def one_block(address: int, m: int, first: int, rows: int) -> None:
        assert stamp
        plan = plan_at(address)
        block(memory_of(plan, real), plan, m, first, rows)

    @njit("void(int64, float64)", cache=True)
    def updated(address: int, learning_rate: float) -> None:
        assert stamp
        plan = plan_at(address)
        update(memory_of(plan, real), plan, learning_rate)

    return EntryPoints(all_tiles, one_block, updated)


class NumbaMpi(NumbaBlocked):
    """The network in one block of memory, laid out for a rank's samples."""

    idea = "the batch spread over ranks, averages by one allreduce that hides behind the last products"
    differs_from = "numba-blocked"
    layout = "a rank's samples in rows, all in one block of memory like that of numba-blocked"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba-mpi computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads != 1:
            raise Unsupported(f"numba-mpi runs in one thread on each rank, got threads={threads}")
        self.comm = MPI.COMM_WORLD
        self.m = m = problem.batch_size
        columns = shares.columns_of("numba-mpi", m, self.comm.rank, self.comm.size)
        self.problem = shares.share_of(problem, columns)
        self.laid_out = Layout(self.problem, dtype, threads)
        self.address = self.laid_out.address
        self.hash_columns(problem, columns)
        self.cut()
        begin = time.perf_counter()
        self.calls, self.of_one = entry_points(dtype), numba_blocked.entry_points(dtype)
        self.forward()
        self.compile_seconds = time.perf_counter() - begin
        self.gradients()

    def hash_columns(self, problem: Problem, columns: slice) -> None:
        """The inner hashes of masks are those of these columns of the whole batch, m wide."""
        place = 0
        for layer, rate in zip(self.laid_out.layers[:-1], problem.dropout, strict=True):
            if rate:
                index = shares.mask_index(layer["row"], self.m, columns)
                self.laid_out.hashes[place : place + index.size] = masks.lowbias32(index).T.ravel()
                place += index.size

    def cut(self) -> None:
        """The blocks of the first layer's dw^T (n_0, n_1), none where it is small, and what is above it.

        A block is its first row, how many rows it has, and its numbers.
        """
        plan, layer = self.laid_out.plan, self.laid_out.layers[0]
        self.first_rows = n_in = int(layer["n_in"])
        row, begin = int(layer["row"]), int(layer["dw"])
        memory, end = self.laid_out.memory, int(plan["gradients"] + plan["size"])
        self.dp = memory[begin:end]  # all gradients
        self.above = memory[begin + n_in * row : end]  # all but the first layer's dw
        least = -(-BLOCK_BYTES // (row * memory.itemsize))
        rows = -(-max(least, -(-n_in // MOST_BLOCKS)) // 8) * 8  # whole register tiles
        self.blocks = [
            (first, count, memory[begin + first * row :][: count * row])
            for first in range(0, n_in, rows)
            for count in (min(rows, n_in - first),)
        ]
        if len(self.blocks) == 1 or self.comm.size == 1:
            self.blocks = []

    def forward(self) -> None:
        self.of_one.forward(self.address)

    def gradients(self) -> None:
        comm, calls, address, m = self.comm, self.calls, self.address, self.m
        if not self.blocks:
            self.gradients_alone()
            comm.Allreduce(MPI.IN_PLACE, self.dp)
            return
        calls.tiles(address, m)
        under_way = [comm.Iallreduce(MPI.IN_PLACE, self.above)]
        for first, rows, dw in self.blocks:
            calls.block(address, m, first, rows)
            under_way.append(comm.Iallreduce(MPI.IN_PLACE, dw))
            MPI.Request.Testall(under_way)  # an MPI without a thread of its own goes on in calls only
        MPI.Request.Waitall(under_way)

    def gradients_alone(self) -> None:
        """Those of this rank's samples, without communication."""
        self.calls.tiles(self.address, self.m)
        self.calls.block(self.address, self.m, 0, self.first_rows)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.calls.update(self.address, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def allreduce_of(self, size: int) -> Callable[[], None]:
        """A sum over the ranks of so many bytes, to be timed."""
        return functools.partial(self.comm.Allreduce, MPI.IN_PLACE, np.zeros(size // 4, np.float32))
