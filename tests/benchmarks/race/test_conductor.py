"""Whole races, with processes that are played: stopping, resuming, and losses that stay in their cell."""

from __future__ import annotations

import collections
import dataclasses
import errno
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks import options
from benchmarks.measure.process import ProcessError, Silent
from benchmarks.race import journal, messages
from benchmarks.race.conductor import Race, RaceError, RacePlan
from benchmarks.race.journal import Journal
from benchmarks.race.progress import RaceProgress
from benchmarks.race.questions import Ranking, Speedups
from benchmarks.record import machine, race_file
from benchmarks.record.cells import Cell
from benchmarks.record.ranking import FEWEST, rankings
from benchmarks.record.statistics import speedups
from benchmarks.workloads import WORKLOADS

SETTINGS, _ = options.settings(implementations=("loops", "numpy", "numba"), batch_sizes=(1, 16), seed=5)
FACTS = race_file.Facts("an idea", None, ("float64",), True, "none", "lists")


def plan(**changes: Any) -> RacePlan:
    whole = RacePlan(
        SETTINGS,
        {"digits": WORKLOADS["digits"].described()},
        ("gradients",),
        question=Speedups("loops", 0.05),
        budget=1000.0,
        timeout=1.0,
        command="a test",
    )
    return dataclasses.replace(whole, **changes)


class Killed(BaseException):
    """A substitute for SIGKILL: code that still runs after it must not be relied on."""


class Player:
    """Plays the processes of a race; `spread` is the deviation of their times, `fate` what befalls a cell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spread: float = 0.0) -> None:
        self.spread = spread
        self.fate: dict[tuple[str, int], Any] = {}
        self.processes: list[list[Cell]] = []
        self.probes: list[float | None] = []
        self.threads: list[int] = []
        self.busy = False
        self.kill_after: int | None = None
        self.random = random.Random(0)
        monkeypatch.setattr("benchmarks.race.conductor.PythonProcess", self.start)

    def start(self, serve: str, threads: int, variables: Any) -> Played:
        self.threads.append(threads)
        return Played(self)

    def seconds(self, cell: Cell) -> float:
        pace = {"loops": 1.0, "numpy": 0.01, "numba": 0.001}[cell.implementation]
        return pace * cell.batch_size * self.random.lognormvariate(0.0, self.spread)


class Played:
    """A process that answers as the player has it."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.orders: list[messages.WorkerOrder] = []

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        self.player.busy = False

    def close(self, grace: float) -> None:
        assert not self.orders

    def send(self, order: messages.WorkerOrder) -> None:
        assert not self.orders, "an order before the answer to the last one"
        self.orders.append(order)
        self.player.busy = True

    def receive(self, family: type[messages.WorkerAnswer], timeout: float) -> messages.WorkerAnswer:
        answer = self.answer(self.orders.pop())
        self.player.busy = False
        return answer

    def answer(self, order: messages.WorkerOrder) -> messages.WorkerAnswer:
        player = self.player
        match order:
            case messages.Begin(probe=probe):
                player.probes.append(probe)
                player.processes.append([])
                return messages.Begun(machine.machine(), {"python": "3"})
            case messages.MeasureCell(cell):
                player.processes[-1].append(cell)
                return self.measured(cell)
            case messages.End(seed):
                calibration = {"probe": float(len(player.processes))}
                return messages.Ended(
                    race_file.Process(seed=seed, started="now", seconds=0.5, calibration=calibration)
                )
        raise AssertionError(order)

    def measured(self, cell: Cell) -> messages.Measured:
        fate = self.player.fate.get((cell.implementation, cell.batch_size))
        if isinstance(fate, BaseException):
            raise fate
        found: dict[str, Any] = {"status": fate} if fate else {"status": "measured", "iterations": 1}
        if not fate:
            found["seconds"] = (self.player.seconds(cell),)
        if self.player.kill_after is not None:
            self.player.kill_after -= 1
            if self.player.kill_after < 0:
                raise Killed
        return messages.Measured(race_file.Measurement(**dataclasses.asdict(cell), process=0, **found), FACTS)


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Player:
    return Player(monkeypatch)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of a race, of which every cell takes ten seconds."""
    now = [0.0]
    measuring = Played.measured

    def measured(self: Played, cell: Cell) -> messages.Measured:
        now[0] += 10.0
        return measuring(self, cell)

    monkeypatch.setattr("benchmarks.race.conductor.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Played, "measured", measured)
    return now


def silent(_: RaceProgress) -> None:
    pass


def run(path: Path, given: RacePlan | None = None, resume: bool = False) -> race_file.Record:
    running = Race(given or plan(), path, silent)
    if resume:
        running.resume(journal.read(journal.of(path)))
    running.run()
    return race_file.read(path)


def kept(path: Path) -> tuple[race_file.Measurement, ...]:
    """The entries of a race in its journal."""
    running = Race(plan(), path, silent)
    running.resume(journal.read(journal.of(path)) if journal.of(path).exists() else [])
    return tuple(running.measurements)


def cells(record: race_file.Record) -> set[tuple[str, int, str]]:
    return {(m.implementation, m.batch_size, m.status) for m in record.measurements}


def test_a_process_is_given_the_probes_time_of_those_before(player: Player, tmp_path: Path) -> None:
    run(tmp_path / "record.json")
    assert player.probes == [None, 1.0, 1.5, 2.0, 2.5]


def test_a_race_of_steady_times_takes_the_fewest_processes(player: Player, tmp_path: Path) -> None:
    record = run(tmp_path / "record.json")
    assert len(record.processes) == 5
    assert len(record.measurements) == 5 * 6
    assert list(tmp_path.iterdir()) == [tmp_path / "record.json"]


def test_a_process_has_one_number_of_threads_and_the_numbers_take_turns(
    player: Player, tmp_path: Path
) -> None:
    two = dataclasses.replace(SETTINGS, threads=(1, 2))
    record = run(tmp_path / "record.json", plan(settings=two))
    assert player.threads == [1, 2] * 5
    for threads, cells_of_it in zip(player.threads, player.processes, strict=True):
        assert {cell.threads for cell in cells_of_it} == {threads}
    assert len(record.measurements) == 2 * 5 * 6


def test_time_is_spent_on_the_threads_that_need_it(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Player,
        "seconds",
        lambda self, cell: 1.0 if cell.threads == 1 else self.random.lognormvariate(0.0, 0.05),
    )
    two = dataclasses.replace(SETTINGS, threads=(1, 2))
    run(tmp_path / "record.json", plan(settings=two))
    assert player.threads.count(1) == 5
    assert player.threads.count(2) > 5


def test_a_budget_that_is_spent_ends_a_race_before_another_number_of_threads(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr("benchmarks.race.conductor.time.monotonic", lambda: next(ticks))
    running = Race(
        plan(budget=5.0, settings=dataclasses.replace(SETTINGS, threads=(1, 2))),
        tmp_path / "record.json",
        silent,
    )
    running.run()
    assert player.threads == [1]
    assert running.unreached(threads=(1, 2)) == ["threads 2: not reached within the budget of 5 s"]


def test_a_race_goes_on_until_every_speedup_is_narrow(player: Player, tmp_path: Path) -> None:
    player.spread = 0.05
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert len(running.processes) > 5
    assert all(each.half_width <= 0.05 for each in speedups(running.measurements, "loops").values())
    assert "4 of 4 speedups are known to ±5%" in running.verdict()


def test_time_is_spent_on_the_cells_that_need_it(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Player,
        "seconds",
        lambda self, cell: 1.0 if cell.batch_size == 1 else self.random.lognormvariate(0.0, 0.1),
    )
    run(tmp_path / "record.json")
    later = [cell for process in player.processes[5:] for cell in process]
    assert later
    assert {cell.batch_size for cell in later} == {16}
    assert {cell.implementation for cell in later} >= {"loops"}


def test_a_budget_ends_a_race_and_what_is_still_wide_is_named(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr("benchmarks.race.conductor.time.monotonic", lambda: next(ticks))
    player.spread = 1.0
    running = Race(plan(budget=60.0), tmp_path / "record.json", silent)
    running.run()
    assert 1 <= len(running.processes) < 10
    assert "not numba at m = 1 (digits, gradients, float64): ±" in running.verdict()


def test_a_race_killed_anywhere_resumes_and_ends_with_the_same_cells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Player(monkeypatch)
    whole = cells(run(tmp_path / "whole.json"))
    for point in random.Random(1).sample(range(1, 30), 20):
        player = Player(monkeypatch)
        player.kill_after = point
        path = tmp_path / f"{point}.json"
        with pytest.raises(Killed):
            run(path)
        player.kill_after = None
        with journal.of(path).open("ab") as file:
            file.write(b'{"type":"Measured","meas')  # killed while it wrote a line
        before = kept(path)
        assert len(before) == point
        record = run(path, resume=True)
        assert cells(record) == whole
        # What was kept counts; only what lacks its fifth pair for the kill is raced once more.
        assert record.measurements[:point] == before
        counts = collections.Counter(m.cell for m in record.measurements)
        assert set(counts.values()) <= {5, 6}
        assert len(record.processes) == 5 + (point % 6 > 0)
        assert not journal.of(path).exists()


def test_a_race_that_measured_nothing_leaves_nothing(player: Player, tmp_path: Path) -> None:
    player.kill_after = 0
    with pytest.raises(Killed):
        run(tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_race_kept_is_put_aside_by_a_new_one(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    player.kill_after = 8
    with pytest.raises(Killed):
        run(path)
    before = journal.of(path).read_bytes()
    player.kill_after = None
    assert len(run(path).processes) == 5
    assert journal.of(path).with_name("record.journal.jsonl.previous").read_bytes() == before


def test_a_damaged_journal_is_refused_with_its_line(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    player.kill_after = 8
    with pytest.raises(Killed):
        run(path)
    place = journal.of(path)
    lines = place.read_bytes().splitlines(keepends=True)
    place.write_bytes(b"".join([*lines[:3], b"{}\n", *lines[3:]]))
    with pytest.raises(ValueError, match=r"record\.journal\.jsonl, line 4: expected an entry"):
        journal.read(place)
    place.write_bytes(b"".join(lines[1:]))
    with pytest.raises(ValueError, match="expected a journal of this version"):
        journal.read(place)


def test_a_race_that_ended_can_be_added_to(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    player.spread = 0.05
    record = run(path, plan(question=Speedups("loops", 0.5)))
    running = Race(plan(question=Speedups("loops", 1e-9)), path, silent)
    running.resume(journal.entries_of(record))
    player.kill_after = 20
    with pytest.raises(Killed):
        running.run()
    before = kept(path)
    assert before[:30] == record.measurements
    assert len(before) > 30
    assert Race(plan(), path, silent).record().machine == record.machine
    resumed = Race(plan(), path, silent)
    resumed.resume(journal.entries_of(record))
    assert dataclasses.replace(resumed.record(), created="") == dataclasses.replace(
        record, created="", settings=resumed.record().settings
    )


def test_the_conductor_does_nothing_while_a_cell_is_measured(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appending = Journal.append
    at_work: list[str] = []

    def append(self: Journal, entry: Any) -> None:
        assert not player.busy
        at_work.append("journal")
        appending(self, entry)

    def show(now: RaceProgress) -> None:
        assert not player.busy
        at_work.append("display")

    monkeypatch.setattr(Journal, "append", append)
    Race(plan(), tmp_path / "record.json", show).run()
    assert collections.Counter(at_work) == {"journal": 1 + 5 * (3 + 6), "display": 5 * (6 + 1)}


def test_another_race_is_not_resumed(player: Player, tmp_path: Path) -> None:
    record = run(tmp_path / "record.json")
    other = plan(settings=dataclasses.replace(SETTINGS, seed=6))
    with pytest.raises(ValueError, match="settings differ in 'seed': 5 and 6"):
        Race(other, tmp_path / "x.json", silent).resume(journal.entries_of(record))
    elsewhere = dataclasses.replace(record, machine={**record.machine, "cpu": "another"})
    with pytest.raises(ValueError, match="machine differ in 'cpu': 'another' and"):
        Race(plan(), tmp_path / "x.json", silent).resume(journal.entries_of(elsewhere))


@pytest.mark.parametrize(
    ("fate", "status", "reason"),
    [
        (Silent("no answer within 1 s"), "timed out", "no answer within 1 s"),
        (ProcessError("the process was ended by SIGSEGV"), "failed", "the process was ended by SIGSEGV"),
        ("wrong", "wrong", ""),
        ("skipped", "skipped", ""),
        ("unavailable", "unavailable", ""),
    ],
)
def test_a_lost_cell_costs_that_cell_alone(
    fate: Any, status: str, reason: str, player: Player, tmp_path: Path
) -> None:
    player.fate["numpy", 1] = fate
    record = run(tmp_path / "record.json")
    lost = [m for m in record.measurements if m.status != "measured"]
    assert [(m.implementation, m.batch_size, m.status, m.reason) for m in lost] == [
        ("numpy", 1, status, reason)
    ]
    measured = {(m.implementation, m.batch_size) for m in record.measurements if m.status == "measured"}
    assert len(measured) == 5


@pytest.mark.parametrize("order", [messages.Begin, messages.End])
def test_processes_that_die_outside_any_cell_end_the_race_with_their_words(
    order: type[messages.WorkerOrder], player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = Played.answer

    def dies(self: Played, given: messages.WorkerOrder) -> messages.WorkerAnswer:
        if isinstance(given, order):
            raise ProcessError("the process exited with status 4: no such thing")
        return answering(self, given)

    monkeypatch.setattr(Played, "answer", dies)
    with pytest.raises(RaceError, match="no such thing"):
        run(tmp_path / "record.json")
    # Before any measurement the first one does, else the second one.
    assert len(player.processes) == (0 if order is messages.Begin else 2)


def test_no_race_goes_past_its_budget_by_more_than_a_cell(
    player: Player, tmp_path: Path, now: list[float]
) -> None:
    for budget, cells_measured in ((1.0, 1), (25.0, 3), (60.0, 6), (65.0, 6), (175.0, 18)):
        now[0] = 0.0
        running = Race(plan(budget=budget), tmp_path / f"{budget}.json", silent)
        running.run()
        assert len(running.measurements) <= cells_measured
        assert running.seconds <= budget + 10.0


def test_what_was_named_and_not_measured_is_missing_with_its_reason(player: Player, tmp_path: Path) -> None:
    player.fate |= {("numpy", 1): "skipped", ("numba", 1): "wrong", ("numba", 16): "unsupported"}
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert running.missing(["loops", "numpy"]) == []
    assert running.missing(["numba", "jax"]) == [
        "numba: wrong: ",
        "numba: unsupported: ",
        "jax: not reached within the budget of 1000 s",
    ]


def test_a_value_that_was_named_and_not_reached_is_missing(player: Player, tmp_path: Path) -> None:
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert running.unreached(batch_size=(1, 16), dtype=("float64",), phase=()) == []
    assert running.unreached(batch_size=(1, 1024), dtype=("float32",)) == [
        "batch size 1024: not reached within the budget of 1000 s",
        "dtype float32: not reached within the budget of 1000 s",
    ]


def test_a_full_disk_costs_nothing_but_what_could_be_kept(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Journal, entry: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert "the race so far could not be saved" in running.verdict()
    assert len(race_file.read(tmp_path / "record.json").measurements) == 30


def test_two_races_do_not_write_one_record(tmp_path: Path) -> None:
    with journal.sole(tmp_path / "record.json"):
        with (
            pytest.raises(ValueError, match="another race is writing"),
            journal.sole(tmp_path / "record.json"),
        ):
            pass
        with journal.sole(tmp_path / "other.json"):
            pass
    with journal.sole(tmp_path / "record.json"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_race_for_the_ranking_drops_the_hopeless_after_one_process(player: Player, tmp_path: Path) -> None:
    player.spread = 0.01
    record = run(tmp_path / "record.json", plan(question=Ranking()))
    counts = collections.Counter(m.implementation for m in record.measurements)
    assert counts == {"loops": 2, "numpy": 2, "numba": 10}
    assert record.settings["until"] == "ranking"


def test_the_fastest_of_numpy_alone_stays_in_a_race_for_the_ranking(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Played.measured

    def with_versions(self: Played, cell: Cell) -> messages.Measured:
        found = measured(self, cell)
        libraries = ("numpy",) if cell.implementation == "numpy" else ("numpy", "numba")
        facts = dataclasses.replace(FACTS, versions=dict.fromkeys(libraries, "1"))
        return messages.Measured(found.measurement, facts)

    monkeypatch.setattr(Played, "measured", with_versions)
    record = run(tmp_path / "record.json", plan(question=Ranking()))
    counts = collections.Counter(m.implementation for m in record.measurements)
    assert counts == {"loops": 2, "numpy": 10, "numba": 10}


def test_a_race_for_the_ranking_goes_on_until_it_is_known(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"loops": 1.0, "numpy": 1.08, "numba": 1.18}
    monkeypatch.setattr(
        Player, "seconds", lambda self, c: paces[c.implementation] * self.random.lognormvariate(0.0, 0.03)
    )
    running = Race(plan(question=Ranking()), tmp_path / "record.json", silent)
    running.run()
    assert len(running.processes) > 5
    assert "2 of 2 rankings are known" in running.verdict()
    for places in rankings(running.measurements):
        assert [place.cell.implementation for place in places] == ["loops", "numpy", "numba"]


def test_a_race_for_the_ranking_says_which_pairs_it_could_not_tell_apart(
    player: Player, tmp_path: Path
) -> None:
    running = Race(plan(question=Ranking()), tmp_path / "record.json", silent)
    running.measurements = [
        race_file.Measurement(
            *("digits", "gradients", name, 1, "float64", 1, process, "measured"), seconds=(seconds,)
        )
        for name, each in (("numpy", (1.0, 1.5)), ("numba", (1.2, 1.0)))
        for process, seconds in enumerate(each)
    ]
    words = running.verdict().splitlines()
    assert "0 of 1 rankings are known, ties to 3%" in words[0]
    assert words[1] == "  not numba and numpy at m = 1 (digits, gradients, float64)"


def test_what_a_scouting_process_did_not_come_to_waits_until_the_rest_is_known(
    player: Player, tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"numba": 1.0, "numpy": 1.1, "loops": 2.5}
    monkeypatch.setattr(Player, "seconds", lambda self, cell: paces[cell.implementation])
    promising = dataclasses.replace(SETTINGS, implementations=("numba", "numpy", "loops"), batch_sizes=(1,))
    scouting = plan(settings=promising, question=Ranking(), budget=65.0, scouting=15.0)
    running = Race(scouting, tmp_path / "record.json", silent)
    running.run()
    assert [cell.implementation for cell in player.processes[0]] == ["numba", "numpy"]
    assert all(cell.implementation != "loops" for process in player.processes for cell in process)
    assert running.unreached(implementation=promising.implementations) == [
        "implementation loops: not reached within the budget of 65 s"
    ]
    now[0] = 0.0
    player.processes.clear()
    running = Race(dataclasses.replace(scouting, budget=1000.0), tmp_path / "record.json", silent)
    running.run()
    assert [cell.implementation for cell in player.processes[0]] == ["numba", "numpy"]
    assert {cell.implementation for cell in player.processes[-1]} >= {"loops"}
    assert "1 of 1 rankings are known" in running.verdict()


@pytest.mark.usefixtures("now")
def test_after_scouting_there_are_processes_enough_for_the_first_two(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"numba": 1.0, "numpy": 1.2, "loops": 1.3, "numba-loops": 1.4}
    monkeypatch.setattr(Player, "seconds", lambda self, cell: paces[cell.implementation])
    asked = dataclasses.replace(SETTINGS, implementations=tuple(paces), batch_sizes=(1,))
    running = Race(
        plan(settings=asked, question=Ranking(), budget=140.0, scouting=45.0), tmp_path / "r.json", silent
    )
    running.run()
    assert len(player.processes[0]) == 4
    both = [{cell.implementation for cell in process} >= {"numba", "numpy"} for process in player.processes]
    assert sum(both) >= FEWEST


def test_a_scouting_race_gives_no_cell_longer_than_its_budget(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    given: list[float] = []
    receiving = Played.receive

    def receive(self: Played, family: type[messages.WorkerAnswer], timeout: float) -> messages.WorkerAnswer:
        if isinstance(self.orders[-1], messages.MeasureCell):
            given.append(timeout)
            now[0] += 7.0
        return receiving(self, family, timeout)

    monkeypatch.setattr("benchmarks.race.conductor.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Played, "receive", receive)
    running = Race(
        plan(question=Ranking(), budget=40.0, scouting=16.0, timeout=60.0, survey=0.5),
        tmp_path / "record.json",
        silent,
    )
    running.run()
    assert given[:3] == [24.0, 17.0, 10.0]  # of half as long again as the scouting
    assert max(given[3:]) <= 40.5 - 21.0
    assert min(given) >= 1.0
