"""The verdict on a change: what passes, what fails, and what is not known."""

import dataclasses
import math

import pytest

from benchmarks.record.pairs_file import Incident
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
    lost = Incident(NUMPY, "base", "unavailable", "this commit has no numpy")
    judgement = judge(by_hand.made({NUMPY: []}, incidents=[lost]), {})
    assert judgement.exit_code == 2
    assert verdicts(judgement)[NUMPY] == "incomparable"
    assert judgement.rows[1].reason == "base: unavailable: this commit has no numpy"


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
    lost = Incident(NUMPY, "head", "wrong", "dw[0] is off")
    judgement = judge(by_hand.made({NUMPY: []}, incidents=[lost]), {NUMPY: math.inf})
    assert judgement.exit_code == 2
    assert (judgement.rows[1].verdict, judgement.rows[1].informational) == ("incomparable", False)


def test_where_nothing_can_be_detected_there_is_no_telling() -> None:
    judgement = judge(by_hand.made({}), dict.fromkeys(by_hand.names(), math.inf))
    assert judgement.exit_code == 2
    assert "informational" in judgement.sentence
