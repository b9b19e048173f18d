"""The gate's decision after every pair of processes: pure arithmetic, with the standard library alone.

The runner asks it what is left to measure, the judge what was found, and the validation study how often the
gate errs. All three call one function, so that all of them stop by the same rule.

Each pair gives every benchmark one number, d = ln(head / base). The evidence that the centre of d lies above
(or below) a line is an e-process by betting, which starts at 1 and is multiplied with each pair:

    e *= 1 + BET * clip((d - line) / width, -1, 1)

Where the centre does not lie above the line, the factor is 1 or less on average, and e ever reaches x with a
probability of at most 1 / x, *at any time* (Ville, 1939): pairs may be added for as long as it takes.
The noise may have any distribution, spread and dependence, as long as the clipped distance from the centre is
0 on average, given the pairs before. See Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting" (2023), https://arxiv.org/abs/2010.09686.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

FLAG = 0.4
"""Chance that the first stage flags any benchmark whose slowdown is the minimum effect or less."""

BOUND = 0.025
"""Chance that a bound of the printed interval is wrong: 95 % for both. The second stage confirms a flag by
such a bound, on pairs of its own, so that a whole family has a false alarm with a chance of FLAG * BOUND,
1 %, at most. A benchmark passes by such a bound, too."""

BET = 0.9
"""Share of the evidence that a pair may cost: near 1 few pairs suffice, below 1 no single pair ruins it."""

MOST_PAIRS = 30
"""Where a gate ends in any case: what so many pairs do not show is below the minimum detectable effect."""

Bet = Callable[[float], float]
Outcome = Literal["faster", "same", "slower", "inconclusive"]
ControlState = Literal["steady", "moved", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The slowdowns that matter, as shares: one is reported where it is shown to be larger than the minimum
    effect; a benchmark passes where one as large as the target is ruled out.

    Raises ValueError unless 0 <= minimum_effect < target, and both are finite.
    """

    minimum_effect: float = 0.02
    target: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_effect < self.target < math.inf:
            raise ValueError(
                "minimum effect and target: expected 0 <= minimum effect < target < inf, "
                f"got {self.minimum_effect:g} and {self.target:g}"
            )

    @property
    def width(self) -> float:
        """Distances from a line that are larger than this count as this.

        It is the distance between the two slowdowns: so every pair counts fully where the noise is small,
        and an outlier counts as one pair.
        """
        return math.log1p(self.target) - math.log1p(self.minimum_effect)

    def bet(self, sign: int, line: float) -> Bet:
        """The factor, as a function of d, of the evidence that the centre lies above (sign 1) or below (-1)
        `line`.
        """
        width = self.width
        return lambda d: 1.0 + BET * max(-1.0, min(1.0, sign * (d - line) / width))


@dataclasses.dataclass(frozen=True)
class BenchmarkState:
    """What is known of one benchmark: its outcome, and the pairs `first` to `last` (exclusive) that say so.

    Where a benchmark was flagged the pairs are those of the second stage alone: the flag selected the others.
    `open`: more pairs may still change the outcome.
    """

    outcome: Outcome
    open: bool
    flagged: bool
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Decision:
    """What is known of all benchmarks and controls after the pairs so far."""

    benchmarks: Mapping[str, BenchmarkState]
    controls: Mapping[str, ControlState]

    @property
    def to_measure(self) -> tuple[str, ...]:
        """The benchmarks that need more pairs; none once a control has moved: that concludes nothing."""
        if "moved" in self.controls.values():
            return ()
        return tuple(name for name, state in self.benchmarks.items() if state.open)

    @property
    def controls_settled(self) -> bool:
        """Whether every control is steady, or any has moved."""
        states = self.controls.values()
        return "moved" in states or all(state == "steady" for state in states)


class _Evidence:
    """The e-processes of one benchmark or control, over its pairs `first` to `last` (exclusive)."""

    def __init__(self, bets: tuple[Bet, Bet, Bet, Bet], first: int) -> None:
        self.bets = bets
        self.first = self.last = first
        self.slower = self.not_slower = self.faster = self.not_faster = 1.0

    def add(self, pair: int, d: float) -> None:
        slower, not_slower, faster, not_faster = self.bets
        self.slower *= slower(d)
        self.not_slower *= not_slower(d)
        self.faster *= faster(d)
        self.not_faster *= not_faster(d)
        self.last = pair + 1

    @property
    def moved(self) -> bool:
        return max(self.slower, self.faster) >= 1 / BOUND

    @property
    def steady(self) -> bool:
        return min(self.not_slower, self.not_faster) >= 1 / BOUND


def decide(
    pairs: Sequence[Mapping[str, float]], gated: Collection[str], controls: Collection[str], rule: Rule
) -> Decision:
    """What the pairs show: `pairs[i]` holds d = ln(head / base) of everything that pair i measured.

    First stage: a benchmark is flagged once the evidence that it is slower is (gated - confirmed) / FLAG,
    which is Holm's correction, stepping down with each slowdown that was *confirmed*. Second stage: a flagged
    benchmark starts anew, on later pairs only, and is confirmed once its interval lies above the minimum
    effect. The chance that any benchmark without a slowdown is confirmed (the family-wise rate of false
    alarms) is then FLAG * BOUND at most, whenever the pairs end. At each stage a benchmark passes once its
    interval lies below the target.

    A control has moved once its interval lies beyond the minimum effect, and is steady once it lies within
    the target, on both sides.
    """
    least, most = math.log1p(rule.minimum_effect), math.log1p(rule.target)
    bets = (rule.bet(1, least), rule.bet(-1, most), rule.bet(-1, -least), rule.bet(1, -most))
    evidence = {name: _Evidence(bets, 0) for name in (*gated, *controls)}
    outcomes: dict[str, Outcome] = {}
    flagged: set[str] = set()
    states: dict[str, ControlState] = dict.fromkeys(controls, "inconclusive")
    for i, pair in enumerate(pairs):
        for name in states.keys() & pair:
            evidence[name].add(i, pair[name])
            if evidence[name].moved:
                states[name] = "moved"
            elif evidence[name].steady:
                states[name] = "steady"
        if "moved" in states.values():
            break
        for name in gated:
            if name in pair and name not in outcomes:
                e = evidence[name]
                e.add(i, pair[name])
                if e.not_slower >= 1 / BOUND:
                    outcomes[name] = "faster" if e.faster >= 1 / BOUND else "same"
                elif name in flagged and e.slower >= 1 / BOUND:
                    outcomes[name] = "slower"
        confirmed = sum(outcome == "slower" for outcome in outcomes.values())
        for name in gated:
            unsettled = name not in outcomes and name not in flagged
            if unsettled and evidence[name].slower >= (len(gated) - confirmed) / FLAG:
                flagged.add(name)
                evidence[name] = _Evidence(bets, i + 1)
    return Decision(
        benchmarks={
            name: BenchmarkState(
                outcomes.get(name, "inconclusive"),
                name not in outcomes,
                name in flagged,
                evidence[name].first,
                evidence[name].last,
            )
            for name in gated
        },
        controls=states,
    )


def interval(differences: Sequence[float], rule: Rule) -> tuple[float, float]:
    """The bounds outside which the centre of d is ruled out, as ratios head / base.

    A bound is the nearest line against which the evidence has reached 1 / BOUND: 95 % for both together and,
    as they may be looked at after every pair, for all times together. With too few pairs the bounds are 0 and
    infinite.
    """
    if (1 + BET) ** len(differences) < 1 / BOUND:
        return 0.0, math.inf

    def ruled_out(sign: int, line: float) -> bool:
        return math.prod(map(rule.bet(sign, line), differences)) >= 1 / BOUND

    below, above = min(differences) - rule.width, max(differences) + rule.width
    low = _last(lambda line: ruled_out(1, line), below, above)
    high = _last(lambda line: ruled_out(-1, line), above, below)
    return math.exp(low), math.exp(high)


def _last(holds: Callable[[float], bool], inner: float, outer: float) -> float:
    """The last place on the way from `inner`, where it holds, to `outer`, where it does not."""
    for _ in range(50):
        middle = (inner + outer) / 2
        if holds(middle):
            inner = middle
        else:
            outer = middle
    return inner
