"""The minimum detectable effect of each benchmark on a machine, by pairs of one commit with itself (A/A)."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence

from benchmarks.gate.decision import MOST_PAIRS, Rule, decide
from benchmarks.record.pairs_file import CONTROL, Pairs, differences

POWER = 0.95
"""A slowdown is detectable where at least this share of gates detects it."""

REPLAYS = 200
"""Gates that are replayed for each slowdown that is tried."""

BLOCK = 4
"""Pairs that are drawn together: what one pair shares with the next is kept."""

FEWEST_PAIRS = 20
"""With fewer pairs of one commit the minimum detectable effect is unknown."""

STEP = 0.005
LARGEST = 1.0
"""Slowdowns that are tried are multiples of STEP; where none up to LARGEST is detectable, none is."""


def redrawn(series: Sequence[float], length: int, rng: random.Random) -> list[float]:
    """`length` values of `series`, in blocks of neighbours; the series is taken as a ring."""
    drawn: list[float] = []
    while len(drawn) < length:
        start = rng.randrange(len(series))
        drawn += [series[(start + k) % len(series)] for k in range(BLOCK)]
    return drawn[:length]


def detectable(
    same: Pairs, family: Collection[str], rule: Rule, pairs: int = MOST_PAIRS, seed: int = 0
) -> dict[str, float]:
    """The minimum detectable effect (a share) of every benchmark of `same`, in gates of so many pairs on a
    family of benchmarks.

    `same` compares a commit with itself: its differences are noise, and slowdowns are added to blocks of it.
    A benchmark with fewer than FEWEST_PAIRS pairs is left out; where nothing is detectable the effect is inf.
    """
    noise: dict[str, list[float]] = {
        benchmark.name: [] for benchmark in same.benchmarks if benchmark.implementation != CONTROL
    }
    for pair in same.pairs:
        for name, d in differences(pair).items():
            if name in noise:
                noise[name].append(d)
    return {
        name: _minimum(name, series, pairs, {*family, name}, rule, random.Random(f"{seed} {name}"))  # noqa: S311
        for name, series in noise.items()
        if len(series) >= FEWEST_PAIRS
    }


def _minimum(
    name: str, noise: Sequence[float], pairs: int, family: Collection[str], rule: Rule, rng: random.Random
) -> float:
    replays = [redrawn(noise, pairs, rng) for _ in range(REPLAYS)]

    def detected(share: float) -> bool:
        shift = math.log1p(share)
        found = sum(
            decide([{name: d + shift} for d in series], family, (), rule).benchmarks[name].outcome == "slower"
            for series in replays
        )
        return found >= POWER * REPLAYS

    low, high = math.floor(rule.minimum_effect / STEP), math.ceil(LARGEST / STEP)  # not detected, detected
    if not detected(high * STEP):
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        if detected(middle * STEP):
            high = middle
        else:
            low = middle
    return high * STEP
