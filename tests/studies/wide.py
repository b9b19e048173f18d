"""`python -m tests.studies.wide`: gradients of narrow, wide and deep networks against the peers, on one core.

Everything that is compared in a cell is timed in turns, in one process, and the fastest turn of each counts.

    lead      the fastest own implementation, as many times as fast as the fastest peer
    in place  `numba-blocked`, as many times as fast as `numpy-inplace`
    of gemm   the share of the rate of NumPy's products of the same shapes, without anything between them
    of memory the share of the rate at which NumPy reads as many bytes of weights, and fills as many of dw:
              each weight is read once on the way forward and once on the way back, in the first layer not
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from typing import Any

import click
import numpy as np

import impls
from benchmarks import workloads
from benchmarks.measure.threads import limit_threads
from impls import Problem
from tests.studies.training import fastest, listed

OURS = ("numpy-inplace", "numba", "numba-blocked")
PEERS = ("jax", "torch", "torch-compile")
NETWORKS = ("20-50-50-3", "784-128-10", "784-512-512-10", "3072-1024-1024-10", "64x32")


def widths(network: str) -> str:
    """The network as a workload names it: `64x32` is 64 layers of 32, from 32 inputs."""
    layers, times, width = network.partition("x")
    return "-".join([width] * (int(layers) + 1)) if times else network


def workload(network: str) -> workloads.Workload:
    """The network with relu and softmax cross-entropy, on random data."""
    return workloads.ad_hoc(widths(network), "relu", "softmax_cross_entropy")


def products(problem: Problem, dtype: str) -> Callable[[], None]:
    """NumPy's products of a pass, of matrices that lie as `numpy-inplace` has them."""
    rng = np.random.default_rng(0)
    n, m = problem.network.widths, problem.batch_size
    pairs: list[tuple[Any, Any, Any]] = []
    for k in range(1, len(n)):
        w, x, dz = (
            rng.standard_normal(shape).astype(dtype) for shape in ((n[k], n[k - 1]), (n[k - 1], m), (n[k], m))
        )
        factors = [(w, x), (dz, x.T), *([(w.T, dz)] if k > 1 else [])]
        pairs += [(a, b, np.empty((len(a), b.shape[1]), dtype)) for a, b in factors]

    def call() -> None:
        for a, b, out in pairs:
            np.matmul(a, b, out=out)

    return call


def traffic(problem: Problem, dtype: str) -> Callable[[], None]:
    """All weights read, those beyond the first layer once more, and all of dw filled."""
    weights = [np.ones(w.size, dtype) for w in problem.weights]
    gradients = [np.empty_like(w) for w in weights]

    def call() -> None:
        for w in (*weights, *weights[:0:-1]):
            np.dot(w, w)
        for dw in gradients:
            dw.fill(1)

    return call


def row(network: str, dtype: str, m: int, names: list[str], seconds: float) -> tuple[str, float]:
    """A cell of the table, and its lead."""
    problem = workloads.problem(workload(network), m)
    calls: dict[str, Callable[[], Any]] = {name: impls.load(name)(problem, dtype).gradients for name in names}
    times = fastest({**calls, "gemm": products(problem, dtype), "memory": traffic(problem, dtype)}, seconds)
    best = min((name for name in names if name in OURS), key=times.__getitem__)
    peer = min((name for name in names if name in PEERS), key=times.__getitem__)
    lead = times[peer] / times[best]
    cells = (
        *(network, dtype, str(m), f"`{best}`", f"{times[best] * 1e6:.4g}", f"`{peer}`", f"{lead:.2f}x"),
        f"{times['numpy-inplace'] / times['numba-blocked']:.2f}x",
        *(f"{times[limit] / times['numba-blocked']:.0%}" for limit in ("gemm", "memory")),
    )
    return " | ".join(cells), lead


@click.command()
@click.option("--networks", default=",".join(NETWORKS), show_default=True, callback=listed)
@click.option("--batch-sizes", "sizes", default="1,8,32,128,1024", show_default=True, callback=listed)
@click.option("--dtypes", default="float64,float32", show_default=True, callback=listed)
@click.option("--impl", "names", default=",".join((*OURS, *PEERS)), show_default=True, callback=listed)
@click.option("--seconds", default=2.0, show_default=True, help="For each cell.")
def main(networks: list[str], sizes: list[str], dtypes: list[str], names: list[str], seconds: float) -> None:
    """Print the cells of the networks, batch sizes and dtypes, on one core, as Markdown."""
    limit_threads(1)
    print("| network | dtype | m | best | us | peer | lead | in place | of gemm | of memory |")
    print("|---|---|--:|---|--:|---|--:|--:|--:|--:|")
    leads = []
    for network, dtype, m in itertools.product(networks, dtypes, map(int, sizes)):
        line, lead = row(network, dtype, m, names, seconds)
        leads.append(lead)
        print("|", line, "|", flush=True)
    ahead = sum(lead >= 1.1 for lead in leads)
    print()
    print(
        f"{sum(lead >= 1 for lead in leads)} of {len(leads)} cells at least 1.0x, {ahead} at least 1.1x; "
        f"median {statistics.median(leads):.2f}x, least {min(leads):.2f}x"
    )


if __name__ == "__main__":
    main()
