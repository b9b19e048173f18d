"""The commit that is measured, for the record."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

MEASURED = ("impls", "benchmarks", "pyproject.toml")
"""What a time depends on: changes elsewhere leave the measured commit what it is."""

DIRTY = "-dirty"
"""Stands behind the commit where what is measured was changed since."""

BRANCH_VARIABLES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
"""Where CI says which branch it checked out, which it does by commit."""


@functools.cache
def described() -> dict[str, str]:
    """The `commit` of these files and, where it is known, the `branch`; nothing where git knows no commit."""
    commit = _git("rev-parse", "--verify", "HEAD")
    if not commit:
        return {}
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", *MEASURED)
    found = {"commit": commit + (DIRTY if changes else "")}
    branch = _git("symbolic-ref", "--short", "--quiet", "HEAD") or _branch_of_ci()
    if branch:
        found["branch"] = branch
    return found


def _branch_of_ci() -> str:
    return next((os.environ[name] for name in BRANCH_VARIABLES if os.environ.get(name)), "")


def _git(*arguments: str) -> str:
    """What git says of these files' repository; nothing where there is none, or no git."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
