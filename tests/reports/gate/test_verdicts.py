"""The verdict on a change: what passes, what fails, and what is not known."""

import dataclasses
import math
from collections.abc import Sequence

import pytest

from benchmarks.record.pairs_file import Incident, Pair, Reading, Terms
from reports.gate.verdicts import Judgement, judge
from tests.reports.gate import pairs as by_hand

LOOPS, NUMPY, NUMBA = by_hand.names()
SLOWER = [math.log(1.1)] * 12


def verdicts(judgement: Judgement) -> dict[str, str]:
    return {row.name: row.verdict for row in judgement.rows}


def test_no_slowdown_is_a_pass() -> None:
    judgement = judge(by_hand.made({}), {})
    assert judgement.exit_code == 0
    assert set(verdicts(judgement).values()) == {"same"}
    assert judgement.sentence == "no slowdown in 3 benchmarks"


def test_a_slowdown_fails_by_name() -> None:
    judgement = judge(by_hand.made({NUMPY: SLOWER}), {})
    assert judgement.exit_code == 1
    assert verdicts(judgement) == {LOOPS: "same", NUMPY: "slower", NUMBA: "same"}
    assert judgement.sentence == f"slower: {NUMPY}"
    row = judgement.rows[1]
    assert row.shown.value == pytest.approx(1.1)
    assert 1.02 <= row.shown.low <= 1.1 <= row.shown.high


def test_a_speedup_passes() -> None:
    judgement = judge(by_hand.made({NUMPY: [-0.2] * 12}), {})
    assert (judgement.exit_code, verdicts(judgement)[NUMPY]) == (0, "faster")


def test_without_pairs_there_is_no_telling() -> None:
    judgement = judge(by_hand.made({}, pairs=0), {})
    assert judgement.exit_code == 2
    assert set(verdicts(judgement).values()) == {"inconclusive"}


def test_what_is_still_open_is_no_pass() -> None:
    judgement = judge(by_hand.made({NUMPY: [0.0] * 5}), {})
    assert judgement.exit_code == 2
    assert verdicts(judgement)[NUMPY] == "inconclusive"
    assert NUMPY in judgement.sentence


def test_a_slowdown_outweighs_what_is_not_known() -> None:
    judgement = judge(by_hand.made({NUMPY: SLOWER, LOOPS: [0.0] * 5}), {})
    assert judgement.exit_code == 1


@pytest.mark.parametrize("moved", [0.1, -0.1])
def test_a_control_that_moved_makes_everything_inconclusive(moved: float) -> None:
    control = by_hand.CONTROLS[0].name
    judgement = judge(by_hand.made({NUMPY: SLOWER, control: [moved] * 12}), {})
    assert judgement.exit_code == 2
    assert set(verdicts(judgement).values()) == {"inconclusive"}
    assert f"{control} moved" in judgement.sentence


def test_a_control_that_was_not_watched_makes_everything_inconclusive() -> None:
    control = by_hand.CONTROLS[0].name
    judgement = judge(by_hand.made({NUMPY: SLOWER, control: []}), {})
    assert judgement.exit_code == 2
    assert control in judgement.sentence


def test_a_benchmark_that_one_side_lacks_is_incomparable_and_no_pass() -> None:
    lost = Incident(NUMPY, "base", "vanished", "this commit has no numpy")
    judgement = judge(by_hand.made({NUMPY: []}, incidents=[lost]), {})
    assert judgement.exit_code == 2
    assert verdicts(judgement)[NUMPY] == "incomparable"
    assert judgement.rows[1].reason == "base: vanished: this commit has no numpy"


def test_readings_before_an_incident_do_not_count() -> None:
    lost = Incident(NUMPY, "head", "failed", "it crashed")
    judgement = judge(by_hand.made({NUMPY: SLOWER}, incidents=[lost]), {})
    assert (judgement.exit_code, verdicts(judgement)[NUMPY]) == (2, "incomparable")


def test_two_machines_are_incomparable() -> None:
    measured = by_hand.made({NUMPY: SLOWER})
    elsewhere = dataclasses.replace(measured.head, machine={"cpu": "another"})
    judgement = judge(dataclasses.replace(measured, head=elsewhere), {})
    assert judgement.exit_code == 2
    assert set(verdicts(judgement).values()) == {"incomparable"}


def test_a_benchmark_whose_detectable_effect_exceeds_the_target_decides_nothing() -> None:
    effects = {LOOPS: 0.03, NUMPY: 0.08, NUMBA: 0.05}
    judgement = judge(by_hand.made({NUMPY: SLOWER}), effects)
    assert judgement.exit_code == 0
    assert [row.informational for row in judgement.rows] == [False, True, False]
    assert judgement.rows[1].verdict == "slower"
    assert judge(by_hand.made({NUMPY: []}), effects).exit_code == 0
    assert judgement.sentence == "no slowdown in 2 benchmarks; 1 informational"


def test_no_noise_excuses_a_benchmark_that_one_side_cannot_run() -> None:
    lost = Incident(NUMPY, "head", "failed", "dw[0] is off")
    judgement = judge(by_hand.made({NUMPY: []}, incidents=[lost]), {NUMPY: math.inf})
    assert judgement.exit_code == 2
    assert (judgement.rows[1].verdict, judgement.rows[1].informational) == ("incomparable", False)


def test_where_nothing_can_be_detected_there_is_no_telling() -> None:
    judgement = judge(by_hand.made({}), dict.fromkeys(by_hand.names(), math.inf))
    assert judgement.exit_code == 2
    assert "informational" in judgement.sentence


def turned(
    head: Sequence[float], pairs: int, terms: Terms, base: Sequence[float] = (1e-3,) * 20
) -> Judgement:
    """The judgement on a benchmark whose turns of head are these in every pair."""
    made = by_hand.made({}, pairs, terms=terms)
    slow = Reading(NUMPY, 1, tuple(base), tuple(head))

    def changed(pair: Pair) -> Pair:
        return dataclasses.replace(
            pair, readings=tuple(slow if r.benchmark == NUMPY else r for r in pair.readings)
        )

    return judge(dataclasses.replace(made, pairs=tuple(map(changed, made.pairs))), {})


def test_the_verdict_names_the_measures_that_moved_and_the_two_kinds_of_turns() -> None:
    every_third = [5e-3 if k % 3 == 2 else 1e-3 for k in range(21)][:20]
    judgement = turned(every_third, 20, Terms())
    row = judgement.rows[1]
    assert (judgement.exit_code, row.verdict, row.shown.measure) == (1, "slower", "mean")
    assert row.shown.value == pytest.approx(sum(every_third) / 20e-3)
    assert "moved, too: tail" in row.reason
    assert "two kinds of turns: 30 % of head's take 5.0 times as long; of base's 0 % do" in row.reason
    assert {each.measure: each.outcome for each in row.measures}["median"] == "same"


def test_a_benchmark_passes_only_where_all_of_its_measures_do() -> None:
    judgement = turned([1e-3] * 20, 12, Terms())
    assert (judgement.exit_code, judgement.rows[1].shown.measure) == (2, "processes")
    assert judgement.rows[1].reason == "more pairs are needed: processes"
    assert turned([1e-3] * 20, 19, Terms()).exit_code == 0


@pytest.mark.parametrize(
    ("terms", "code", "sentence"),
    [
        (Terms({}, at_most=5e-4), 1, f"slower: {NUMPY}"),
        (Terms({}, at_most=2e-3), 0, "no slowdown in 3 benchmarks"),
        (Terms(by_hand.TIMES.rules, fail_on_improvement=True), 1, "faster than the reference"),
        (Terms(by_hand.TIMES.rules, speedup=2.0), 0, "no slowdown in 3 benchmarks"),
        (Terms(by_hand.TIMES.rules, speedup=4.0), 1, "slower: "),
        (Terms(by_hand.TIMES.rules, informational=True), 2, "every benchmark is informational"),
    ],
    ids=["above the limit", "below the limit", "improved", "as fast as expected", "not fast enough", "shown"],
)
def test_a_projects_own_terms_decide(terms: Terms, code: int, sentence: str) -> None:
    # Head takes a millisecond where base takes two and a half.
    everything = by_hand.made({}, 12, terms=terms)
    readings = {name: Reading(name, 1, (2.5e-3,) * 4, (1e-3,) * 4) for name in by_hand.names()}
    if terms.at_most == 5e-4:  # of the others head is fast enough
        readings |= {name: Reading(name, 1, (2.5e-3,), (1e-4,)) for name in (LOOPS, NUMBA)}
    pairs = tuple(
        dataclasses.replace(
            pair, readings=tuple(readings.get(each.benchmark, each) for each in pair.readings)
        )
        for pair in everything.pairs
    )
    judgement = judge(dataclasses.replace(everything, pairs=pairs), {})
    assert judgement.exit_code == code
    assert sentence in judgement.sentence
