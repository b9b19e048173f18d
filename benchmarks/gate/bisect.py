"""Bisection for the commit that made a benchmark slower, by pairs of the good end with further commits.

The slowdown between both ends is measured first. Each commit between them is then either as fast as the good
end, or slower by all of it: evidence that the centre lies above or below half of it is an e-process
(`benchmarks.gate.decision`), and the first of the two to reach steps / ERROR decides. Each step errs with a
chance of ERROR / steps at most, and the whole search with ERROR, however many pairs it takes.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from benchmarks.gate.decision import BET
from benchmarks.gate.errors import NoAnswer

ERROR = 0.05
"""The probability that another commit than the named one is to blame."""

LEAST_EFFECT = 0.02
"""The smallest slowdown between the ends for a search."""

FEWEST_PAIRS = 8
"""The fewest pairs by which the slowdown between the ends is measured."""

MOST_PAIRS = 60
"""The number of pairs after which a commit is given up as undecided."""

Answer = Literal["good", "bad", "unknown"]
MeasurePair = Callable[[str], float]
"""d of one more pair of the good end and a commit; raises NoAnswer if that cannot be measured."""


@dataclasses.dataclass(frozen=True)
class FirstBad:
    """The first bad commit, or several if those before it have no answer; the slowdown; all pairs."""

    commits: tuple[str, ...]
    slowdown: float
    pairs: int


def answer(measure: Callable[[], float], middle: float, bar: float) -> tuple[Answer, int]:
    """Whether a commit is good or bad, by the middle between the ends, and the pairs that it took."""
    above = below = 1.0
    for pairs in range(1, MOST_PAIRS + 1):
        share = max(-1.0, min(1.0, (measure() - middle) / middle))
        above *= 1 + BET * share
        below *= 1 - BET * share
        if above >= bar:
            return "bad", pairs
        if below >= bar:
            return "good", pairs
    return "unknown", MOST_PAIRS


def slowdown(measure: Callable[[], float], bar: float) -> tuple[float, int]:
    """d between the ends and the pairs that it took; raises NoAnswer if no slowdown is shown."""
    line = math.log1p(LEAST_EFFECT)
    evidence = 1.0
    found: list[float] = []
    while len(found) < MOST_PAIRS and not (evidence >= bar and len(found) >= FEWEST_PAIRS):
        found.append(measure())
        evidence *= 1 + BET * max(-1.0, min(1.0, (found[-1] - line) / line))
    if evidence < bar:
        raise NoAnswer(
            f"expected --bad to be slower than --good by more than {100 * LEAST_EFFECT:g} %, got "
            f"{100 * math.expm1(statistics.median(found)):+.1f} % in {len(found)} pairs"
        )
    return statistics.median(found), len(found)


def slowest(measure: Callable[[], Mapping[str, float]]) -> str:
    """The benchmark with the largest slowdown between the ends, by a few pairs of all benchmarks."""
    first = measure()
    if len(first) == 1:
        return next(iter(first))
    pairs = [first, *(measure() for _ in range(FEWEST_PAIRS - 1))]
    return max(first, key=lambda name: statistics.median(pair[name] for pair in pairs))


def search(commits: Sequence[str], measure: MeasurePair, say: Callable[[str], None]) -> FirstBad:
    """The first bad one of `commits`, which come after the good end in order, the bad end last.

    If a commit cannot be measured or judged, its neighbour is measured instead.
    """
    steps = 1 + max(1, math.ceil(math.log2(len(commits))))
    bar = steps / ERROR
    centre, pairs = slowdown(lambda: measure(commits[-1]), bar)
    say(f"{commits[-1][:10]} is slower than the good end by {100 * math.expm1(centre):.1f} % ({pairs} pairs)")
    good, bad = -1, len(commits) - 1
    unknown: dict[int, str] = {}
    while left := [k for k in range(good + 1, bad) if k not in unknown]:
        k = min(left, key=lambda k: abs(k - (good + bad) / 2))
        try:
            found, taken = answer(lambda k=k: measure(commits[k]), centre / 2, bar)  # type: ignore[misc]
        except NoAnswer as error:
            unknown[k] = error.message
            say(f"{commits[k][:10]} cannot be measured: {error.message}")
            continue
        pairs += taken
        say(f"{commits[k][:10]} is {found} ({taken} pairs)")
        if found == "bad":
            bad = k
        elif found == "good":
            good = k
        else:
            unknown[k] = "neither is shown"
    return FirstBad(tuple(commits[good + 1 : bad + 1]), centre, pairs)
