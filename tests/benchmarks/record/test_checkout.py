"""The commit in a record."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.record import checkout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of one commit, around a copy of the module; no later test finds it on record."""
    for folder in ("benchmarks", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "benchmarks" / "checkout.py").write_text("")
    (tmp_path / "docs" / "page.md").write_text("")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (["init", "-q", "-b", "topic"], ["add", "."], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    for name in checkout.BRANCH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(checkout, "__file__", str(tmp_path / "benchmarks" / "record" / "checkout.py"))
    yield tmp_path
    checkout._found.cache_clear()


def head(repository: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def described() -> dict[str, str]:
    """The commit as it is now; a process asks Git only once."""
    checkout._found.cache_clear()
    return checkout.described()


def test_the_commit_and_its_branch_are_named(repository: Path) -> None:
    assert described() == {"commit": head(repository), "branch": "topic"}


def test_only_changes_of_what_is_measured_count(repository: Path) -> None:
    (repository / "docs" / "page.md").write_text("changed")
    (repository / "benchmarks" / "new.py").write_text("not of any commit")
    assert described()["commit"] == head(repository)
    (repository / "benchmarks" / "checkout.py").write_text("changed")
    assert described()["commit"] == head(repository) + "-dirty"


def test_where_ci_checked_a_commit_out_it_tells_the_branch(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=repository, check=True)
    assert "branch" not in described()
    monkeypatch.setenv("GITHUB_HEAD_REF", "")
    monkeypatch.setenv("GITHUB_REF_NAME", "feature")
    assert described()["branch"] == "feature"


def test_without_a_repository_or_git_nothing_is_said_but_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "__file__", str(tmp_path / "benchmarks" / "record" / "checkout.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert described() == {}
    assert "not a git repository" in checkout.unknown()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert described() == {}
    assert "no command `git`" in checkout.unknown()


def test_a_copy_inside_another_repository_has_not_that_ones_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = repository / "copy" / "benchmarks" / "record" / "checkout.py"
    copy.parent.mkdir(parents=True)
    monkeypatch.setattr(checkout, "__file__", str(copy))
    assert described() == {}
    assert "did not match any file" in checkout.unknown()


def test_a_git_that_never_answers_costs_the_record_no_more_than_its_commit(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nsleep 600\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(checkout, "SECONDS", 0.1)
    assert described() == {}
    assert "gave no answer within 0.1 s" in checkout.unknown()
