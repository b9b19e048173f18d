"""One batch over several ranks: each one's columns, and one result of all of theirs.

Rank r of P has m // P columns of every batch of m, and one more where r < m % P. What ranks average is
divided by the m of the whole batch before it is summed, so that a rank with more columns counts for more. A
mask of dropout is that of the column in the whole batch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impls.interface import Problem, Result, Unsupported

Reals: TypeAlias = NDArray[Any]

ROUNDS, IN_A_ROW = 20, 10
"""How often sums over the ranks are timed: rounds, and sums of a round."""


def columns_of(name: str, m: int, rank: int, ranks: int) -> slice:
    """The columns of every batch that a rank has; raises Unsupported where some rank would have none."""
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


def whole(comm: Any, own: Result) -> Result:
    """The result of the whole batch, on every rank, from that of its columns: J averaged, outputs together.

    Raises RuntimeError where the ranks do not have the same bits of everything else.
    """
    arrays = (*own.dw, *own.db, *own.weights, *own.biases, *map(np.asarray, own.state))
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    losses, outputs, digests = zip(*comm.allgather((own.loss, own.output, digest)), strict=True)
    other = next((rank for rank, one in enumerate(digests) if one != digests[0]), None)
    if other is not None:
        raise RuntimeError(f"ranks 0 and {other} have different bits of gradients, parameters or state")
    m = [output.shape[1] for output in outputs]
    loss = sum(J * columns for J, columns in zip(losses, m, strict=True)) / sum(m)
    return dataclasses.replace(own, loss=float(loss), output=np.concatenate(outputs, axis=1))


def allreduces(comm: Any, allreduce: Callable[[Reals], Any], sizes: Sequence[int]) -> list[float]:
    """The median of the seconds of a sum over the ranks, of float32 arrays of these sizes in bytes.

    Of several in a row, as those of training are: each rank begins when it has ended the one before.
    """
    found = []
    for size in sizes:
        array = np.zeros(max(1, size // 4), np.float32)
        seconds = []
        for _ in range(ROUNDS):
            comm.Barrier()
            begin = time.perf_counter()
            for _ in range(IN_A_ROW):
                allreduce(array)
            seconds.append((time.perf_counter() - begin) / IN_A_ROW)
        found.append(statistics.median(seconds))
    return found
