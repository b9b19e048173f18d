"""One batch over several ranks: the columns of each, and the joint result.

Rank r of P has m // P columns of every batch of m, and one more if r < m % P. Averages over the ranks are
divided by the m of the whole batch before they are summed, so that a rank with more columns counts for more.
A mask of dropout is that of the column in the whole batch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impls.interface import Problem, Result, Unsupported

ROUNDS, IN_A_ROW = 20, 10
"""The numbers of rounds, and of sums in a round, in which sums over the ranks are timed."""


def columns_of(name: str, m: int, rank: int, ranks: int) -> slice:
    """The columns of every batch that a rank has; raises Unsupported if some rank would have none."""
    if ranks > m:
        raise Unsupported(f"{name} needs a sample for each rank, got {ranks} ranks and batch_size {m}")
    each, more = divmod(m, ranks)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def share_of(problem: Problem, columns: slice) -> Problem:
    """The problem of a rank: these columns of every batch."""
    of_rank = np.arange(problem.samples).reshape(problem.batches, -1)[:, columns]  # (batches, columns)
    return dataclasses.replace(
        problem,
        X=problem.X[:, of_rank.ravel()],
        Y=problem.Y[:, of_rank.ravel()],
        batch_size=of_rank.shape[1],
    )


def mask_index(n: int, m: int, columns: slice) -> NDArray[np.uint32]:
    """The indices that masks of n neurons hash in these columns of a batch of m, one row for each neuron."""
    return np.arange(n * m, dtype=np.uint32).reshape(n, m)[:, columns]


class ResultOfColumns(NamedTuple):
    """A rank's share in a result: J and output of its columns, and a digest of the arrays that all ranks
    share.
    """

    loss: float
    output: NDArray[np.float64]
    digest: str


def result_of_columns(own: Result) -> ResultOfColumns:
    """A rank's share in the result of the whole batch, from its own result."""
    arrays = (*own.dw, *own.db, *own.weights, *own.biases, *map(np.asarray, own.state))
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    return ResultOfColumns(own.loss, own.output, digest)


def whole(of_rank_0: Result, of_ranks: Sequence[ResultOfColumns]) -> Result:
    """The result of the whole batch: J averaged, outputs together.

    Raises RuntimeError if the ranks do not have the same bits of everything else.
    """
    losses, outputs, digests = zip(*of_ranks, strict=True)
    other = next((rank for rank, one in enumerate(digests) if one != digests[0]), None)
    if other is not None:
        raise RuntimeError(f"ranks 0 and {other} have different bits of gradients, parameters or state")
    m = [output.shape[1] for output in outputs]
    loss = sum(J * columns for J, columns in zip(losses, m, strict=True)) / sum(m)
    return dataclasses.replace(of_rank_0, loss=float(loss), output=np.concatenate(outputs, axis=1))


def allreduces(allreduce_of: Callable[[int], Callable[[], Any]], sizes: Sequence[int]) -> list[float]:
    """The median of the seconds of a sum over the ranks, of float32 numbers of these sizes in bytes.

    `allreduce_of(size)` returns a function that makes such a sum. Several are timed in a row, as those of
    training are: each rank begins when it has finished the previous one.
    """
    together, found = allreduce_of(4), []
    for size in sizes:
        allreduce, seconds = allreduce_of(size), []
        for _ in range(ROUNDS):
            together()
            begin = time.perf_counter()
            for _ in range(IN_A_ROW):
                allreduce()
            seconds.append((time.perf_counter() - begin) / IN_A_ROW)
        found.append(statistics.median(seconds))
    return found
