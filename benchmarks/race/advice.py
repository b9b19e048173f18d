"""What a race is about that is asked for advice: who is a contender, and how long it may take."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import impls

INTERPRETED = ("loops", "loops-pypy", "loops-ndarray")
"""Loops in an interpreter: tens to hundreds of times as slow as the fastest, whatever the network."""

PARALLEL = ("numba-parallel",)
"""Those whose one idea is several threads: on one they are what they stand on."""

WIDE = 200_000
"""A network with more connections is wide."""

SECONDS = {False: 60.0, True: 120.0}
"""How long advice may take: on a wide network (True), and on others."""

RACE, SURVEY, SCOUTING = 0.8, 0.12, 0.26
"""Shares of these seconds: for the race, for memory and compilation after it, and, of the race's, for the
first process.

That process tries everybody, and gets a third of the race; the four that have to follow share the rest, and
measure only who may be the fastest. The survey starts a process for each of those. What is left starts the
command and writes the report.
"""

PROMISING = (
    *("numpy-inplace", "numba-blocked", "numba-parallel", "jax", "numba", "numpy", "torch"),
    *("autograd", "sklearn", "numpy-sample", "numba-loops", "torch-compile"),
)
"""Who is tried first: those that have been fastest somewhere; last those that compile long and were not."""


def contenders(threads: int) -> tuple[str, ...]:
    """Every implementation that an answer on so many threads may name, the most promising first."""
    left_out = INTERPRETED if threads > 1 else INTERPRETED + PARALLEL
    names = [name for name in impls.names(ranks=False) if name not in left_out]
    return tuple(sorted(names, key=lambda name: (*PROMISING, name).index(name)))


def seconds(networks: Iterable[impls.Network]) -> float:
    """How long advice on these networks may take."""
    connections = (sum(a * b for a, b in itertools.pairwise(network.widths)) for network in networks)
    return SECONDS[max(connections) > WIDE]
