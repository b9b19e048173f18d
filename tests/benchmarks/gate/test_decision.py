"""The gate's decision: what each outcome needs, and how often it errs."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.decision import (
    BOUND,
    FLAG,
    RULES,
    Decision,
    Differences,
    Measure,
    MeasureState,
    Rule,
    Scale,
    decide,
    interval,
)

RULE = RULES["median"]
NAMES = tuple(f"b{k}" for k in range(12))
PairRow = dict[str, float]


def slowdown(share: float) -> float:
    return math.log1p(share)


def medians(
    pairs: Sequence[PairRow], gated: Sequence[str] = NAMES, controls: Sequence[str] = (), rule: Rule = RULE
) -> Decision:
    """The decision where the median is all that is judged."""
    found: list[Differences] = [{name: {"median": d} for name, d in pair.items()} for pair in pairs]
    return decide(found, {name: {"median": rule} for name in gated}, controls)


def rows(*columns: Sequence[float]) -> list[dict[str, float]]:
    """Pairs of the first benchmarks, from a list of differences each."""
    return [dict(zip(NAMES, row, strict=False)) for row in zip(*columns, strict=True)]


def finding(differences: Sequence[float], gated: tuple[str, ...] = NAMES) -> MeasureState:
    return medians(rows(differences), gated).benchmarks["b0"].measures["median"]


def test_without_pairs_nothing_is_known() -> None:
    decision = medians([], NAMES, ("c",))
    assert {f.outcome for f in decision.benchmarks.values()} == {"inconclusive"}
    assert tuple(decision.to_measure) == NAMES
    assert decision.controls == {"c": "inconclusive"}
    assert not decision.controls_settled


def test_an_unchanged_benchmark_passes_after_six_pairs() -> None:
    assert finding([0.0] * 5).outcome == "inconclusive"
    passed = finding([0.0] * 9)
    assert (passed.outcome, passed.open, passed.flagged, passed.first, passed.last) == (
        "same",
        False,
        False,
        0,
        6,
    )


def test_a_slowdown_is_confirmed_on_pairs_that_did_not_flag_it() -> None:
    flagged = finding([slowdown(0.1)] * 6)
    assert (flagged.outcome, flagged.open, flagged.flagged, flagged.first, flagged.last) == (
        "inconclusive",
        True,
        True,
        6,
        6,
    )
    confirmed = finding([slowdown(0.1)] * 12)
    assert (confirmed.outcome, confirmed.open, confirmed.first, confirmed.last) == ("slower", False, 6, 12)


def test_a_flag_that_the_second_stage_does_not_confirm_passes_by_all_pairs() -> None:
    flagged = [slowdown(0.1)] * 6
    assert finding(flagged + [0.0] * 6).outcome == "inconclusive"
    passed = finding(flagged + [0.0] * 40)
    assert (passed.outcome, passed.flagged, passed.first) == ("same", True, 0)


def test_a_speedup_is_faster() -> None:
    assert finding([-slowdown(0.1)] * 6).outcome == "faster"


def test_a_slowdown_at_the_minimum_effect_is_none() -> None:
    assert not finding([slowdown(0.02)] * 200).flagged


def test_one_outlier_does_not_decide() -> None:
    assert finding([slowdown(9)] + [0.0] * 20).outcome == "same"
    assert finding([-9.0] + [slowdown(0.08)] * 25).outcome == "slower"


def test_the_more_is_gated_the_more_it_takes_to_flag() -> None:
    steps = [slowdown(0.05)] * 4
    assert finding(steps, gated=NAMES[:1]).flagged
    assert not finding(steps).flagged


def test_a_confirmed_slowdown_lowers_the_bar_of_the_others() -> None:
    # b1 is flagged at 12 / FLAG = 30 alone, and at 11 / FLAG = 27.5 once b0 is confirmed.
    share = [slowdown(0.1)] * 12
    evidence = (1 + 0.9) ** 5 * 1.15  # 28.5
    bet = Scale.of("median", RULE).width * 0.15 / 0.9
    other = [slowdown(0.1)] * 5 + [slowdown(0.02) + bet] + [slowdown(0.02)] * 6
    assert 11 / FLAG < evidence < 12 / FLAG
    assert not medians(rows(share[:11], other[:11])).benchmarks["b1"].measures["median"].flagged
    assert medians(rows(share, other)).benchmarks["b1"].measures["median"].flagged


def test_a_control_that_moves_ends_the_gate_whatever_the_benchmarks_say() -> None:
    pairs = [{"b0": slowdown(0.1), "c": -slowdown(0.1)} for _ in range(20)]
    decision = medians(pairs, ("b0",), ("c",))
    assert decision.controls == {"c": "moved"}
    assert decision.controls_settled
    assert decision.to_measure == {}
    assert decision.benchmarks["b0"].outcome == "inconclusive"


def test_a_slower_benchmark_is_measured_no_longer_than_the_others() -> None:
    family: dict[str, dict[Measure, Rule]] = {"b0": dict(RULES), "b1": {"median": RULES["median"]}}
    slow: dict[Measure, float] = {"median": slowdown(0.1), "processes": 0.0}
    both: list[Differences] = [{"b0": slow, "b1": {"median": slowdown(0.035)}}] * 9
    assert decide(both, family, ()).to_measure == {"b0": ("processes",), "b1": ("median",)}
    settled: list[Differences] = [{"b0": slow, "b1": {"median": 0.0}}] * 12
    assert decide(settled, family, ()).to_measure == {}


def test_a_steady_control_is_still_watched() -> None:
    pairs = [{"c": 0.0}] * 6
    assert medians(pairs, (), ("c",)).controls == {"c": "steady"}
    assert medians(pairs + [{"c": 0.2}] * 20, (), ("c",)).controls == {"c": "moved"}


def test_a_benchmark_without_readings_stays_open() -> None:
    decision = medians(rows([0.0] * 10), NAMES[:2])
    assert decision.to_measure == {"b1": ("median",)}


@pytest.mark.parametrize(("least", "most"), [(-0.01, 0.05), (0.05, 0.05), (0.1, 0.05), (math.nan, 0.05)])
def test_a_rule_that_is_none_is_refused(least: float, most: float) -> None:
    with pytest.raises(ValueError, match="minimum effect"):
        Rule(least, most)


differences = st.lists(st.floats(-0.2, 0.2, allow_nan=False), min_size=1, max_size=60)


@given(differences, st.integers(0, 60))
def test_more_pairs_never_change_what_was_decided(series: list[float], length: int) -> None:
    before, after = finding(series[:length]), finding(series)
    if not before.open:
        assert after == before


@given(differences)
def test_the_verdict_agrees_with_the_printed_interval(series: list[float]) -> None:
    found = finding(series)
    low, high = interval(series[found.first : found.last], "median", RULE)
    if found.outcome == "slower":
        assert low >= 1.02 * (1 - 1e-9)
    elif found.outcome in ("same", "faster"):
        assert high <= 1.05 * (1 + 1e-9)
    assert low <= high


@given(differences, st.floats(-0.5, 0.5, allow_nan=False))
def test_the_interval_moves_with_the_differences(series: list[float], shift: float) -> None:
    low, high = interval(series, "median", RULE)
    moved_low, moved_high = interval([d + shift for d in series], "median", RULE)
    assert moved_low == pytest.approx(low * math.exp(shift), rel=1e-6)
    assert moved_high == pytest.approx(high * math.exp(shift), rel=1e-6)


@given(differences)
def test_base_and_head_change_places_in_the_interval(series: list[float]) -> None:
    low, high = interval(series, "median", RULE)
    swapped_low, swapped_high = interval([-d for d in series], "median", RULE)
    assert swapped_low == pytest.approx(1 / high, rel=1e-6)
    assert swapped_high == pytest.approx(1 / low if low else math.inf, rel=1e-6)


def student(rng: random.Random) -> float:
    """Student's t with three degrees of freedom: heavy tails, a deviation of sqrt(3)."""
    return rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2) / 3)


def families(count: int, effects: Sequence[float], spread: float, pairs: int, seed: int) -> int:
    """The number of families, of `count`, with any benchmark confirmed; the level of the noise wanders."""
    rng = random.Random(seed)
    alarms = 0
    for _ in range(count):
        level = 1.0
        series = []
        for _ in range(pairs):
            level = min(3.0, max(0.3, level * math.exp(rng.gauss(0, 0.2))))
            series.append(
                {
                    name: effect + spread * level * student(rng)
                    for name, effect in zip(NAMES, effects, strict=True)
                }
            )
        found = medians(series).benchmarks
        alarms += any(state.outcome == "slower" for state in found.values())
    return alarms


def test_a_family_at_the_very_edge_of_the_minimum_effect_keeps_its_error_rate() -> None:
    # 12 benchmarks, each with the largest slowdown that is none. Expected 300 * FLAG * BOUND = 3 at most.
    assert families(300, [slowdown(0.02)] * 12, 0.02, 60, seed=1) <= 8


def test_an_unchanged_family_hardly_ever_alarms() -> None:
    assert families(300, [0.0] * 12, 0.02, 60, seed=2) == 0


def test_one_slowdown_of_five_percent_is_found() -> None:
    assert families(100, [slowdown(0.05)] + [0.0] * 11, 0.008, 60, seed=3) >= 95


def test_the_bounds_hold_at_every_moment() -> None:
    # An interval that is looked at after every pair leaves the centre out, at any time, in 2 * BOUND at most.
    rng = random.Random(4)
    missed = 0
    for _ in range(200):
        series = [0.01 * student(rng) for _ in range(30)]
        seen = (interval(series[:n], "median", RULE) for n in range(1, 31))
        missed += any(not low <= 1 <= high for low, high in seen)
    assert missed <= 2 * BOUND * 200 + 3 * math.sqrt(2 * BOUND * 200)
