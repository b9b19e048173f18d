"""Two at once: a lock with a clear message, or a result of each; nothing is lost silently."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE, ROOT, SMALL, run, started, statuses

SLOW = """
import time, impls

class Slow(impls.load("numpy")):
    def export(self):
        time.sleep({seconds})
        return super().export()
"""


def wait_for(path: Path, seconds: float = 30) -> None:
    """Until a race has begun: something of it stands beside the record."""
    deadline = time.monotonic() + seconds
    while not list(path.parent.glob(f"*{path.name}*")) and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("second", ["race", pytest.param("race --resume", marks=pytest.mark.field)])
def test_a_second_race_for_the_same_record_is_refused_at_once(second: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=1))
    record = tmp_path / "record.json"
    command = (*GRADRACE, *second.split(), "--quiet", *SMALL, "--record", "record.json")
    with started(
        *command[:2], *command[-6:], "--quiet", "--budget", "9", "--impl", "slow.py:Slow", cwd=tmp_path
    ) as first:
        wait_for(record)
        ended = run(*command, "--impl", "numpy", cwd=tmp_path, status=2)
        assert first.poll() is None, "the first one was still to run"
        assert "record.json" in ended.err
        _, err = first.communicate(timeout=120)
        assert first.returncode == 0, err
    assert statuses(record)["slow.py:Slow"] == {"measured"}


@pytest.mark.field
def test_two_races_with_records_of_their_own_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = (*GRADRACE, "race", "--quiet", *SMALL, "--impl", "numpy", "--record")
    with (
        started(*command, "a.json", cwd=tmp_path) as first,
        started(*command, "b.json", cwd=tmp_path) as second,
    ):
        for process in (first, second):
            process.communicate(timeout=120)
            assert process.returncode == 0
    assert statuses(tmp_path / "a.json") == statuses(tmp_path / "b.json") == {"numpy": {"measured"}}


@pytest.mark.field
def test_of_two_races_with_the_default_record_one_is_refused(checkout: Path, tmp_path: Path) -> None:
    command = (sys.executable, checkout / "gradrace.py", "race", "--quiet", *SMALL, "--impl", "numpy")
    with started(*command, cwd=tmp_path) as first, started(*command, cwd=tmp_path) as second:
        ends = [(process.communicate(timeout=120)[1], process.returncode) for process in (first, second)]
    assert sorted(status for _, status in ends) == [0, 2]
    assert all("record.json" in err for err, status in ends if status)


@pytest.mark.field
def test_what_a_race_writes_is_no_place_to_merge_into(gradrace: Command, raced: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=1))
    record = tmp_path / "record.json"
    asked = ("race", "--quiet", *SMALL, "--budget", "9", "--record", "record.json", "--impl", "slow.py:Slow")
    with started(*GRADRACE, *asked, cwd=tmp_path) as first:
        wait_for(record)
        ended = gradrace("merge", raced, "--record", "record.json", status=2)
        assert first.poll() is None, "the race was still to run"
        assert "record.json" in ended.err
        first.communicate(timeout=120)
        assert first.returncode == 0
    assert statuses(record)["slow.py:Slow"] == {"measured"}


@pytest.mark.field
@pytest.mark.parametrize("command", ["page", "export"])
def test_two_reports_into_one_folder_are_whole(command: str, raced: Path, tmp_path: Path) -> None:
    asked = (*GRADRACE, command, raced, "--out", "out")
    with started(*asked, cwd=tmp_path) as first, started(*asked, cwd=tmp_path) as second:
        for process in (first, second):
            _, err = process.communicate(timeout=240)
            assert process.returncode == 0, err
    assert list((tmp_path / "out").iterdir())
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.field
def test_a_history_that_another_program_holds_is_waited_for(
    gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    gradrace("history", "add", raced, "--db", "h.sqlite", status=0)
    document = json.loads(raced.read_text("utf-8"))
    document["created"] = "2026-01-01T00:00:00+00:00"
    (tmp_path / "other.json").write_text(json.dumps(document))
    with contextlib.closing(sqlite3.connect(tmp_path / "h.sqlite", isolation_level=None)) as held:
        held.execute("begin exclusive")
        command = (*GRADRACE, "history", "add", "other.json", "--db", "h.sqlite")
        with started(*command, cwd=tmp_path) as adding:
            time.sleep(5)
            assert adding.poll() is None
            held.execute("rollback")
            _, err = adding.communicate(timeout=120)
            assert adding.returncode == 0, err
    assert "2026-01-01" in gradrace("history", "show", "--db", "h.sqlite", status=0).out


@pytest.mark.field
def test_a_record_is_free_again_after_a_race_was_killed(race: Command, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=30))
    command = (*GRADRACE, "race", "--quiet", *SMALL, "--record", "record.json", "--impl", "slow.py:Slow")
    with started(*command, cwd=tmp_path) as first:
        wait_for(tmp_path / "record.json")
        time.sleep(0.5)
        first.kill()
        first.communicate()
    race(status=0)
    assert statuses(tmp_path / "record.json") == {"numpy": {"measured"}}


@pytest.mark.field
def test_runs_that_are_added_at_once_are_all_kept(raced: Path, gradrace: Command, tmp_path: Path) -> None:
    document = json.loads(raced.read_text("utf-8"))
    for k in range(6):
        document["created"] = f"2026-01-0{k + 1}T00:00:00+00:00"
        document["settings"]["commit"] = f"{k:040x}"
        (tmp_path / f"{k}.json").write_text(json.dumps(document))
    adding = [
        started(*GRADRACE, "history", "add", f"{k}.json", "--db", "h.sqlite", cwd=tmp_path) for k in range(6)
    ]
    processes = [each.__enter__() for each in adding]
    for process, each in zip(processes, adding, strict=True):
        _, err = process.communicate(timeout=120)
        each.__exit__(None, None, None)
        assert process.returncode == 0, err
        assert "Traceback" not in err
    shown = gradrace("history", "show", "--db", "h.sqlite", status=0)
    assert all(f"{k:040x}"[:7] in shown.out or f"2026-01-0{k + 1}" in shown.out for k in range(6))


@pytest.mark.field
def test_two_renderings_into_one_folder_leave_whole_files(gallery: Path, tmp_path: Path) -> None:
    command = (*GRADRACE, "render", gallery, "--out", "out")
    with started(*command, cwd=tmp_path) as first, started(*command, cwd=tmp_path) as second:
        for process in (first, second):
            process.communicate(timeout=240)
            assert process.returncode == 0
    for path in (tmp_path / "out").glob("*.svg"):
        assert path.read_text("utf-8").rstrip().endswith("</svg>")
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.field
def test_of_two_headlines_for_one_record_one_is_refused(tmp_path: Path) -> None:
    asked = ("headline", "--impl", "numpy", "--steps", "200", "--batch-size", "1", "--budget", "3")
    command = (*GRADRACE, *asked, "--record", "h.json")
    with started(*command, cwd=tmp_path) as first, started(*command, cwd=tmp_path) as second:
        outcomes = []
        for process in (first, second):
            _, err = process.communicate(timeout=120)
            outcomes.append((process.returncode, err))
    assert (tmp_path / "h.json").is_file()
    assert sorted(status for status, _ in outcomes) == [0, 2]
    assert all("h.json" in err for status, err in outcomes if status)


@pytest.mark.field
def test_pytest_does_not_overwrite_the_record_of_a_race_that_runs(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=1))
    command = (
        *GRADRACE,
        "race",
        "--quiet",
        *SMALL,
        "--record",
        "r.json",
        "--impl",
        "slow.py:Slow",
        "--budget",
        "9",
    )
    asked = ("--benchmark-only", "--impl=numpy", "--workload=xor", "--batch-sizes=1", "--no-report")
    with started(*command, cwd=tmp_path) as first:
        wait_for(tmp_path / "r.json")
        ended = run(sys.executable, "-m", "pytest", *asked, f"--record={tmp_path}/r.json", cwd=ROOT)
        first.communicate(timeout=120)
        assert first.returncode == 0
    assert ended.status != 0
    assert "slow.py:Slow" in statuses(tmp_path / "r.json")
