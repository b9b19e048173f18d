"""The minimum detectable effect of each benchmark on a machine, by pairs of one commit with itself (A/A)."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from benchmarks.gate.decision import Measure, Rule, decide
from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs

POWER = 0.95
"""A slowdown is detectable where at least this share of gates detects it."""

REPLAYS = 200
"""Gates that are replayed for each slowdown that is tried."""

BLOCK = 4
"""Pairs that are drawn together: what one pair shares with the next is kept."""

FEWEST_PAIRS = 20
"""With fewer pairs of one commit the minimum detectable effect is unknown."""

GATE_PAIRS = 30
"""Pairs of the gates that are replayed."""

STEP = 0.005
LARGEST = 1.0
"""Slowdowns that are tried are multiples of STEP; where none up to LARGEST is detectable, none is."""


T = TypeVar("T")
Noise = Mapping[Measure, float]


def redrawn(series: Sequence[T], length: int, rng: random.Random) -> list[T]:
    """`length` values of `series`, in blocks of neighbours; the series is taken as a ring."""
    drawn: list[T] = []
    while len(drawn) < length:
        start = rng.randrange(len(series))
        drawn += [series[(start + k) % len(series)] for k in range(BLOCK)]
    return drawn[:length]


def detectable(
    same: Pairs, family: Mapping[str, Mapping[Measure, Rule]], pairs: int = GATE_PAIRS
) -> dict[str, float]:
    """The minimum detectable effect (a share) of every benchmark of `same`, in gates of `pairs` pairs on a
    family of benchmarks and their rules.

    `same` compares a commit with itself: its differences are noise, and slowdowns of every call are added to
    blocks of it. A benchmark with fewer than FEWEST_PAIRS pairs is left out; where nothing is detectable the
    effect is inf.
    """
    own, series = pairs_file.family(same), pairs_file.series(same)
    noise = {name: [pair[name] for pair in series if name in pair] for name in own}
    return {
        name: _minimum(name, differences, pairs, {**family, name: family.get(name, own[name])})
        for name, differences in noise.items()
        if len(differences) >= FEWEST_PAIRS
    }


def _minimum(
    name: str, noise: Sequence[Noise], pairs: int, family: Mapping[str, Mapping[Measure, Rule]]
) -> float:
    rng = random.Random(f"0 {name}")  # noqa: S311
    replays = [redrawn(noise, pairs, rng) for _ in range(REPLAYS)]
    rule = family[name].get("median", Rule())

    def detected(multiple: int) -> bool:
        shift = math.log1p(multiple * STEP)
        found = sum(
            bool(decide([{name: slowed(d, shift)} for d in series], family, ()).benchmarks[name].slower)
            for series in replays
        )
        return found >= POWER * REPLAYS

    tried = range(math.floor(rule.minimum_effect / STEP) + 1, math.ceil(LARGEST / STEP) + 1)
    least = bisect.bisect_left(tried, True, key=detected)
    return tried[least] * STEP if least < len(tried) else math.inf


def slowed(noise: Noise, shift: float) -> Noise:
    """The pair with every call of head exp(shift) times as long."""
    return {measure: d + shift if measure in ("median", "mean") else d for measure, d in noise.items()}
