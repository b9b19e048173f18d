"""The gate's decision after every pair of processes: pure arithmetic, with the standard library alone.

The runner asks it what is left to measure, the judge what was found, and the validation study how often the
gate errs. All three call one function, so that all of them stop by the same rule.

Each pair gives every benchmark one number d for each of its measures, 0 where base and head are alike. The
evidence that the centre of d lies above (or below) a line is an e-process by betting, which starts at 1 and
is multiplied with each pair:

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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

FLAG = 0.4
"""Chance that the first stage flags any measure whose slowdown is the minimum effect or less."""

BOUND = 0.025
"""Chance that a bound of the printed interval is wrong: 95 % for both. The second stage confirms a flag by
such a bound, on pairs of its own, so that a whole family has a false alarm with a chance of FLAG * BOUND,
1 %, at most. A measure passes by such a bound, too."""

BET = 0.9
"""Share of the evidence that a pair may cost: near 1 few pairs suffice, below 1 no single pair ruins it."""

MOST_PAIRS = 120
"""Where a gate ends in any case: what so many pairs do not show is below the minimum detectable effect."""

Measure = Literal["median", "mean", "tail", "processes", "first call", "memory", "limit"]
"""What is judged of a benchmark. Of two sides: the `median` of neighbouring turns, the `mean` over all turns,
the `tail` (the share of turns that are slow), the share of `processes` that are slow, the `first call` of a
process, and the peak of `memory`; of head alone: its time beside an absolute `limit`."""

SHARES: frozenset[Measure] = frozenset({"tail", "processes"})
"""Measures whose d is a difference of shares; of the others it is the logarithm of a ratio."""

WEIGHTS: Mapping[Measure, float] = {
    "median": 0.5,
    **dict.fromkeys(("mean", "tail", "processes", "first call", "memory", "limit"), 0.1),
}
"""How the chance of a false alarm is spread over the measures: half of it on the smallest slowdowns."""

LIMIT_WIDTH = math.log(1.05 / 1.02)

Bet = Callable[[float], float]
Outcome = Literal["faster", "same", "slower", "inconclusive"]
ControlState = Literal["steady", "moved", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The changes of a measure that matter, as shares: one is reported where it is shown to be larger than
    the minimum effect; a measure passes where one as large as the target is ruled out.

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


RULES: Mapping[Measure, Rule] = {
    "median": Rule(0.02, 0.05),
    "mean": Rule(0.10, 0.25),
    "tail": Rule(0.02, 0.10),
    "processes": Rule(0.0, 0.20),
    "first call": Rule(0.5, 2.0),
    "memory": Rule(0.10, 0.25),
}
"""The rules where no others are asked for. The rarer what a measure sees, the more of it there must be."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """A rule in the unit of a measure's d: the lines of the minimum effect and of the target, and the widths.

    Distances from a line that are larger than its width count as the width. For most measures that is the
    distance between the lines: so every pair counts fully where the noise is small, and an outlier counts as
    one pair. A pair in which one process is slow, of `processes`, counts fully as well. What is shown to lie
    above a line (`width`) and below one (`passing`) may differ in it.
    """

    least: float
    most: float
    width: float
    passing: float

    @classmethod
    def of(cls, measure: Measure, rule: Rule) -> Scale:
        """The scale of a measure under a rule."""
        least, most = rule.minimum_effect, rule.target
        if measure == "limit":
            return cls(0.0, 0.0, LIMIT_WIDTH, LIMIT_WIDTH)
        if measure == "processes":
            return cls(least, most, 1 - least, 1 - most)
        if measure not in SHARES:
            least, most = math.log1p(least), math.log1p(most)
        return cls(least, most, most - least, most - least)

    def above(self, line: float) -> Bet:
        """The factor, as a function of d, of the evidence that the centre lies above `line`."""
        return lambda d: 1.0 + BET * max(-1.0, min(1.0, (d - line) / self.width))

    def below(self, line: float) -> Bet:
        """The factor, as a function of d, of the evidence that the centre lies below `line`."""
        return lambda d: 1.0 + BET * max(-1.0, min(1.0, (line - d) / self.passing))


@dataclasses.dataclass(frozen=True)
class MeasureState:
    """What is known of one measure: its outcome, and the pairs `first` to `last` (exclusive) that show it.

    Where a measure was flagged, and has not passed since, the pairs are those of the second stage alone: the
    flag selected the others.
    """

    outcome: Outcome
    open: bool
    flagged: bool
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class BenchmarkState:
    """What is known of one benchmark, measure by measure; more pairs may change what is `open`."""

    measures: Mapping[Measure, MeasureState]

    @property
    def open(self) -> tuple[Measure, ...]:
        """The measures that need more pairs."""
        return tuple(measure for measure, state in self.measures.items() if state.open)

    @property
    def slower(self) -> tuple[Measure, ...]:
        """The measures that moved."""
        return tuple(m for m, state in self.measures.items() if state.outcome == "slower")

    @property
    def outcome(self) -> Outcome:
        """Slower where any measure is, the same where all of them pass, faster where the median is, too."""
        if self.slower:
            return "slower"
        outcomes = [state.outcome for state in self.measures.values()]
        if not outcomes or "inconclusive" in outcomes:
            return "inconclusive"
        return self.measures["median"].outcome if "median" in self.measures else "same"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What is known of all benchmarks and controls after the pairs so far."""

    benchmarks: Mapping[str, BenchmarkState]
    controls: Mapping[str, ControlState]

    @property
    def to_measure(self) -> dict[str, tuple[Measure, ...]]:
        """The measures that need more pairs; none once a control has moved: that concludes nothing.

        What else has moved of a benchmark that is slower is looked for while another one is open, no longer.
        """
        left = {name: state.open for name, state in self.benchmarks.items() if state.open}
        if "moved" in self.controls.values() or all(self.benchmarks[name].slower for name in left):
            return {}
        return left

    @property
    def controls_settled(self) -> bool:
        """Whether every control is steady, or any has moved."""
        states = self.controls.values()
        return "moved" in states or all(state == "steady" for state in states)


class _Evidence:
    """The e-processes of a measure or control; its pairs `first` to `last` (exclusive) show where it lies."""

    def __init__(self, scale: Scale) -> None:
        below = dataclasses.replace(scale, passing=scale.width)  # to be faster takes as much as to be slower
        self.bets = (
            scale.above(scale.least),
            scale.below(scale.most),
            below.below(-scale.least),
            scale.above(-scale.most),
        )
        self.first = self.last = 0
        self.slower = self.not_slower = self.faster = self.not_faster = 1.0

    def flag(self, pair: int) -> None:
        """Begin the second stage after this pair: what shows a slowdown starts anew, what passes goes on."""
        self.first, self.slower = pair + 1, 1.0

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


Key = tuple[str, Measure]
Differences = Mapping[str, Mapping[Measure, float]]
"""d of what a pair measured, by benchmark and measure."""


def decide(
    pairs: Sequence[Differences], gated: Mapping[str, Mapping[Measure, Rule]], controls: Collection[str]
) -> Decision:
    """What the pairs show: `pairs[i]` holds d of everything that pair i measured, by benchmark and measure.

    `gated` has the rules of each benchmark; a measure that its readings lack is left out.

    First stage: a measure is flagged once the evidence that it is slower reaches the sum of the weights of
    all that is not confirmed, over its own weight and FLAG, which is Holm's weighted correction, stepping
    down with each slowdown that was *confirmed*. Second stage: a flagged measure starts anew, on later pairs
    only, and is confirmed once its interval lies above the minimum effect. The chance that any measure
    without a slowdown is confirmed (the family-wise rate of false alarms) is then FLAG * BOUND at most,
    whenever the pairs end. A measure passes once the interval of all its pairs lies below the target: one
    that has moved by as much passes with a chance of BOUND at most.

    A control has moved once its interval lies beyond the minimum effect, and is steady once it lies within
    the target, on both sides; it is judged by its median.
    """
    scales: dict[Key, Scale] = {}
    for name, rules in gated.items():
        read = {measure for pair in pairs for measure in pair.get(name, ())}
        scales |= {(name, m): Scale.of(m, rule) for m, rule in rules.items() if m in read or not read}
    evidence = {key: _Evidence(scale) for key, scale in scales.items()}
    outcomes: dict[Key, Outcome] = {}
    flagged: set[Key] = set()
    watched = {name: _Evidence(Scale.of("median", RULES["median"])) for name in controls}
    states: dict[str, ControlState] = dict.fromkeys(controls, "inconclusive")
    left = sum(WEIGHTS[measure] for _, measure in scales)
    for i, pair in enumerate(pairs):
        for name in states.keys() & pair:
            watched[name].add(i, pair[name]["median"])
            if watched[name].moved:
                states[name] = "moved"
            elif watched[name].steady:
                states[name] = "steady"
        if "moved" in states.values():
            break
        unsettled = [
            ((name, measure), d)
            for name, found in pair.items()
            for measure, d in found.items()
            if (name, measure) in scales and (name, measure) not in outcomes
        ]
        for key, d in unsettled:
            e = evidence[key]
            e.add(i, d)
            if e.not_slower >= 1 / BOUND:
                outcomes[key] = "faster" if e.faster >= 1 / BOUND else "same"
                e.first = 0
            elif key in flagged and e.slower >= 1 / BOUND:
                outcomes[key] = "slower"
                left -= WEIGHTS[key[1]]
        for key, _ in unsettled:
            bar = left / WEIGHTS[key[1]] / FLAG
            if key not in outcomes and key not in flagged and evidence[key].slower >= bar:
                flagged.add(key)
                evidence[key].flag(i)
    return Decision(
        benchmarks={
            name: BenchmarkState(
                {
                    key[1]: MeasureState(
                        outcomes.get(key, "inconclusive"),
                        key not in outcomes,
                        key in flagged,
                        evidence[key].first,
                        evidence[key].last,
                    )
                    for key in scales
                    if key[0] == name
                }
            )
            for name in gated
        },
        controls=states,
    )


def interval(differences: Sequence[float], measure: Measure, rule: Rule) -> tuple[float, float]:
    """The bounds outside which the centre of d is ruled out, as ratios head / base, or differences of shares.

    A bound is the nearest line against which the evidence has reached 1 / BOUND: 95 % for both together and,
    as they may be looked at after every pair, for all times together. With too few pairs the bounds are those
    of whatever could be: 0 and infinite, or -1 and 1.
    """
    shares = measure in SHARES
    low, high = (-1.0, 1.0) if shares else (-math.inf, math.inf)
    if (1 + BET) ** len(differences) >= 1 / BOUND:
        scale = Scale.of(measure, rule)
        least = min(differences) - scale.width - scale.passing
        most = max(differences) + scale.width + scale.passing
        low = max(low, _last(lambda line: _shown(map(scale.above(line), differences)), least, most))
        high = min(high, _last(lambda line: _shown(map(scale.below(line), differences)), most, least))
    return (low, high) if shares else (math.exp(low), math.exp(high))


def _shown(factors: Iterable[float]) -> bool:
    return math.prod(factors) >= 1 / BOUND


def _last(holds: Callable[[float], bool], inner: float, outer: float) -> float:
    """The last place on the way from `inner`, where it holds, to `outer`, where it does not."""
    for _ in range(50):
        middle = (inner + outer) / 2
        if holds(middle):
            inner = middle
        else:
            outer = middle
    return inner
