"""The race behind `advise`: its contenders, and the seconds that it may take."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import impls

INTERPRETED = ("loops", "loops-pypy", "loops-ndarray")
"""Loops in an interpreter, which are tens to hundreds of times as slow as the fastest on any network."""

PARALLEL = ("numba-parallel",)
"""Implementations that only add threads; on one thread they equal the one that they build on."""

WIDE = 200_000
"""A network with more connections is wide."""

SECONDS = {False: 60.0, True: 120.0}
"""The seconds that advice may take: on a wide network (True), and on others."""

RACE, SURVEY, SCOUTING = 0.8, 0.12, 0.26
"""Shares of these seconds: for the race, for memory and compilation after it, and, of the race's, for the
first process.

The first process tries all contenders and gets a third of the race. The four further ones share the rest, and
measure only those that may be the fastest. The survey starts a process for each of these. The remaining time
is for starting the command and writing the report.
"""

PROMISING = (
    *("numpy-inplace", "numba-blocked", "numba-parallel", "jax", "numba", "numpy", "torch"),
    *("autograd", "sklearn", "numpy-sample", "numba-loops", "torch-compile"),
)
"""The order in which contenders are tried: first those that have been fastest somewhere, last those that were
not and compile long."""


def contenders(threads: int) -> tuple[str, ...]:
    """The implementations that advice for `threads` threads may name, the most promising first."""
    left_out = INTERPRETED if threads > 1 else INTERPRETED + PARALLEL
    names = [name for name in impls.names(ranks=False) if name not in left_out]
    return tuple(sorted(names, key=lambda name: (*PROMISING, name).index(name)))


def seconds(networks: Iterable[impls.Network]) -> float:
    """The seconds that advice on these networks may take."""
    connections = (sum(a * b for a, b in itertools.pairwise(network.widths)) for network in networks)
    return SECONDS[max(connections) > WIDE]
