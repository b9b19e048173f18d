"""The gate's decision, after every pair of processes: pure arithmetic, with the standard library alone.

The runner asks it what is left to measure, the judge what was found, the trial how often it errs: one
function for all three, so that none of them can stop by a rule that another does not know.

Each pair gives every benchmark one number, d = ln(head / base). Evidence is the wealth of a gambler who
starts with 1 and bets, before each pair, that the centre of d lies above (or below) a line:

    wealth *= 1 + BET * clip((d - line) / width, -1, 1)

Where the centre does not lie above the line no bet pays on average, and a wealth of w is reached with a
probability of 1 / w at most, *at any time* (Ville, 1939): so pairs may be added for as long as it takes.
Nothing is assumed of the noise but that the clipped distance from the centre is 0 on average, given the
pairs before: no normal distribution, no constant spread, no independence. See Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting" (2023), https://arxiv.org/abs/2010.09686.
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
"""Share of the wealth at stake: near 1 few pairs suffice, below 1 no single pair ruins the evidence."""

MOST_PAIRS = 30
"""Where a gate ends in any case: what so many pairs do not show is below the floor of this machine."""

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
        """What is paid for d by a bet that the centre lies above (sign 1) or below (-1) `line`."""
        width = self.width
        return lambda d: 1.0 + BET * max(-1.0, min(1.0, sign * (d - line) / width))


@dataclasses.dataclass(frozen=True)
class Finding:
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

    findings: Mapping[str, Finding]
    controls: Mapping[str, ControlState]

    @property
    def to_measure(self) -> tuple[str, ...]:
        """The benchmarks that need more pairs; none once a control has moved: that concludes nothing."""
        if "moved" in self.controls.values():
            return ()
        return tuple(name for name, finding in self.findings.items() if finding.open)

    @property
    def controls_settled(self) -> bool:
        """Whether every control is steady, or any has moved."""
        states = self.controls.values()
        return "moved" in states or all(state == "steady" for state in states)


class _Bets:
    """The four bets that decide, by what each shows."""

    def __init__(self, rule: Rule) -> None:
        least, most = math.log1p(rule.minimum_effect), math.log1p(rule.target)
        self.slower = rule.bet(1, least)
        self.not_slower = rule.bet(-1, most)
        self.faster = rule.bet(-1, -least)
        self.not_faster = rule.bet(1, -most)


class _Track:
    """The wealths of one benchmark, as pair after pair comes in."""

    def __init__(self, bets: _Bets) -> None:
        self.bets = bets
        self.outcome: Outcome = "inconclusive"
        self.open = True
        self.flagged = False
        self.restart(0)

    def restart(self, pair: int) -> None:
        """Forget the pairs before `pair`."""
        self.first = self.last = pair
        self.slower = self.not_slower = self.faster = 1.0

    def add(self, pair: int, d: float) -> None:
        self.slower *= self.bets.slower(d)
        self.not_slower *= self.bets.not_slower(d)
        self.faster *= self.bets.faster(d)
        self.last = pair + 1

    def close(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.open = False


class _Watch:
    """The wealths of one control."""

    def __init__(self, bets: _Bets) -> None:
        self.bets = (bets.slower, bets.faster, bets.not_slower, bets.not_faster)
        self.wealth = [1.0] * len(self.bets)
        self.state: ControlState = "inconclusive"

    def add(self, d: float) -> None:
        self.wealth = [wealth * bet(d) for wealth, bet in zip(self.wealth, self.bets, strict=True)]
        slower, faster, not_slower, not_faster = (wealth >= 1 / BOUND for wealth in self.wealth)
        if slower or faster:
            self.state = "moved"
        elif self.state == "inconclusive" and not_slower and not_faster:
            self.state = "steady"


def decide(
    pairs: Sequence[Mapping[str, float]], gated: Collection[str], controls: Collection[str], rule: Rule
) -> Decision:
    """What the pairs say: `pairs[i]` holds d = ln(head / base) of everything that pair i measured.

    First stage: a benchmark is flagged once its wealth is (gated - confirmed) / FLAG, which is Holm's
    correction, stepping down with each slowdown that was *confirmed*. Second stage: a flagged benchmark
    starts anew, on later pairs only, and is confirmed once its interval lies above the minimum effect. The
    chance that any benchmark without a slowdown is confirmed is then FLAG * BOUND at most, whenever the pairs
    end. At each stage a benchmark passes once its interval lies below the target.

    A control has moved once its interval lies beyond the minimum effect, and is steady once it lies within
    the target, on both sides.
    """
    bets = _Bets(rule)
    tracks = {name: _Track(bets) for name in gated}
    watches = {name: _Watch(bets) for name in controls}
    confirmed = 0
    for i, pair in enumerate(pairs):
        for name, watch in watches.items():
            if name in pair:
                watch.add(pair[name])
        if any(watch.state == "moved" for watch in watches.values()):
            break
        for name, track in tracks.items():
            if track.open and name in pair:
                track.add(i, pair[name])
                if track.not_slower >= 1 / BOUND:
                    track.close("faster" if track.faster >= 1 / BOUND else "same")
                elif track.flagged and track.slower >= 1 / BOUND:
                    track.close("slower")
                    confirmed += 1
        for track in tracks.values():
            if track.open and not track.flagged and track.slower >= (len(tracks) - confirmed) / FLAG:
                track.flagged = True
                track.restart(i + 1)
    return Decision(
        findings={
            name: Finding(track.outcome, track.open, track.flagged, track.first, track.last)
            for name, track in tracks.items()
        },
        controls={name: watch.state for name, watch in watches.items()},
    )


def interval(differences: Sequence[float], rule: Rule) -> tuple[float, float]:
    """The bounds outside which the centre of d is ruled out, as ratios head / base.

    A bound is the nearest line that a bet on the other side of it has won 1 / BOUND against: 95 % for both
    together and, as they may be looked at after every pair, for all times together. With too few pairs the
    bounds are 0 and infinite.
    """
    if (1 + BET) ** len(differences) < 1 / BOUND:
        return 0.0, math.inf

    def won(sign: int, line: float) -> bool:
        return math.prod(map(rule.bet(sign, line), differences)) >= 1 / BOUND

    below, above = min(differences) - rule.width, max(differences) + rule.width
    low = _last(lambda line: won(1, line), below, above)
    high = _last(lambda line: won(-1, line), above, below)
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
