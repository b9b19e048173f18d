"""A fleet's race: what has ended is kept, and only that; what was lost is raced again, and nothing else."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fleet import fleet, state, tasks
from benchmarks.fleet.description import Local
from benchmarks.fleet.progress import FleetProgress
from benchmarks.fleet.tasks import REFUSED, FleetTask, HostOutcome
from benchmarks.race.ending import MISSING
from benchmarks.record import race_file
from benchmarks.record.documents import encoded
from tests.reports.records import race as made

ARGUMENTS = ["--impl", "loops"]

Fate = HostOutcome | tasks.LostTask | None
"""The outcome of a task; None if the scheduler is lost."""

LOST = tasks.LostTask("it died", again=True)
AWAY = tasks.LostTask("it stayed away", again=False)


def content(cpu: str = "a processor", seed: int = 0, **machine: object) -> str:
    record = made(("loops",), (1,), processes=1, machine={"cpu": cpu, "cores": 2, **machine})
    (process,) = record.processes
    processes = (race_file.Process(seed, f"2025-01-02T03:04:{seed % 60:02}+00:00", process.seconds),)
    document = race_file.Record(**{**vars(record), "processes": processes})
    return encoded(document, race_file.FORMAT, race_file.SCHEMA).decode()


class Scripted:
    """An engine whose tasks end as scripted, one after the other."""

    def __init__(self, script: dict[str, list[Fate]]) -> None:
        self.script = {host: list(news) for host, news in script.items()}
        self.hosts = list(script)
        self.started: collections.Counter[str] = collections.Counter()
        self.under_way: list[str] = []

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start(self, hosts: Sequence[str], task: FleetTask) -> None:
        for host in hosts:
            assert host not in self.under_way, "two races on one host at a time"
            self.under_way.append(host)
            self.started[host] += 1

    def news(self) -> Iterator[tuple[str, HostOutcome | tasks.LostTask]]:
        host = self.under_way[0]
        found = self.script[host].pop(0)
        if found is None:
            raise tasks.SchedulerLost("the scheduler has gone")
        self.under_way.remove(host)
        yield host, found


def race(engine: Scripted, kept: state.HostRecords) -> list[str]:
    return fleet.race(Local(), engine, ARGUMENTS, kept, FleetProgress(quiet=True))


def opened(folder: Path, resume: bool = False, arguments: list[str] = ARGUMENTS) -> state.HostRecords:
    return state.HostRecords(folder / "record.json", arguments, resume)


def test_a_lost_task_is_raced_again_and_the_others_are_not(tmp_path: Path) -> None:
    done = HostOutcome(0, "", content())
    engine = Scripted({"a": [done], "b": [LOST, LOST, done], "c": [done]})
    kept = opened(tmp_path)
    assert race(engine, kept) == []
    assert engine.started == {"a": 1, "b": 3, "c": 1}
    assert all(kept.finished(host) for host in "abc")


def test_a_host_is_given_up_with_its_reason(tmp_path: Path) -> None:
    done = HostOutcome(0, "", content())
    engine = Scripted({"a": [LOST] * fleet.TRIES, "b": [AWAY], "c": [done]})
    kept = opened(tmp_path)
    assert sorted(race(engine, kept)) == ["a: it died", "b: it stayed away"]
    assert [kept.finished(host) is not None for host in "abc"] == [False, False, True]


@given(st.lists(st.sampled_from(["done", "lost", "away", "scheduler"]), min_size=1, max_size=12))
def test_whatever_happens_a_resumed_race_starts_what_is_not_kept_and_nothing_else(fates: list[str]) -> None:
    import tempfile

    news: dict[str, Fate] = {
        "done": HostOutcome(0, "", content()),
        "lost": LOST,
        "away": AWAY,
        "scheduler": None,
    }
    with tempfile.TemporaryDirectory() as folder:
        script = {f"h{k}": [news[fate], news["done"], news["done"]] for k, fate in enumerate(fates)}
        first, kept = Scripted(script), opened(Path(folder))
        try:
            race(first, kept)
        except tasks.SchedulerLost:
            assert "scheduler" in fates
        ended = {host for host in script if kept.finished(host)}
        again = Scripted({host: [news["done"]] for host in script})
        assert race(again, opened(Path(folder), resume=True)) == []
        assert set(again.started) == set(script) - ended
        assert all(kept.finished(host) for host in script)


def test_what_a_host_did_not_measure_is_known_after_a_resume_too(tmp_path: Path) -> None:
    part = HostOutcome(MISSING, "a warning\nnot measured: jax: unavailable: install it", content())
    expected = ["a: jax: unavailable: install it"]
    assert race(Scripted({"a": [part]}), opened(tmp_path)) == expected
    assert race(Scripted({"a": []}), opened(tmp_path, resume=True)) == expected


@pytest.mark.parametrize(
    "answer",
    [
        HostOutcome(REFUSED, "Error: threads: expected 1 to 2, got 4"),
        HostOutcome(1, "Error: threads: expected 1 to 2, got 4", content()),
    ],
)
def test_a_host_that_refuses_keeps_nothing_and_is_not_asked_again(
    answer: HostOutcome, tmp_path: Path
) -> None:
    engine, kept = Scripted({"a": [answer]}), opened(tmp_path)
    assert race(engine, kept) == ["a: threads: expected 1 to 2, got 4"]
    assert engine.started == {"a": 1}
    assert kept.finished("a") is None


@pytest.mark.parametrize("wrong", ["", "{}", "half of a rec"])
def test_an_answer_that_holds_no_record_is_not_kept(wrong: str, tmp_path: Path) -> None:
    kept = opened(tmp_path)
    (words,) = race(Scripted({"a": [HostOutcome(0, "", wrong)]}), kept)
    assert "gradrace-record" in words
    assert [path.name for path in kept.folder.iterdir()] == ["race.json"]


def test_another_race_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none; race without --resume"):
        opened(tmp_path, resume=True)
    opened(tmp_path).begin()
    with pytest.raises(ValueError, match="'--impl loops', got '--impl numpy'"):
        opened(tmp_path, resume=True, arguments=["--impl", "numpy"])


def test_without_resume_what_was_kept_is_put_aside(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.begin()
    kept.keep("a/b:1", content(), [])
    again = opened(tmp_path)
    again.begin()
    assert again.finished("a/b:1") is None
    assert len(list((tmp_path / "record.hosts.previous").iterdir())) == 2


def records(*contents: str, folder: Path) -> list[race_file.Record]:
    kept = opened(folder)
    kept.begin()
    for k, one in enumerate(contents):
        kept.keep(str(k), one, [])
    return [found for k in range(len(contents)) if (found := kept.finished(str(k)))]


def test_like_machines_are_one_race_and_unlike_ones_stand_side_by_side(tmp_path: Path) -> None:
    cpus = ["x", "y", "x", "x", "y"]
    found = state.merged(records(*(content(cpu, k) for k, cpu in enumerate(cpus)), folder=tmp_path))
    assert [(each.machine["cpu"], len(each.processes)) for each in found] == [("x", 3), ("y", 2)]
    paths = state.write(found, tmp_path / "record.json")
    assert [path.name for path in paths] == ["record-1.json", "record-2.json"]
    assert json.loads(paths[1].read_text())["machine"]["cpu"] == "y"


@pytest.mark.parametrize("earlier", [1, 2, 4])
@pytest.mark.parametrize("now", [1, 2, 3])
def test_no_file_of_an_earlier_fleet_stays_beside_those_of_a_later_one(
    tmp_path: Path, earlier: int, now: int
) -> None:
    place, of_the_user = tmp_path / "record.json", tmp_path / "record-mine.json"
    of_the_user.touch()
    found = records(*(content(str(k), k) for k in range(4)), folder=tmp_path / "kept")
    state.write(found[:earlier], place)
    paths = state.write(found[:now], place)
    assert sorted(tmp_path.glob("*.json")) == sorted([*paths, of_the_user])


def test_like_virtual_machines_may_differ_by_a_few_pages(tmp_path: Path) -> None:
    found = records(
        content(memory_bytes=1 << 30), content(seed=1, memory_bytes=(1 << 30) + 4096), folder=tmp_path
    )
    assert len(state.merged(found)) == 1
