"""The history: branches that exist, reading without a right to write, a common step reported once."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.field.conftest import Command
from tests.field.trial import GRADRACE, as_nobody, run

pytest.importorskip("sqlalchemy")

DAMAGE = {
    "empty": b"",
    "no database": b"mine\n" * 100,
    "a truncated database": None,
    "a record": b'{"format": "gradrace-record"}',
}


@pytest.fixture
def kept(gradrace: Command, raced: Path, tmp_path: Path) -> Path:
    """A history of one run."""
    gradrace("history", "add", raced, "--db", "h.sqlite", status=0)
    return tmp_path / "h.sqlite"


def test_what_was_added_is_shown_and_added_once(kept: Path, gradrace: Command, raced: Path) -> None:
    gradrace("history", "add", raced, "--db", kept, status=0)
    shown = gradrace("history", "show", "--db", kept, status=0).out
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", shown)) == 1, shown


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("asked", ["show", "trend"])
def test_reading_needs_no_right_to_write(asked: str, kept: Path, tmp_path: Path) -> None:
    nobody = as_nobody(tmp_path)
    kept.chmod(0o444)
    tmp_path.chmod(0o555)
    run(
        *nobody,
        *GRADRACE,
        "history",
        asked,
        "--db",
        kept,
        cwd=tmp_path,
        env={"HOME": "/nonexistent"},
        status=0,
    )


@pytest.mark.root
@pytest.mark.field
def test_adding_without_a_right_to_write_is_refused_in_words(kept: Path, raced: Path, tmp_path: Path) -> None:
    nobody = as_nobody(tmp_path)
    for path in (raced.parent, raced):
        path.chmod(path.stat().st_mode | 0o005)
    kept.chmod(0o444)
    ended = run(*nobody, *GRADRACE, "history", "add", raced, "--db", kept, cwd=tmp_path)
    assert ended.status not in (0, 1)
    assert "h.sqlite" in ended.err


@pytest.mark.parametrize(
    "damage", [pytest.param(d, marks=[] if d == "no database" else pytest.mark.field) for d in DAMAGE]
)
@pytest.mark.parametrize(
    "asked",
    ["show", pytest.param("trend", marks=pytest.mark.field), pytest.param("add", marks=pytest.mark.field)],
)
def test_a_file_that_is_no_history_is_refused_in_words_and_stays(
    damage: str, asked: str, kept: Path, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    content = DAMAGE[damage]
    content = kept.read_bytes()[:5000] if content is None else content
    (tmp_path / "bad.sqlite").write_bytes(content)
    ended = gradrace("history", asked, *([raced] if asked == "add" else []), "--db", "bad.sqlite")
    if damage == "empty" and asked == "add":
        assert ended.status == 0  # as sqlite has it: an empty file is an empty database
    else:
        assert ended.status not in (0, 1)
        assert "bad.sqlite" in ended.err
        assert (tmp_path / "bad.sqlite").read_bytes() == content


@pytest.mark.field
@pytest.mark.parametrize(
    "place", ["h.sqlite", "./h.sqlite", "a b.sqlite", "a?b.sqlite", "a%20b.sqlite", "ä.sqlite", "a#b.sqlite"]
)
def test_a_database_may_have_any_name(place: str, gradrace: Command, raced: Path, tmp_path: Path) -> None:
    gradrace("history", "add", raced, "--db", place, status=0)
    assert (tmp_path / place).is_file()
    gradrace("history", "show", "--db", place, status=0)


@pytest.mark.parametrize("place", ["folder", pytest.param("pipe", marks=pytest.mark.field)])
@pytest.mark.parametrize("asked", ["add", "show"])
def test_what_is_no_file_is_no_history(
    asked: str, place: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    ended = gradrace("history", asked, *([raced] if asked == "add" else []), "--db", place, status=2)
    assert f"--db {place}: expected an SQLite file" in ended.err


def test_a_record_that_comes_through_a_pipe_is_added(raced: Path, tmp_path: Path) -> None:
    script = 'cat "$0" | "$@"'
    asked = ("history", "add", "/dev/stdin", "--db", "h.sqlite")
    run("sh", "-c", script, raced, *GRADRACE, *asked, cwd=tmp_path, status=0)


def test_runs_that_are_not_there_cannot_be_dropped(kept: Path, gradrace: Command) -> None:
    ended = gradrace("history", "prune", "--run", "1", "--run", "99", "--db", kept, status=2)
    assert "got 99; nothing was dropped" in ended.err
    gradrace("history", "show", "1", "--db", kept, status=0)


@pytest.mark.field
def test_a_history_that_is_a_link_is_written_through(gradrace: Command, raced: Path, tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to("there.sqlite")
    gradrace("history", "add", raced, "--db", "link.sqlite", status=0)
    assert (tmp_path / "link.sqlite").is_symlink()
    assert (tmp_path / "there.sqlite").is_file()


@pytest.mark.field
@pytest.mark.parametrize("branch", ["feature/a b", "main", "ä", "[red]", "'; drop table runs; --", "x" * 200])
def test_a_branch_may_have_any_name(branch: str, gradrace: Command, raced: Path) -> None:
    gradrace("history", "add", raced, "--branch", branch, "--db", "h.sqlite", status=0)
    shown = gradrace("history", "show", "--db", "h.sqlite", env={"COLUMNS": "400"}, status=0)
    assert branch[:20] in shown.out


def series(raced: Path, folder: Path, commits: int, step: int, factor: float) -> list[Path]:
    """Records of `commits` commits, everything slower by `factor` from commit `step` on."""
    document = json.loads(raced.read_text("utf-8"))
    made = []
    for k in range(commits):
        each = json.loads(json.dumps(document))
        each["created"] = f"2026-02-{k + 1:02d}T00:00:00+00:00"
        each["settings"]["commit"], each["settings"]["branch"] = f"{k + 1:040x}", "main"
        for process in each["processes"]:
            process["started"] = each["created"]
        for m in each["measurements"]:
            scale = (factor if k >= step else 1.0) * (1 + 0.002 * ((7 * k) % 5))
            m["seconds"] = [s * scale for s in m["seconds"]]
        if k >= step:
            each["machine"]["system"] = "Linux 7.0.0"
        made.append(folder / f"{k:02d}.json")
        made[-1].write_text(json.dumps(each))
    return made


@pytest.mark.field
def test_a_step_of_the_whole_machine_is_reported_once(gradrace: Command, raced: Path, tmp_path: Path) -> None:
    made = series(raced, tmp_path, 20, 10, 1.5)
    gradrace("history", "add", *made, "--db", "h.sqlite", status=0)
    ended = gradrace("history", "trend", "--db", "h.sqlite", env={"COLUMNS": "200"}, status=0)
    assert "machine" in ended.out
    assert len(ended.out.splitlines()) < 30, ended.out


@pytest.mark.field
@pytest.mark.parametrize("option", ["--changed", "--json"])
def test_trends_can_be_narrowed_and_read_by_programs(
    option: str, gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    gradrace("history", "add", *series(raced, tmp_path, 12, 6, 1.5), "--db", "h.sqlite", status=0)
    ended = gradrace("history", "trend", option, "--db", "h.sqlite", status=0)
    if option == "--json":
        assert json.loads(ended.out)


@pytest.mark.field
def test_a_record_without_a_commit_is_refused_with_what_to_do(
    gradrace: Command, raced: Path, tmp_path: Path
) -> None:
    document = json.loads(raced.read_text("utf-8"))
    document["settings"].pop("commit", None)
    (tmp_path / "r.json").write_text(json.dumps(document))
    ended = gradrace("history", "add", "r.json", "--db", "h.sqlite")
    assert ended.status not in (0, 1)
    assert "--commit" in ended.err


@pytest.mark.field
def test_a_history_moves_with_its_file(kept: Path, gradrace: Command, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copyfile(kept, tmp_path / "elsewhere" / "copy.sqlite")
    gradrace("history", "show", "--db", "elsewhere/copy.sqlite", status=0)
