"""The commit that is measured, for the record."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path

from benchmarks.record.git import GitError, git

MEASURED = ("impls", "benchmarks", "pyproject.toml")
"""The paths that a time depends on; changes elsewhere do not make the commit dirty."""

DIRTY = "-dirty"
"""The suffix of the commit if these paths were changed since."""

BRANCH_VARIABLES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
"""The variables in which CI names the branch, since it checks out a commit."""

SECONDS = 10.0
"""The seconds that Git may take to answer; a record without a commit is better than none."""


def described() -> dict[str, str]:
    """The `commit` of these files and, if known, the `branch`; empty if the commit is unknown."""
    return _found()[0]


def unknown() -> str:
    """Why the commit of these files is unknown, and what to do; empty if it is known."""
    return _found()[1]


@functools.cache
def _found() -> tuple[dict[str, str], str]:
    try:
        # For a copy inside another repository, the commit of that repository is meaningless.
        _git("ls-files", "--error-unmatch", "--", "benchmarks")
        commit = _commit()
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", *MEASURED)
    except GitError as error:
        return {}, (
            f"the record names no commit, which the history needs ({error}); "
            "race in a clone that Git can read, or name it later: gradrace history add --commit"
        )
    branch = next(filter(None, map(os.environ.get, BRANCH_VARIABLES)), "")
    with contextlib.suppress(GitError):  # of a detached HEAD
        # Not --short, which a tag of the same name makes longer.
        branch = _git("symbolic-ref", "--quiet", "HEAD").removeprefix("refs/heads/")
    found = {"commit": commit + (DIRTY if changes else "")}
    return found | ({"branch": branch} if branch else {}), ""


def _commit() -> str:
    commit = _git("rev-parse", "--verify", "HEAD")
    if not re.fullmatch("[0-9a-f]{40,64}", commit):
        raise GitError(f"expected the commit of HEAD, got {commit[:80]!r} from Git")
    return commit


def _git(*arguments: str) -> str:
    """Git's answer in these files' repository."""
    return git(Path(__file__).resolve().parents[2], *arguments, seconds=SECONDS)
