"""The commands: from files to answers, with a message and exit status 2 for every mistake."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.record import pairs_file, race_file
from benchmarks.record.git import git
from gradrace import commands
from reports.history.runs import moment
from reports.history.sources import runs_of
from tests.reports.history import made
from tests.reports.history.postgres import ESCAPED, PASSWORD, Server


def call(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(commands, ["history", *map(str, arguments)], env=environment)


def fine(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    """The message of a command that fails as it should."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    return result.output


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    race_file.write(made.race(), path)
    return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with branches here and on a remote, and a tag."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet", "--initial-branch", "topic")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for subject in ("first", "second"):
        git(folder, *identity, "commit", "--quiet", "--allow-empty", "--message", subject)
    git(folder, "tag", "v1")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return folder


@pytest.mark.parametrize(
    ("ref", "branch"),
    [
        ("topic", "topic"),
        ("refs/heads/topic", "topic"),
        ("origin/main", "main"),
        ("topic~1", "(detached)"),
        ("v1", "(detached)"),
        ("HEAD", "(detached)"),
        ("elsewhere", "(detached)"),
    ],
)
def test_pairs_are_filed_under_branches_that_exist(repository: Path, ref: str, branch: str) -> None:
    pairs = made.pairs(base=git(repository, "rev-parse", "HEAD~1"))
    pairs = dataclasses.replace(pairs, base=dataclasses.replace(pairs.base, ref=ref))
    base, _ = runs_of(pairs, {}, None, None)
    assert (base.commit.branch, base.commit.subject) == (branch, "first")


def test_a_record_is_added_once_and_listed(db: str, record: Path) -> None:
    assert f"{record}: run 1: 8 measurements of {made.sha(0)[:10]} on main" in fine("add", record, "--db", db)
    assert "nothing added: it is already stored" in fine("add", record, "--db", db)
    text = fine("show", "--db", db)
    assert text.count("main") == 1
    assert made.sha(0)[:10] in text
    text = fine("show", 1, "--db", db)
    assert made.sha(0) in text
    assert "cpu a processor" in text


def test_a_field_that_a_later_version_adds_makes_no_other_file(db: str, record: Path) -> None:
    """A file is known by what is in it, and not by how this version reads it."""
    document = json.loads(record.read_text())
    del document["processes"][0]["waited"]
    record.write_text(json.dumps(document, indent=3))
    fine("add", record, "--db", db)
    assert json.loads(fine("show", 1, "--json", "--db", db)) == document


def test_the_file_comes_back(db: str, record: Path, tmp_path: Path) -> None:
    fine("add", record, "--db", db)
    back = tmp_path / "back.json"
    back.write_text(fine("show", 1, "--json", "--db", db))
    assert race_file.read(back) == race_file.read(record)


def test_pairs_are_a_run_for_each_side(db: str, tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "pairs.json"
    pairs_file.write(made.pairs(), path)
    text = fine("add", path, "--branch", "feature", "--db", db)
    assert f"run 1: 6 measurements of {made.sha(1)[:10]} on main" in text
    assert f"run 2: 6 measurements of {made.sha(2)[:10]} on feature" in text
    assert "nothing added" in fine("add", path, "--db", db)
    text = fine("trend", "--branch", "feature", "--impl", "numpy", "--db", db)
    assert "105 µs" in text.replace("107 µs", "105 µs")


def test_the_commit_of_the_command_line_counts(db: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    race_file.write(dataclasses.replace(made.race(), settings={}), path)
    assert "expected the commit that was measured" in refused("add", path, "--db", db)
    assert "on topic" in fine("add", path, "--commit", made.sha(5), "--branch", "topic", "--db", db)


@pytest.mark.parametrize(
    "name", ["--upload-pack=x", "$(touch x)", "no-such-branch", "HEAD:README.md", "-h", "", "main\nmain"]
)
def test_a_name_that_is_no_commit_is_refused(name: str, record: Path, tmp_path: Path) -> None:
    race_file.write(dataclasses.replace(made.race(), settings={}), record)
    text = refused("add", record, f"--commit={name}", "--db", tmp_path / "h")
    assert "expected" in text
    assert not Path("x").exists()


def test_a_race_of_a_changed_tree_is_refused(db: str, record: Path) -> None:
    settings = {"commit": made.sha(0) + "-dirty", "branch": "main"}
    race_file.write(dataclasses.replace(made.race(), settings=settings), record)
    assert "with changes on top of it" in refused("add", record, "--db", db)
    assert "run 1" in fine("add", record, "--commit", made.sha(0), "--db", db)


def test_the_date_and_the_subject_are_those_of_git(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-02-03T04:05:06+02:00")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    subject = "Faster: <b>loops</b>"
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", subject], check=True)
    fine("add", record, "--commit", "HEAD", "--db", "history.sqlite")
    assert subject in fine("show", "--db", "history.sqlite")
    fine("trend", "--db", "history.sqlite", "--page", "page.html")
    assert "2020-02-03" in Path("page.html").read_text()
    assert "<b>" not in Path("page.html").read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}', '{"format": "gradrace-pairs"}'])
def test_a_file_that_is_none_of_ours_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    assert "expected" in refused("add", path, "--db", tmp_path / "h")
    assert path.read_text() == content


def test_a_missing_file_and_a_missing_history_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused("add", tmp_path / "none.json", "--db", tmp_path / "h")
    assert "got no such file" in refused("show", "--db", tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_a_place_where_no_history_can_be_is_refused(record: Path, tmp_path: Path) -> None:
    assert "expected an SQLite file, got a folder" in refused("add", record, "--db", tmp_path)
    assert "expected a file in a folder that can be made" in refused(
        "add", record, "--db", record / "history"
    )
    assert "expected" in refused("show", "--db", record)


def test_trend_prints_the_step_and_draws_the_page(db: str, tmp_path: Path) -> None:
    made.stepping(made.opened(db))
    page = tmp_path / "out" / "page.html"
    text = fine("trend", "--db", db, "--page", page)
    assert f"at {made.sha(25)[:10]}" in text
    assert "with it changed: numpy 2.4 -> 2.5" in text
    html = page.read_text()
    assert html.count("<svg") == 2
    for words in ("change 25", "numpy 2.4 -&gt; 2.5", "+10", '<td class="number">40'):
        assert words in html
    for outside in ("http://cdn", "https://cdn", "<script", "<link", "src="):
        assert outside not in html
    fine("trend", "--db", db, "--page", page)
    assert page.read_text() == html


def test_trend_of_what_is_not_there_is_refused(db: str, record: Path) -> None:
    fine("add", record, "--db", db)
    assert "expected series with {'dtype': 'float16'}" in refused("trend", "--dtype", "float16", "--db", db)


def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert moment("2025-01-02") == datetime.datetime(2025, 1, 2)
        assert moment("2025-01-02T03:00:00+02:00") == datetime.datetime(2025, 1, 2, 1)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("command", [["show"], ["prune", "--run"]])
@pytest.mark.parametrize("number", ["0", "99999999999999999999"])
def test_a_number_that_no_run_can_have_is_refused(
    command: list[str], number: str, tmp_path: Path, record: Path
) -> None:
    db = tmp_path / "h"
    fine("add", record, "--db", db)
    assert "is not in the range" in refused(*command, number, "--db", db)


def test_prune_drops_what_is_chosen(db: str, record: Path) -> None:
    fine("add", record, "--db", db)
    assert "expected --before, --branch or --run" in refused("prune", "--db", db)
    assert "expected an ISO 8601 date" in refused("prune", "--before", "soon", "--db", db)
    assert "would drop 1 run" in fine("prune", "--before", "2099-01-01", "--dry-run", "--db", db)
    assert "dropped 0 runs" in fine("prune", "--branch", "other", "--db", db)
    assert "dropped 1 run" in fine("prune", "--run", 1, "--db", db)
    assert "no run is stored yet" in fine("show", "--db", db)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
@pytest.mark.parametrize("wrong", [False, True])
def test_no_command_prints_the_password(
    db: str, wrong: bool, record: Path, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("reports.history.store.PAUSES", (0.01,))
    url = db.replace("implementation:", "nobody:") if wrong else db
    page = tmp_path / "page.html"
    commands: list[list[Any]] = [["add", record], ["show"], ["show", 1], ["trend", "--page", page], ["prune"]]
    for command in commands:
        result = call(*command, GRADRACE_HISTORY=url)
        text = result.output + repr(result.exception)
        assert "expected" in text or not wrong
        assert PASSWORD not in text
        assert ESCAPED not in text
    if not wrong:
        assert "postgresql+psycopg://implementation:***@" in page.read_text()
        assert PASSWORD not in page.read_text()


@pytest.mark.parametrize("package", ["sqlalchemy", "ruptures"])
def test_without_the_extra_the_commands_say_what_to_install(package: str, tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find(name, *rest)\n"
        "from gradrace import commands\n"
        "commands(['history', *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "show"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == 2
    assert f"the history needs {package}; install its extra: pip install -e '.[history]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_needs_no_more_than_click() -> None:
    code = (
        "import sys\nfrom reports.history.commands import history\n"
        "try: history(['trend', '--help'])\n"
        "except SystemExit: print(sorted({'sqlalchemy', 'numpy', 'ruptures', 'alembic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_kept_content_is_json(db: str, record: Path) -> None:
    fine("add", record, "--db", db)
    assert json.loads(fine("show", 1, "--json", "--db", db))["format"] == race_file.FORMAT
