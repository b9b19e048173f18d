"""`numpy-mpi`: `numpy-inplace` in several processes, ranks, each with its columns of every batch.

Every rank has all parameters, and computes the gradients of its columns, divided by the m of the whole batch.
All dw and db lie in one array; one sum of it over the ranks makes them the averages over the batch, on every
rank with the same bits. So all make the same update, and no parameter ever travels.

The sum follows the whole backward pass, as in `numba-mpi`, and for the same reason.

Sources: MPI: A Message-Passing Interface Standard 4.1, section 6.9.6 (MPI_Allreduce); gradients in one
buffer: Sergeev, Del Balso: Horovod, arXiv:1802.05799.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from impls import shares
from impls.interface import Problem, Unsupported
from impls.numpy_inplace import NumpyInplace


class NumpyMpi(NumpyInplace):
    """The network in matrices of a rank's columns."""

    idea = "the batch spread over ranks, averages by one allreduce"
    differs_from = "numpy-inplace"
    layout = "a rank's columns in matrices like those of numpy-inplace, all gradients in one array"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numpy-mpi computes in {' or '.join(self.dtypes)}, got {dtype}")
        self.comm = MPI.COMM_WORLD
        m = problem.batch_size
        columns = shares.columns_of("numpy-mpi", m, self.comm.rank, self.comm.size)
        super().__init__(shares.share_of(problem, columns), dtype, threads)
        # As yet the averages are those of a batch that has these columns only, and so are the masks.
        for layer in self.layers:
            layer.m[...] = m
            if layer.dropout:
                layer.dropout.hashes[...] = shares.mask_index(len(layer.w), m, columns)
                layer.dropout.lowbias32(layer.dropout.hashes)
        self.gradients()

    def gradients(self) -> None:
        self.gradients_alone()
        self.comm.Allreduce(MPI.IN_PLACE, self.dp)

    def gradients_alone(self) -> None:
        """The gradients of this rank's columns, without communication."""
        super().gradients()

    def allreduce_of(self, size: int) -> Callable[[], None]:
        """A function that sums `size` bytes over the ranks, to be timed."""
        return functools.partial(self.comm.Allreduce, MPI.IN_PLACE, np.zeros(size // 4, np.float32))
