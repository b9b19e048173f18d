"""Pairs files made by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.decision import RULES
from benchmarks.record.pairs_file import Benchmark, Commit, Incident, Pair, Pairs, Reading, Terms

TIMES = Terms({"median": RULES["median"]})
"""Six pairs settle a benchmark of which only this is judged."""

GATED = tuple(Benchmark(name, terms=TIMES) for name in ("loops", "numpy", "numba"))
CONTROLS = tuple(Benchmark(f"control {kernel}", control=True) for kernel in ("interpreter", "hash"))
MACHINE = {"cpu": "a CPU", "cores": 2}


def names() -> list[str]:
    return [implementation.name for implementation in GATED]


def control_moved(measured: Pairs, factor: float, since: int = 0) -> Pairs:
    """The pairs, with head's first control slower by `factor` from the pair `since` on."""

    def moved(reading: Reading) -> Reading:
        if reading.benchmark != CONTROLS[0].name:
            return reading
        return dataclasses.replace(reading, head=tuple(factor * t for t in reading.head))

    pairs = [
        dataclasses.replace(pair, readings=tuple(map(moved, pair.readings)))
        for pair in measured.pairs[since:]
    ]
    return dataclasses.replace(measured, pairs=(*measured.pairs[:since], *pairs))


def made(
    differences: Mapping[str, Sequence[float]],
    pairs: int = 12,
    incidents: Sequence[Incident] = (),
    head: str = "b" * 40,
    terms: Terms = TIMES,
    **changed: Any,
) -> Pairs:
    """Pairs with the differences of a benchmark in its column: 0 without a column, none after its end."""
    rows = []
    for i in range(pairs):
        readings = []
        for benchmark in (*GATED, *CONTROLS):
            column = differences.get(benchmark.name, [0.0] * pairs)
            if i < len(column):
                readings.append(Reading(benchmark.name, 10, (1e-3,), (1e-3 * math.exp(column[i]),)))
        rows.append(Pair("2025-01-01T00:00:00+00:00", 10.0, "base", 1, 2, 3, 4, 0.5, tuple(readings)))
    facts: dict[str, Any] = {"machine": MACHINE, "versions": {"numpy": "2.0"}}
    given: dict[str, Any] = {
        "created": "2025-01-01T00:00:00+00:00",
        "command": "gradrace gate run --base main",
        "base": Commit("main", "a" * 40, **facts),
        "head": Commit("HEAD", head, **facts),
        "settings": {"budget": 300.0},
        "benchmarks": (*(dataclasses.replace(each, terms=terms) for each in GATED), *CONTROLS),
        "incidents": tuple(incidents),
        "pairs": tuple(rows),
    }
    return Pairs(**(given | changed))
