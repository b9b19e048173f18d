"""`mpiexec -n 2 python -m tests.studies.overlap`: do sums that overlap with their product gain?

The first layer's dw is the last of the gradients, and most of them. Either it is computed whole and then
summed over the ranks by one allreduce, or it is computed in blocks of rows, each of which is summed while the
next ones are computed: by MPI_Iallreduce, with a test of all pending sums after each block, as an MPI may
move data only in calls of it. The ways take turns; the fastest turn of each counts, on the slowest rank.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from benchmarks.measure.threads import limit_threads
from reports.style import duration
from reports.text import markdown_table

TURNS, TURN_SECONDS = 30, 0.02
BLOCKS = (2, 4, 8)
WIDTHS = (784, 128)  # of the first layer of 784-128-10


def sums(comm: Any, dtype: str, m: int) -> dict[str, Callable[[], None]]:
    """The product dw (n_in, n) of m samples, alone, with its sum after it, and with sums of its blocks."""
    n_in, n = WIDTHS
    rng = np.random.default_rng(comm.rank)
    dz, x = (rng.standard_normal(shape).astype(dtype) for shape in ((m, n), (n_in, m)))
    dw = np.empty((n_in, n), dtype)

    def alone() -> None:
        np.matmul(x, dz, out=dw)

    def after() -> None:
        alone()
        comm.Allreduce(MPI.IN_PLACE, dw)

    def beside(blocks: int) -> Callable[[], None]:
        rows = [slice(n_in * k // blocks, n_in * (k + 1) // blocks) for k in range(blocks)]

        def call() -> None:
            requests: list[Any] = []
            for each in rows:
                np.matmul(x[each], dz, out=dw[each])
                requests.append(comm.Iallreduce(MPI.IN_PLACE, dw[each]))
                MPI.Request.Testall(requests)
            MPI.Request.Waitall(requests)

        return call

    return {"alone": alone, "after": after, **{f"{blocks} blocks": beside(blocks) for blocks in BLOCKS}}


def fastest(comm: Any, calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The seconds of a call of each, which take turns; of the rank that takes longest."""
    found = dict.fromkeys(calls, float("inf"))
    times = dict.fromkeys(calls, 3)
    for turn, (name, call) in itertools.product(range(1 + TURNS), calls.items()):
        comm.Barrier()
        begin = time.perf_counter()
        for _ in range(times[name]):
            call()
        seconds = comm.allreduce((time.perf_counter() - begin) / times[name], MPI.MAX)
        if turn:
            found[name] = min(found[name], seconds)
        else:
            times[name] = max(1, round(TURN_SECONDS / seconds))
    return found


def main() -> None:
    """Print the table, on rank 0."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 256, 1024, 4096])
    asked.add_argument("--dtypes", nargs="+", default=["float64", "float32"])
    given = asked.parse_args()
    limit_threads(1)
    comm = MPI.COMM_WORLD
    rows = []
    for dtype, m in itertools.product(given.dtypes, given.batch_sizes):
        seconds = fastest(comm, sums(comm, dtype, m // comm.size))
        shares = [f"{each / seconds['after']:.2f}" for name, each in seconds.items() if "blocks" in name]
        rows.append([f"{dtype}, m = {m:,}", duration(seconds["alone"]), duration(seconds["after"]), *shares])
    if comm.rank == 0:
        head = ["", "the product", "and its sum after it", *(f"in {blocks} blocks" for blocks in BLOCKS)]
        print("\n".join(markdown_table(head, rows)))


if __name__ == "__main__":
    main()
