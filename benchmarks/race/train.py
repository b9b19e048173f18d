"""Training on the digits from several initial weights: steps, loss and accuracy of each implementation.

A fresh process for each seed trains with every implementation, workload by workload: it has its
own weights to begin with, and its own luck.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from benchmarks import workloads
from benchmarks.race import headline
from benchmarks.race.messages import Experiment, Train, Trained
from benchmarks.record.cells import Cell


def check(workload: str) -> None:
    """Raise ValueError for a workload without held-out digits."""
    if workloads.named(workload).data != "digits":
        raise ValueError(f"--workload: expected one on the digits, got {workload!r}")


def findings(names: Sequence[str], experiments: Sequence[Experiment]) -> Iterator[Trained]:
    """The findings of every implementation and experiment, seed by seed; later seeds omit lost ones."""
    lost: set[Cell] = set()
    number = 0
    for _, of_seed in itertools.groupby(experiments, key=lambda experiment: experiment.seed):
        orders = headline.orders(names, list(of_seed))
        left = [order for order in orders if order.experiment.cell(order.name) not in lost]
        most = max((order.ranks for order in left), default=1)
        while left:
            for found in headline.answers([Train(each.name, each.experiment, most) for each in left]):
                del left[0]
                if found.measurement.status != "measured":
                    lost.add(found.measurement.cell)
                measurement = dataclasses.replace(found.measurement, process=number)
                yield Trained(measurement, found.process, found.facts)
            number += 1
