"""`numba-mpi`: `numba-blocked` in several processes, ranks, each with its samples of every batch.

Every rank computes the gradients of its samples, divided by the m of the whole batch; one sum over the ranks
makes them the averages over the batch, on every rank with the same bits. So all make the same update, and no
parameter ever travels. All gradients lie one after another in memory, as in `numba-blocked`.

The first layer's dw comes last, and is usually by far the largest: to hide its sum, that product has to be
computed in blocks, with one being summed (MPI_Iallreduce) while the next is computed. Between ranks of a host
that rarely is faster than one sum at the end, as the cores that compute also copy what is sent:
`tests.studies.overlap` measures it.

Sources: MPI: A Message-Passing Interface Standard 4.1, section 6.9.6 (MPI_Allreduce); gradients in one
buffer: Sergeev, Del Balso: Horovod, arXiv:1802.05799.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI
from numba import njit

from impls import numba_blocked, shares
from impls.interface import Problem, Unsupported
from impls.kernels import masks
from impls.kernels.intrinsics import Array
from impls.numba_blocked import NumbaBlocked, memory_of, plan_at, source_stamp, update

STAMP = source_stamp(__file__)


@functools.cache
def updater(dtype: str) -> Callable[[int, float], None]:
    """The update of the parameters of a plan, by its address: compiled at once, as a call changes them."""
    real, stamp = np.dtype(dtype).type, STAMP

    @njit("void(int64, float64)", cache=True)
    def updated(address: int, learning_rate: float) -> None:
        assert stamp
        plan = plan_at(address)
        update(memory_of(plan, real), plan, learning_rate)

    return updated


class NumbaMpi(NumbaBlocked):
    """The network in one block of memory, laid out for a rank's samples."""

    idea = "the batch spread over ranks, averages by one allreduce"
    differs_from = "numba-blocked"
    layout = "a rank's samples in rows, all in one block of memory like that of numba-blocked"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba-mpi computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads != 1:
            raise Unsupported(f"numba-mpi runs in one thread on each rank, got threads={threads}")
        self.comm = MPI.COMM_WORLD
        m = problem.batch_size
        columns = shares.columns_of("numba-mpi", m, self.comm.rank, self.comm.size)
        begin = time.perf_counter()
        self.update = updater(dtype)
        seconds = time.perf_counter() - begin
        share = shares.share_of(problem, columns)
        self.prepare(share, dtype, threads, numba_blocked.entry_points(dtype))
        self.compile_seconds += seconds
        # As yet the averages are those of a batch that has these columns only, and so are the masks.
        laid_out, place = self.laid_out, 0
        laid_out.plan["averaged"] = m
        for layer, rate in zip(laid_out.layers[:-1], problem.dropout, strict=True):
            if rate:
                index = shares.mask_index(layer["row"], m, columns)
                laid_out.hashes[place : place + index.size] = masks.lowbias32(index).T.ravel()
                place += index.size
        self.gradients()

    @functools.cached_property
    def dp(self) -> Array:
        """All dw and db, with what is between them."""
        plan = self.laid_out.plan
        return self.laid_out.memory[int(plan["gradients"]) :][: int(plan["size"])]

    def gradients(self) -> None:
        self.gradients_alone()
        self.comm.Allreduce(MPI.IN_PLACE, self.dp)

    def gradients_alone(self) -> None:
        """The gradients of this rank's samples, without communication."""
        super().gradients()

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.update(self.address, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def allreduce_of(self, size: int) -> Callable[[], None]:
        """A function that sums `size` bytes over the ranks, to be timed."""
        return functools.partial(self.comm.Allreduce, MPI.IN_PLACE, np.zeros(size // 4, np.float32))
