"""The commit that is measured, for the record."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from benchmarks.record.git import GitError, git

MEASURED = ("impls", "benchmarks", "pyproject.toml")
"""What a time depends on: changes elsewhere leave the measured commit what it is."""

DIRTY = "-dirty"
"""Stands behind the commit where what is measured was changed since."""

BRANCH_VARIABLES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
"""Where CI says which branch it checked out, which it does by commit."""


@functools.cache
def described() -> dict[str, str]:
    """The `commit` of these files and, where it is known, the `branch`; nothing where git knows no commit."""
    commit = _answer("rev-parse", "--verify", "HEAD")
    if not commit:
        return {}
    changes = _answer("status", "--porcelain", "--untracked-files=no", "--", *MEASURED)
    found = {"commit": commit + (DIRTY if changes else "")}
    branch = _answer("symbolic-ref", "--short", "--quiet", "HEAD") or _branch_of_ci()
    if branch:
        found["branch"] = branch
    return found


def _branch_of_ci() -> str:
    return next((os.environ[name] for name in BRANCH_VARIABLES if os.environ.get(name)), "")


def _answer(*arguments: str) -> str:
    """Git's answer in these files' repository; empty where there is none, or no Git."""
    try:
        return git(Path(__file__).resolve().parents[2], *arguments)
    except GitError:
        return ""
