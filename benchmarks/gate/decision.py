"""The gate's decision after every pair of processes: pure arithmetic, with the standard library alone.

The runner, the judge and the validation study call the same function, so that all of them stop by the same
rule.

Each pair gives every benchmark one number d for each of its measures, 0 where base and head are alike. The
evidence that the centre of d lies above (or below) a line is an e-process by betting, which starts at 1 and
is multiplied with each pair:

    e *= 1 + BET * clip((d - line) / width, -1, 1)

If the centre does not lie above the line, the factor is 1 or less on average, and the probability that e ever
reaches x, *at any time*, is at most 1 / x (Ville, 1939): any number of pairs may be added.
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
"""The probability that the first stage flags any measure whose slowdown is the minimum effect or less."""

BOUND = 0.025
"""The probability that a bound of the printed interval is wrong; the interval has 95 % for both. The second
stage confirms a flag by such a bound, on later pairs, so that the family-wise rate of false alarms is at most
FLAG * BOUND, 1 %. A measure passes by such a bound, too."""

BET = 0.9
"""The largest share of the evidence that a pair may cost. Near 1 few pairs are enough; below 1 no single pair
reduces the evidence to 0."""

MOST_PAIRS = 120
"""The most pairs of a gate; a change that they do not show is below the minimum detectable effect."""

Measure = Literal["median", "mean", "tail", "processes", "first call", "memory", "limit"]
"""The measures of a benchmark. They compare the two sides by the `median` of neighbouring turns, the `mean`
over all turns, the `tail` (the share of slow turns), the share of slow `processes`, the `first call` of a
process, and the peak of `memory`; `limit` compares head alone with an absolute time."""

SHARES: frozenset[Measure] = frozenset({"tail", "processes"})
"""Measures whose d is a difference of shares; for the others d is the logarithm of a ratio."""

WEIGHTS: Mapping[Measure, float] = {
    "median": 0.5,
    **dict.fromkeys(("mean", "tail", "processes", "first call", "memory", "limit"), 0.1),
}
"""The weights by which the probability of a false alarm is divided among the measures."""

LIMIT_WIDTH = math.log(1.05 / 1.02)

Bet = Callable[[float], float]
Outcome = Literal["faster", "same", "slower", "inconclusive"]
ControlState = Literal["steady", "moved", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """The changes of a measure that matter, as shares. A change is reported if it is shown to be larger than
    the minimum effect; a measure passes if a change as large as the target is ruled out.

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
"""The default rules. They are wider for measures of rarer events."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """A rule in the unit of a measure's d: the lines of the minimum effect and of the target, and the widths.

    Distances from a line are clipped at its width. For most measures the width is the distance between the
    lines, so that a pair counts fully if the noise is small, and an outlier counts as one pair. For
    `processes`, a pair with one slow process counts fully. `width` is for the evidence that the centre lies
    above a line, `passing` for the evidence that it lies below one.
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
    """The state of one measure: its outcome, and the pairs `first` to `last` (exclusive) that it is based on.

    If a measure was flagged and has not passed since, these are the pairs of the second stage alone, as the
    flag selected the earlier ones.
    """

    outcome: Outcome
    open: bool
    flagged: bool
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class BenchmarkState:
    """The state of one benchmark, by measure."""

    measures: Mapping[Measure, MeasureState]

    @property
    def open(self) -> tuple[Measure, ...]:
        """The measures that need more pairs."""
        return tuple(measure for measure, state in self.measures.items() if state.open)

    @property
    def slower(self) -> tuple[Measure, ...]:
        """The measures that are slower."""
        return tuple(m for m, state in self.measures.items() if state.outcome == "slower")

    @property
    def outcome(self) -> Outcome:
        """Slower if any measure is; if all of them pass, the outcome of the median: faster or the same."""
        if self.slower:
            return "slower"
        outcomes = [state.outcome for state in self.measures.values()]
        if not outcomes or "inconclusive" in outcomes:
            return "inconclusive"
        return self.measures["median"].outcome if "median" in self.measures else "same"


@dataclasses.dataclass(frozen=True)
class Decision:
    """The state of all benchmarks and controls after the pairs so far."""

    benchmarks: Mapping[str, BenchmarkState]
    controls: Mapping[str, ControlState]

    @property
    def to_measure(self) -> dict[str, tuple[Measure, ...]]:
        """The measures that need more pairs; none once a control has moved, as nothing can be concluded then.

        The other measures of a slower benchmark are only measured while another benchmark is open.
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
    """The e-processes of a measure or control, which are based on its pairs `first` to `last` (exclusive)."""

    def __init__(self, scale: Scale) -> None:
        below = dataclasses.replace(scale, passing=scale.width)  # the same evidence for faster and slower
        self.bets = (
            scale.above(scale.least),
            scale.below(scale.most),
            below.below(-scale.least),
            scale.above(-scale.most),
        )
        self.first = self.last = 0
        self.slower = self.not_slower = self.faster = self.not_faster = 1.0

    def flag(self, pair: int) -> None:
        """Begin the second stage after this pair: only the evidence of a slowdown restarts."""
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
"""The d of a pair, by benchmark and measure."""


def decide(
    pairs: Sequence[Differences], gated: Mapping[str, Mapping[Measure, Rule]], controls: Collection[str]
) -> Decision:
    """The decision after `pairs`; `pairs[i]` has the d of pair i, by benchmark and measure.

    `gated` has the rules of each benchmark; measures without readings are left out.

    First stage: a measure is flagged once the evidence that it is slower reaches the sum of the weights of
    all unconfirmed measures, divided by its own weight and by FLAG. This is Holm's weighted correction,
    stepping down with each *confirmed* slowdown. Second stage: a flagged measure restarts on later pairs
    only, and is confirmed once its interval lies above the minimum effect. The probability that any measure
    without a slowdown is confirmed (the family-wise rate of false alarms) is then at most FLAG * BOUND, at
    any number of pairs. A measure passes once the interval of all its pairs lies below the target; the
    probability that one with a slowdown as large as the target passes is at most BOUND.

    A control is judged by its median. It has moved once its interval lies beyond the minimum effect on either
    side, and is steady once it lies within the target on both sides.
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
    """The 95 % interval of the centre of d, as ratios head / base or differences of shares.

    A bound is the nearest line against which the evidence has reached 1 / BOUND. The interval holds at all
    times together, so that it may be looked at after every pair. With too few pairs it is 0 to infinity, or
    -1 to 1.
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
    """The last point from `inner`, where it holds, towards `outer`, where it does not, by bisection."""
    for _ in range(50):
        middle = (inner + outer) / 2
        if holds(middle):
            inner = middle
        else:
            outer = middle
    return inner
