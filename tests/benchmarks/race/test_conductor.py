"""Whole races, with processes that are played: stopping, resuming, and losses that stay in their cell."""

from __future__ import annotations

import collections
import dataclasses
import errno
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import environment
from benchmarks.measure.worker import Hung, WorkerError
from benchmarks.race.conductor import Plan, Race, RaceError
from benchmarks.race.request import Request
from benchmarks.record import race_file
from benchmarks.record.cells import Cell

REQUEST = Request(impl=("loops,numpy,numba",), batch_sizes=("1,16",), seed="5")
FACTS = race_file.Facts("an idea", None, ("float64",), True, "none", "lists")


def plan(**changes: Any) -> Plan:
    whole = Plan(
        REQUEST, REQUEST.settings(), ("gradients",), 0.05, budget=1000.0, timeout=1.0, command="a test"
    )
    return dataclasses.replace(whole, **changes)


class Killed(BaseException):
    """What stands for SIGKILL: nothing runs after it but what must not be relied on."""


class Player:
    """Plays the processes of a race; `spread` is the deviation of their times, `fate` what befalls a cell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spread: float = 0.0) -> None:
        self.spread = spread
        self.fate: dict[tuple[str, int], Any] = {}
        self.processes: list[list[Cell]] = []
        self.told: list[float | None] = []
        self.kill_after: int | None = None
        self.random = random.Random(0)
        monkeypatch.setattr("benchmarks.race.conductor.Worker", self.start)

    def start(self, phases: Any, arguments: Any, threads: int, compiled: str) -> Played:
        return Played(self)

    def seconds(self, cell: Cell) -> float:
        pace = {"loops": 1.0, "numpy": 0.01, "numba": 0.001}[cell.implementation]
        return pace * cell.batch_size * self.random.lognormvariate(0.0, self.spread)


class Played:
    def __init__(self, player: Player) -> None:
        self.player = player
        self.channel = self
        self.cells: list[Cell] = []

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, cells: list[dict[str, Any]], probe: float | None) -> None:
        self.cells = [Cell(**cell) for cell in cells]
        self.player.told.append(probe)
        self.player.processes.append(self.cells)

    def messages(self, timeout: float) -> Iterator[dict[str, Any]]:
        for message in self.played():
            yield json.loads(json.dumps(message))

    def played(self) -> Iterator[dict[str, Any]]:
        yield {"machine": environment.machine(), "versions": {"python": "3"}}
        for cell in self.cells:
            yield {"begin": dataclasses.asdict(cell)}
            fate = self.player.fate.get((cell.implementation, cell.batch_size))
            if isinstance(fate, WorkerError):
                raise fate
            yield {"facts": dataclasses.asdict(FACTS), "of": cell.implementation}
            found = {"status": fate} if fate else {"status": "measured", "iterations": 1}
            if not fate:
                found["seconds"] = (self.player.seconds(cell),)
            measurement = race_file.Measurement(**dataclasses.asdict(cell), process=0, **found)
            if self.player.kill_after is not None:
                self.player.kill_after -= 1
                if self.player.kill_after < 0:
                    raise Killed
            yield {"measurement": dataclasses.asdict(measurement)}
        probe = {"probe": float(len(self.player.processes))}
        process = race_file.Process(seed=1, started="now", seconds=0.5, calibration=probe)
        yield {"end": dataclasses.asdict(process)}


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Player:
    return Player(monkeypatch)


def silent(_: Race) -> None:
    pass


def run(path: Path, given: Plan | None = None, resume: bool = False) -> race_file.Record:
    running = Race(given or plan(), path, silent)
    if resume and running.partial.exists():
        running.resume(race_file.read(running.partial))
    running.run()
    return race_file.read(path)


def cells(record: race_file.Record) -> set[tuple[str, int, str]]:
    return {(m.implementation, m.batch_size, m.status) for m in record.measurements}


def test_a_process_is_told_how_fast_the_probe_was_in_those_before(player: Player, tmp_path: Path) -> None:
    run(tmp_path / "record.json")
    assert player.told == [None, 1.0, 1.5, 2.0, 2.5]


def test_a_race_of_steady_times_takes_the_fewest_processes(player: Player, tmp_path: Path) -> None:
    record = run(tmp_path / "record.json")
    assert len(record.processes) == 5
    assert len(record.measurements) == 5 * 6
    assert list(tmp_path.iterdir()) == [tmp_path / "record.json"]


def test_a_race_goes_on_until_every_speedup_is_narrow(player: Player, tmp_path: Path) -> None:
    player.spread = 0.05
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert len(running.processes) > 5
    assert all(each.half_width <= 0.05 for each in running.speedups().values())
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
    monkeypatch.setattr("benchmarks.race.time.monotonic", lambda: next(ticks))
    player.spread = 1.0
    running = Race(plan(budget=60.0), tmp_path / "record.json", silent)
    running.run()
    assert 1 <= len(running.processes) < 10
    assert "not numba at m = 1 (digits, gradients, float64): ±" in running.verdict()


def test_a_race_killed_anywhere_resumes_and_ends_with_the_same_cells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.race.conductor.SAVE_EVERY", 0.0)
    Player(monkeypatch)
    whole = cells(run(tmp_path / "whole.json"))
    saving = Race.save
    # A kill runs no handler: what the race would still save on its way out is not there.
    monkeypatch.setattr(Race, "save", lambda self, last=False: None if last else saving(self))
    for point in random.Random(1).sample(range(30), 20):
        player = Player(monkeypatch)
        player.kill_after = point
        path = tmp_path / f"{point}.json"
        with pytest.raises(Killed):
            run(path)
        player.kill_after = None
        partial = race_file.partial_of(path)
        kept = race_file.read(partial).measurements if partial.exists() else ()
        assert len(kept) == point
        record = run(path, resume=bool(kept))
        assert cells(record) == whole
        # What was kept counts; only what lacks its fifth pair for the kill is raced once more.
        assert record.measurements[:point] == kept
        counts = collections.Counter(m.cell for m in record.measurements)
        assert set(counts.values()) <= {5, 6}
        assert len(record.processes) == 5 + (point % 6 > 0)
        assert not race_file.partial_of(path).exists()


def test_an_interrupted_race_keeps_all_that_it_had(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    player.kill_after = 8
    with pytest.raises(Killed):
        run(path)
    kept = race_file.read(race_file.partial_of(path))
    assert len(kept.measurements) == 8
    player.kill_after = None
    assert run(path, resume=True).measurements[:8] == kept.measurements


def test_another_race_is_not_resumed(player: Player, tmp_path: Path) -> None:
    record = run(tmp_path / "record.json")
    other = dataclasses.replace(REQUEST, seed="6")
    given = dataclasses.replace(plan(), request=other, settings=other.settings())
    with pytest.raises(ValueError, match="settings differ in 'seed': 5 and 6"):
        Race(given, tmp_path / "x.json", silent).resume(record)
    elsewhere = dataclasses.replace(record, machine={**record.machine, "cpu": "another"})
    with pytest.raises(ValueError, match="machine differ in 'cpu': 'another' and"):
        Race(plan(), tmp_path / "x.json", silent).resume(elsewhere)


@pytest.mark.parametrize(
    ("fate", "status", "reason"),
    [
        (Hung("no sign of life for 1 s"), "timed out", "no sign of life for 1 s"),
        (WorkerError("the process was ended by SIGSEGV"), "failed", "the process was ended by SIGSEGV"),
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


def test_a_process_that_dies_outside_any_cell_ends_the_race_with_its_words(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(self: Played, timeout: float) -> Iterator[dict[str, Any]]:
        if timeout:
            raise WorkerError("the process ended with status 4: no such option")
        yield {}

    monkeypatch.setattr(Played, "messages", dies)
    with pytest.raises(RaceError, match="no such option"):
        run(tmp_path / "record.json")


def test_a_full_disk_costs_nothing_but_what_could_be_kept(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = race_file.write

    def full(record: race_file.Record, path: Path) -> None:
        if "partial" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        writing(record, path)

    monkeypatch.setattr(race_file, "write", full)
    running = Race(plan(), tmp_path / "record.json", silent)
    running.run()
    assert "the race so far could not be kept" in running.verdict()
    assert len(race_file.read(tmp_path / "record.json").measurements) == 30
