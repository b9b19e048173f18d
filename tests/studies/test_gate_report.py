"""The study's arithmetic: replays of recorded pairs, and the report on them."""

import dataclasses
import math
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pair, Pairs, Reading
from reports.style import LOOKS
from tests.reports.gate import pairs as by_hand
from tests.studies import replays
from tests.studies.gate_report import OURS, interval, main, share
from tests.studies.rivals import rules

LOOPS, NUMPY, NUMBA = by_hand.names()


def turns(pair: Pair, rng: random.Random) -> Pair:
    """The pair with eight turns for every one, each with noise of its own."""

    def noisy(seconds: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(seconds[0] * math.exp(rng.gauss(0, 0.002)) for _ in range(8))

    readings = (Reading(r.benchmark, r.iterations, noisy(r.base), noisy(r.head)) for r in pair.readings)
    return dataclasses.replace(pair, readings=tuple(readings))


def recorded(spread: float = 0.004, pairs: int = 30, **shifts: float) -> Pairs:
    rng = random.Random(7)
    shift = {next(n for n in by_hand.names() if n.startswith(name)): d for name, d in shifts.items()}
    columns = {
        name: [rng.gauss(shift.get(name, 0.0), spread) for _ in range(pairs)] for name in by_hand.names()
    }
    made = by_hand.made(columns, pairs, head="a" * 40)
    return dataclasses.replace(made, pairs=tuple(turns(pair, rng) for pair in made.pairs))


def test_unchanged_gates_pass_and_a_slowdown_is_named() -> None:
    same = replays.Recording(recorded())
    unchanged = replays.gate(same, replays.none, 50, seed=0)
    assert (unchanged.gates, unchanged.alarms, unchanged.unknown) == (50, 0, 0)
    slow = replays.gate(same, replays.one(same.gated, 0.1), 50, seed=0)
    assert (slow.alarms, slow.named) == (50, 50)
    assert slow.pairs > unchanged.pairs
    uniform = replays.gate(same, replays.every(same.gated, 0.1), 50, seed=0)
    assert (uniform.alarms, uniform.named) == (50, 50)


def test_a_replay_repeats() -> None:
    same = replays.Recording(recorded(0.02))
    slowdown = replays.one(same.gated, 0.04)
    assert replays.gate(same, slowdown, 20, seed=3) == replays.gate(same, slowdown, 20, seed=3)


def test_an_injected_record_takes_the_place_of_its_benchmarks() -> None:
    same = replays.Recording(recorded())
    full = recorded(numpy=math.log(1.1))
    only = dataclasses.replace(
        full,
        benchmarks=tuple(b for b in full.benchmarks if b.name in (NUMPY, *same.controls)),
        pairs=tuple(
            dataclasses.replace(
                p, readings=tuple(r for r in p.readings if r.benchmark in (NUMPY, *same.controls))
            )
            for p in full.pairs
        ),
    )
    tally = replays.gate(same, replays.none, 30, seed=0, injected=replays.Recording(only))
    assert (tally.alarms, tally.named) == (30, 30)


def test_an_alarm_for_another_benchmark_is_not_named() -> None:
    wrong = replays.Recording(recorded(loops=math.log(1.1)))
    tally = replays.whole([wrong], [NUMPY])
    assert (tally.alarms, tally.named) == (1, 0)
    assert replays.whole([wrong], [LOOPS]).named == 1


def test_a_control_that_moves_is_counted_as_unknown() -> None:
    moved = by_hand.control_moved(recorded(), 1.1)
    tally = replays.whole([replays.Recording(moved)], [])
    assert (tally.alarms, tally.unknown) == (0, 1)


def test_a_replay_ends_where_a_gate_would_have_ended() -> None:
    """A control that moves later on changes nothing: no gate would have seen it."""
    moved = by_hand.control_moved(recorded(), 1.5, since=8)
    tally = replays.whole([replays.Recording(moved)], [])
    assert (tally.pairs, tally.unknown) == (6, 0)


@pytest.mark.parametrize("name", rules())
def test_rivals_are_replayed_on_the_same_pairs(name: str) -> None:
    same = replays.Recording(recorded(0.001))
    slowdown = replays.one(same.gated, 0.2)
    assert replays.rival(same, rules()[name], slowdown, 20, seed=0).alarms == 20


@pytest.mark.parametrize("name", rules())
def test_rivals_see_the_first_pairs_in_which_a_benchmark_was_measured(name: str) -> None:
    full = recorded(0.001)
    early, *rest = full.pairs
    early = dataclasses.replace(early, readings=tuple(r for r in early.readings if r.benchmark != NUMPY))
    without = replays.Recording(dataclasses.replace(full, pairs=(early, *rest)))
    after = replays.Recording(dataclasses.replace(full, pairs=tuple(rest)))
    after.gated = without.gated = [NUMPY]
    assert replays.whole_rival([without], rules()[name], []) == replays.whole_rival(
        [after], rules()[name], []
    )
    slower = replays.Recording(
        dataclasses.replace(
            recorded(numpy=math.log(2.0)), pairs=(early, *recorded(numpy=math.log(2.0)).pairs[1:])
        )
    )
    assert replays.whole_rival([slower], rules()[name], [NUMPY]).named == 1


def test_every_rule_has_a_look_of_its_own() -> None:
    assert {OURS, *rules()} <= set(LOOKS)


def test_shares_come_with_their_interval() -> None:
    assert interval(0, 1000) == pytest.approx((0.0, 0.00368), abs=1e-5)
    assert share(19, 20) == "19 of 20: 95.0 % (75.1 to 99.9)"


def report(folder: Path, same: Pairs | None) -> Result:
    if same is not None:
        pairs_file.write(same, folder / "same.json")
    arguments = [str(folder), "--replays", "20", "--out", str(folder / "out")]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_the_study_is_reported_in_tables_and_a_chart(tmp_path: Path) -> None:
    pairs_file.write(recorded(numpy=math.log(1.1)), tmp_path / "injected" / "spin-10.json")
    pairs_file.write(recorded(numpy=math.log(1.1)), tmp_path / "runs" / "spin-10-00.json")
    pairs_file.write(recorded(), tmp_path / "runs" / "same-00.json")
    result = report(tmp_path, recorded())
    assert result.exit_code == 0
    text = (tmp_path / "out" / "gate-study.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")
    ]
    ours = next(row for row in rows if row[0] == "this gate")
    assert ours == ["this gate", "0.0 %", "0.0 %", ours[3], "100.0 %", "100.0 %", ours[6]]
    reported = {(row[0], row[1]): row[2] for row in rows}
    assert reported["no change", "this gate"].startswith("0 of 20: 0.0 % (0.0 to 16.8)")
    assert reported["10 % in one benchmark", "this gate"].startswith("20 of 20")
    assert reported["spin-10, recorded", "this gate"].startswith("20 of 20")
    assert reported["same", "this gate"].startswith("0 of 1:")
    assert reported["spin-10", "this gate"].startswith("1 of 1:")
    of_four = [row for row in rows if len(row) == 4 and row[1] not in ("gates", "---", "benchmark")]
    costs, sizes = of_four[:3], of_four[3:]
    assert [row[:3] for row in sizes] == [["spin-10", name, "30"] for name in by_hand.names()]
    assert [1.095 < float(row[3]) < 1.105 for row in sizes] == [name == NUMPY for name in by_hand.names()]
    assert [row[:2] for row in costs] == [["same", "1"], ["spin-10", "1"], ["all", "2"]]
    assert costs[-1][2:] == ["300", "300"]
    assert (tmp_path / "out" / "gate-study.svg").stat().st_size > 1000


def test_without_whole_gates_the_report_is_short(tmp_path: Path) -> None:
    assert "None yet." in report(tmp_path, recorded()).output


@pytest.mark.parametrize("same", [None, recorded(pairs=19)], ids=["missing", "short"])
def test_a_study_without_a_record_of_one_commit_is_misuse(tmp_path: Path, same: Pairs | None) -> None:
    assert report(tmp_path, same).exit_code == 3
