"""The study on other projects: its slowdowns are what they are called."""

import dataclasses
import functools
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import pairs_file
from benchmarks.record.pairs_file import Pairs, Reading
from tests.studies import bisections, foreign
from tests.studies.foreign import KINDS, PROJECTS, UNCHANGED, slowed
from tests.studies.rivals import rules
from tests.studies.test_gate_report import recorded


class SteppedClock:
    """A clock that moves by a look at it, and by work."""

    now = 0.0

    def look(self) -> float:
        self.now += 1e-7
        return self.now

    def work(self) -> None:
        self.now += 1e-3


def calls(kind: str, monkeypatch: pytest.MonkeyPatch, count: int = 60) -> list[float]:
    """Milliseconds of each of `count` calls of a function of 1 ms, slowed by `kind`."""
    clock = SteppedClock()
    monkeypatch.setattr(time, "perf_counter", clock.look)
    space: dict[str, Any] = {"work": clock.work, "functools": functools}
    exec(slowed("work", **KINDS[kind]), space)
    found = []
    for _ in range(count):
        start = clock.now
        space["work"]()
        found.append(1e3 * (clock.now - start))
    return found


@pytest.mark.parametrize(
    ("kind", "every", "factor"), [("every third call 5 times", 3, 5), ("every 20th call 50 times", 20, 50)]
)
def test_every_nth_call_is_slow_and_no_other(
    kind: str, every: int, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [factor if k % every == every - 1 else 1 for k in range(60)]
    assert calls(kind, monkeypatch) == pytest.approx(expected, rel=0.01)


def test_five_percent_is_that_of_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls("5 %", monkeypatch) == pytest.approx([1.05] * 60, rel=0.01)


def test_a_process_is_slow_as_a_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [calls("one process in five 2 times", monkeypatch, count=3) for _ in range(60)]
    assert {round(each) for process in found for each in process} == {1, 2}
    assert all(max(process) < 1.01 * min(process) for process in found)


def test_a_list_that_grows_keeps_what_calls_made() -> None:
    assert "kept.append" in slowed("work", **KINDS["a list that grows"])
    assert "functools.cache" not in slowed("work", **KINDS["a cache that is lost"])


def test_every_kind_has_a_branch_that_git_takes() -> None:
    branches = {foreign.branch(kind, side) for kind in (*UNCHANGED, *KINDS) for side in ("base", "head")}
    assert len(branches) == 2 * (len(UNCHANGED) + len(KINDS))
    assert not any(set(branch) & set(" %~^:?*[\\") for branch in branches)


def test_base_and_head_of_a_slowdown_differ_and_of_the_same_do_not() -> None:
    for project in PROJECTS:
        assert project.edits("same") == ((), ())
        for kind in KINDS:
            base, head = project.edits(kind)
            assert base != head


def test_our_own_function_is_where_the_study_changes_it(tmp_path: Path) -> None:
    (own,) = (project for project in PROJECTS if project.name == foreign.OURSELVES)
    for kind in (*UNCHANGED, *KINDS):
        shutil.copytree(foreign.ROOT / "impls", tmp_path / kind / "impls", ignore=lambda *_: {"__pycache__"})
        for edit in (*own.edits(kind)[0], *own.edits(kind)[1]):
            edit.apply(tmp_path / kind)
            compile((tmp_path / kind / edit.file).read_text(), edit.file, "exec")


def test_gates_are_counted_by_suite_and_the_rules_by_change(tmp_path: Path) -> None:
    name = "test_unstructure_int"
    slow = benchmarks_named(recorded(loops=math.log(1.1)), name)
    runs = tmp_path / "runs" / "cattrs"
    pairs_file.write(slow, runs / "5 %-00.json")
    for kind in ("same", "comment"):
        pairs_file.write(benchmarks_named(recorded(), name), runs / f"{kind}-00.json")
    measured = list(foreign.gates(tmp_path))
    rows = {tuple(row.split(" | ")[2:7]) for row in foreign.table(measured)}
    assert {("same", "1", "0", "", "0"), ("comment", "1", "0", "", "0"), ("5 %", "1", "1", "1", "0")} <= rows
    others = list(foreign.beside_others(measured))
    assert others[0] == "| rule | no change: failed | 5 %: named |"
    assert others[2] == "| this gate | 0 of 2 | 1 of 1 |"
    assert len(others) == 3 + len(rules())


def benchmarks_named(pairs: Pairs, name: str) -> Pairs:
    """The pairs, with another name for the first benchmark."""
    was = pairs.benchmarks[0].name

    def named(reading: Reading) -> Reading:
        return dataclasses.replace(reading, benchmark=name) if reading.benchmark == was else reading

    return dataclasses.replace(
        pairs,
        benchmarks=(dataclasses.replace(pairs.benchmarks[0], name=name), *pairs.benchmarks[1:]),
        pairs=tuple(
            dataclasses.replace(pair, readings=tuple(map(named, pair.readings))) for pair in pairs.pairs
        ),
    )


def test_a_repository_to_bisect_has_one_slow_commit(tmp_path: Path) -> None:
    commits = bisections.repository(tmp_path / "repository", 5)
    assert len(set(commits)) == bisections.COMMITS + 1
