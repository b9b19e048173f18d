"""A git that is slow, absent, hostile or not to be had costs no race; a missing commit is warned of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.field.conftest import Command
from tests.field.test_names import git, settings
from tests.field.trial import SMALL, EndedCommand, as_nobody, run, statuses

ASKED = ("race", *SMALL, "--quiet", "--impl", "numpy", "--record", "r.json")


@pytest.fixture
def repository(checkout: Path) -> Path:
    """The checkout as a repository of two commits."""
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "one")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    return checkout


def race(checkout: Path, cwd: Path, prefix: tuple[str, ...] = (), **how: Any) -> EndedCommand:
    """A race by the command of that checkout."""
    ended = run(*prefix, sys.executable, checkout / "gradrace.py", *ASKED, cwd=cwd, status=0, **how)
    assert statuses(cwd / "r.json") == {"numpy": {"measured"}}
    return ended


def fake(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `git` is that script."""
    (folder / "bin").mkdir()
    (folder / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "git").chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


GITS = {
    "fails": "exit 1",
    "is slow": "sleep 600",
    "prints what is no text": "printf '\\377\\376'",
    "prints nothing": "exit 0",
    "is killed": "kill -9 $$",
    "asks for a password": "read x </dev/tty",
    "doubts the owner": "echo 'fatal: detected dubious ownership in repository' >&2; exit 128",
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(g, marks=[] if g in ("doubts the owner", "is slow") else pytest.mark.field) for g in GITS],
)
def test_a_git_that_answers_badly_costs_no_race_and_is_warned_of(
    fault: str, checkout: Path, tmp_path: Path
) -> None:
    ended = race(checkout, tmp_path, env=fake(tmp_path, GITS[fault]))
    assert "commit" not in settings(tmp_path / "r.json")
    assert "commit" in ended.err


@pytest.mark.field
def test_no_git_costs_no_race_and_is_warned_of(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    ended = race(repository, tmp_path, env={"PATH": str(tmp_path / "bin")})
    assert "commit" not in settings(tmp_path / "r.json")
    assert "commit" in ended.err


@pytest.mark.field
def test_a_checkout_without_a_repository_is_warned_of(checkout: Path, tmp_path: Path) -> None:
    ended = race(checkout, tmp_path, env={"GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert "commit" not in settings(tmp_path / "r.json")
    assert "commit" in ended.err


@pytest.mark.root
@pytest.mark.field
def test_a_repository_of_somebody_else_is_warned_of(repository: Path, tmp_path: Path) -> None:
    subprocess.run(["chown", "-R", "12345", str(repository)], check=True)
    ended = race(repository, tmp_path, env={"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"})
    if "commit" not in settings(tmp_path / "r.json"):
        assert "ownership" in ended.err
        assert "safe.directory" in ended.err


@pytest.mark.field
def test_a_repository_without_commits_is_warned_of(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "init", "-q")
    ended = race(checkout, tmp_path)
    assert "commit" not in settings(tmp_path / "r.json")
    assert "commit" in ended.err


HOSTILE = {
    "log.showSignature": "true",
    "core.fsmonitor": "false",
    "core.hooksPath": "/nonexistent",
    "color.ui": "always",
    "core.pager": "false",
    "status.short": "true",
    "status.branch": "true",
    "status.showUntrackedFiles": "all",
    "i18n.logOutputEncoding": "UTF-16",
    "core.quotePath": "false",
    "diff.external": "false",
    "core.worktree": "/nonexistent",
    "core.abbrev": "4",
    "log.date": "relative",
}


@pytest.mark.field
@pytest.mark.parametrize("setting", [s for s in HOSTILE if s != "core.worktree"])
def test_settings_of_git_change_no_record(setting: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "config", setting, HOSTILE[setting])
    ended = race(repository, tmp_path)
    assert settings(tmp_path / "r.json")["commit"] == git(repository, "rev-parse", "HEAD")
    assert "commit" not in ended.err


@pytest.mark.parametrize(
    "variable",
    [
        pytest.param("GIT_DIR", marks=pytest.mark.field),
        "GIT_INDEX_FILE",
        pytest.param("GIT_WORK_TREE", marks=pytest.mark.field),
    ],
)
def test_a_record_made_in_a_hook_of_another_repository_has_its_own_commit(
    variable: str, repository: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "theirs")
    value = {"GIT_DIR": other / ".git", "GIT_INDEX_FILE": other / ".git/index", "GIT_WORK_TREE": other}[
        variable
    ]
    race(repository, tmp_path, env={variable: str(value)})
    found = settings(tmp_path / "r.json")
    assert found["commit"] == git(repository, "rev-parse", "HEAD")


@pytest.mark.field
@pytest.mark.parametrize(
    "state",
    [
        *("detached", "shallow", "a worktree", "a bare branch name", "a tag of the same name"),
        *("a submodule", "a sparse clone", "a locked index", "a rebase"),
    ],
)
def test_every_state_of_a_repository_has_its_commit(state: str, repository: Path, tmp_path: Path) -> None:
    place, commit = repository, git(repository, "rev-parse", "HEAD")
    if state == "detached":
        git(repository, "checkout", "-q", "--detach")
    elif state == "shallow":
        place = tmp_path / "shallow"
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", str(place))
    elif state == "a worktree":
        place = tmp_path / "tree"
        git(repository, "worktree", "add", "-q", str(place), "-b", "other")
    elif state == "a bare branch name":
        git(repository, "checkout", "-q", "-b", "HEAD2")
    elif state == "a submodule":
        git(tmp_path, "init", "-q", "theirs")
        adding = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "ours")
        git(tmp_path / "theirs", *adding)
        place = tmp_path / "theirs" / "ours"
    elif state == "a sparse clone":
        place = tmp_path / "sparse"
        git(tmp_path, "clone", "-q", "--sparse", "--filter=blob:none", f"file://{repository}", str(place))
        git(place, "sparse-checkout", "set", "impls", "benchmarks", "reports")
    elif state == "a locked index":
        (repository / ".git" / "index.lock").touch()
    elif state == "a rebase":
        (repository / "mine.txt").write_text("mine")
        git(repository, "add", "mine.txt")
        git(repository, "commit", "-q", "-m", "three")
        git(repository, "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "HEAD~1")
        commit = git(repository, "rev-parse", "HEAD")
    else:
        git(repository, "tag", "main")
    race(place, tmp_path)
    found = settings(tmp_path / "r.json")
    assert found["commit"] == commit
    assert found.get("branch", "main") in ("main", "other", "HEAD2")


@pytest.mark.field
def test_a_changed_file_is_on_record_and_an_untracked_one_is_not(repository: Path, tmp_path: Path) -> None:
    (repository / "notes.txt").write_text("mine")
    race(repository, tmp_path)
    assert not settings(tmp_path / "r.json")["commit"].endswith("-dirty")
    with (repository / "impls" / "numpy_batch.py").open("a") as file:
        file.write("\n# changed\n")
    race(repository, tmp_path)
    assert settings(tmp_path / "r.json")["commit"].endswith("-dirty")


GATE = (
    *("gate", "run", "--base", "HEAD~1", "--head", "main"),  # a hook's index has changes: HEAD is refused
    *("--here", "--pairs", "1", "--out", "pairs.json"),
    *("--", "--impl", "numpy"),
)


@pytest.mark.field
def test_a_gate_in_a_hook_leaves_the_users_commit_whole(repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    command = " ".join(f"'{word}'" for word in (sys.executable, repository / "gradrace.py", *GATE))
    hook.write_text(f"#!/bin/sh\nexec {command} >{tmp_path}/hook.txt 2>&1\n")
    hook.chmod(0o755)
    (repository / "mine.txt").write_text("mine")
    git(repository, "add", "mine.txt")
    git(repository, "commit", "-q", "-m", "with a gate in its hook")
    assert git(repository, "show", "--name-only", "--format=", "HEAD") == "mine.txt"
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == ""
    assert "Traceback" not in (tmp_path / "hook.txt").read_text()
    assert json.loads((repository / "pairs.json").read_text("utf-8"))["pairs"]


@pytest.mark.field
@pytest.mark.parametrize("base", ["nowhere", "-n", "--all", "HEAD~99", "HEAD^{tree}", "", " ", "main..HEAD"])
def test_a_base_that_is_no_commit_is_refused(base: str, gradrace: Command) -> None:
    ended = gradrace("gate", "run", f"--base={base}", "--out", "pairs.json")
    assert ended.status in (2, 3)
    assert ended.err


@pytest.mark.field
def test_a_gate_with_signed_logs_measures(repository: Path, tmp_path: Path) -> None:
    git(repository, "config", "log.showSignature", "true")
    run(sys.executable, repository / "gradrace.py", *GATE, cwd=repository, status=0, within=300)
    assert json.loads((repository / "pairs.json").read_text("utf-8"))["pairs"]
    assert not git(repository, "worktree", "list", "--porcelain").count("worktree ") > 1


@pytest.mark.root
@pytest.mark.field
@pytest.mark.parametrize("step", ["run", "step", "bisect"])
def test_a_gate_of_a_user_without_a_home_says_what_it_needs(
    step: str, repository: Path, tmp_path: Path
) -> None:
    nobody = as_nobody(tmp_path)
    subprocess.run(["chown", "-R", "12345", str(repository)], check=True)
    base = "--base" if step == "run" else "--good"
    asked = ("gate", step, f"{base}=HEAD~1", "--here")
    unset = ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME")
    ended = run(*nobody, sys.executable, repository / "gradrace.py", *asked, cwd=repository, unset=unset)
    assert ended.status == (128 if step == "step" else 3)
    assert "XDG_CACHE_HOME" in ended.err


@pytest.mark.field
def test_commits_with_long_names_are_recorded_gated_and_kept(
    checkout: Path, gradrace: Command, tmp_path: Path
) -> None:
    git(checkout, "init", "-q", "--object-format=sha256")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "one")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    race(checkout, tmp_path)
    assert settings(tmp_path / "r.json")["commit"] == git(checkout, "rev-parse", "HEAD")
    run(sys.executable, checkout / "gradrace.py", *GATE, cwd=checkout, status=0, within=300)
    for record in (tmp_path / "r.json", checkout / "pairs.json"):
        gradrace("history", "add", record, "--db", "h.sqlite", status=0)
    gradrace("history", "show", "--db", "h.sqlite", status=0)
