"""A model of data-parallel steps: the time of a batch on p ranks that average gradients by an allreduce.

A message of n bytes takes `alpha + n beta` seconds (Hockney 1994), and adding its numbers `n gamma`. An
allreduce takes the smaller time of two algorithms (Thakur, Rabenseifner and Gropp, "Optimization of
collective communication operations in MPICH", 2005), for p a power of two:

    recursive doubling         log2(p) (alpha + n beta + n gamma)
    reduce-scatter, allgather  2 log2(p) alpha + 2 (p - 1) / p n beta + (p - 1) / p n gamma    (Rabenseifner)

Other p hand what is beyond the power of two to a neighbour, and get the sum back: one message more each way.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from benchmarks.record.cells import Cell
from benchmarks.record.statistics import time_of
from reports.analysis import Analysis, Panel, panel_of

MODELLED = tuple(2**k for k in range(14))
"""The numbers of ranks in pictures."""


class NetworkLink(NamedTuple):
    """The link between ranks: seconds to start a message, for each of its bytes, and to add a byte."""

    name: str
    alpha: float
    beta: float
    gamma: float

    @property
    def words(self) -> str:
        """Its figures in words: the time to start a message, and bytes a second."""
        return f"{self.name}: {1e6 * self.alpha:.3g} µs and {1e-9 / self.beta:.3g} GB/s"


ADDING = 1 / 10e9
"""The seconds to add a byte if they were not measured: a core reads two numbers and writes one."""

ETHERNET = NetworkLink("25 Gb/s Ethernet", 25e-6, 8 / 25e9, ADDING)
INFINIBAND = NetworkLink("InfiniBand HDR", 1.5e-6, 8 / 200e9, ADDING)
"""Assumed: a message of TCP between hosts of a rack, and one of RDMA; bytes at the rate of the line."""


class RankCompute(NamedTuple):
    """The computing time of a rank: the seconds of a call without samples, and of each sample."""

    call: float
    sample: float

    def seconds(self, samples: float) -> float:
        """The seconds of a batch of `samples`."""
        return self.call + self.sample * samples


def allreduce(link: NetworkLink, ranks: int, size: float) -> float:
    """Seconds of an allreduce of `size` bytes; 0 for one rank."""
    if ranks == 1:
        return 0.0
    power = 1 << (ranks.bit_length() - 1)
    steps, share = power.bit_length() - 1, (power - 1) / power
    doubling = steps * (link.alpha + size * (link.beta + link.gamma))
    scattered = 2 * steps * link.alpha + share * size * (2 * link.beta + link.gamma)
    beyond = 2 * (link.alpha + size * link.beta) + size * link.gamma if power < ranks else 0.0
    return min(doubling, scattered) + beyond


def step(compute: RankCompute, link: NetworkLink, ranks: int, samples: float, size: float) -> float:
    """Seconds of a batch of `samples` that `ranks` ranks share, without hidden communication."""
    return compute.seconds(samples / ranks) + allreduce(link, ranks, size)


def best_ranks(compute: RankCompute, link: NetworkLink, samples: int, size: float) -> int:
    """The number of ranks, of those `MODELLED`, on which a batch takes the least time."""
    possible = [ranks for ranks in MODELLED if ranks <= samples]
    best: int = min(possible, key=lambda ranks: step(compute, link, ranks, samples, size))
    return best


def hidden_from(compute: RankCompute, link: NetworkLink, ranks: int, size: float) -> float:
    """The samples of each rank from which computing takes as long as the allreduce, and could hide it."""
    return max(0.0, allreduce(link, ranks, size) - compute.call) / compute.sample


def fitted(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The constant and the slope, neither below 0, of the seconds of `points` (a number, seconds): those of
    the least squares of relative errors.
    """
    number, seconds = np.array(points, dtype=float).T
    found, _ = nnls(np.column_stack([1 / seconds, number / seconds]), np.ones(len(seconds)))
    constant, slope = found.tolist()
    return constant, slope


class ScalingModel(NamedTuple):
    """An implementation's model of one panel, `size` bytes of gradients, and what was measured beside it.

    `measured` has ranks, samples of the batch, seconds, and the seconds that the model predicts.
    """

    implementation: str
    compute: RankCompute
    link: NetworkLink
    size: int
    measured: list[tuple[int, int, float, float]]

    def within(self, share: float) -> int:
        """The number of measured cells in which the model is within that share of the time."""
        return sum(abs(predicted / seconds - 1) <= share for *_, seconds, predicted in self.measured)


def models(analysis: Analysis, panel: Panel) -> list[ScalingModel]:
    """The model of every implementation like those of `panel` that has allreduces on record.

    It is fitted to the times on one rank and to allreduces of two; the times on several ranks are
    predictions. If there are more ranks than cores, they take turns.
    """
    found = []
    widths = analysis.record.workloads[panel.workload].widths
    parameters = sum(b * (a + 1) for a, b in itertools.pairwise(widths))
    size = parameters * (4 if panel.dtype == "float32" else 8)
    cores = int(analysis.record.machine.get("cores", 1))
    for name in analysis.implementations:
        cells = [
            cell
            for cell in analysis.times
            if panel_of(cell).on_one == panel.on_one and (cell.implementation, cell.threads) == (name, 1)
        ]
        alone = [cell for cell in cells if cell.ranks == 1]
        pings = [
            ping
            for cell in cells
            if cell.ranks == 2
            for one in analysis.measurements[cell]
            for ping in one.allreduces
        ]
        if len({length for length, _ in pings}) < 2 or len(alone) < 2:
            continue
        compute = RankCompute(*fitted([(cell.batch_size, _seconds(analysis, cell)) for cell in alone]))
        # An allreduce of two is one message each way at once, whose time includes the addition: no `gamma`.
        link = NetworkLink("this machine", *fitted(pings), 0.0)
        if not (compute.sample and link.beta):
            continue  # times that do not grow with the batch, or with the message, fit no model
        measured = []
        for cell in cells:
            if cell.ranks > 1:
                turns = max(1.0, cell.ranks / cores)
                own = RankCompute(compute.call * turns, compute.sample * turns)
                predicted = step(own, link, cell.ranks, cell.batch_size, size)
                measured.append((cell.ranks, cell.batch_size, _seconds(analysis, cell), predicted))
        found.append(ScalingModel(name, compute, link, size, measured))
    return found


def _seconds(analysis: Analysis, cell: Cell) -> float:
    return time_of(analysis.times[cell]).mean
