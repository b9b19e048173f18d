"""Commits and branches by their names, in the repository around the working directory."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from benchmarks.record.checkout import DIRTY
from benchmarks.record.git import GitError, git
from reports.history.runs import HistoryError, Revision, moment

UNKNOWN_BRANCH = "(detached)"


def find(commit: str | None, branch: str | None, created: datetime) -> Revision:
    """The commit of that name. A full name needs no repository; without one it is dated `created`.

    Raises HistoryError if the name is missing, ambiguous, or that of a tree with changes of its own.
    """
    if not commit:
        raise HistoryError(
            "expected the commit that was measured, but the record names none; "
            "give it: --commit NAME --branch NAME"
        )
    if commit.endswith(DIRTY):
        raise HistoryError(
            f"expected the race of a commit, got that of {commit.removesuffix(DIRTY)} with changes on top of "
            "it; commit them and race again, or name the commit that the race represents: --commit NAME"
        )
    branch = branch or UNKNOWN_BRANCH
    # A record separator per field: a subject may hold anything else. --end-of-options: names are not options.
    form = "--format=%H%x1e%cI%x1e%s"
    try:
        found = git(Path.cwd(), "show", "--no-patch", form, "--end-of-options", f"{commit}^{{commit}}")
    except GitError:
        if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
            return Revision(commit, branch, created)
        raise HistoryError(
            "--commit: expected a commit that git finds here, or a full name of 40 hexadecimal digits, "
            f"got {commit!r}"
        ) from None
    sha, committed, subject = found.split("\x1e")
    return Revision(sha, branch, moment(committed), subject)


def branch_of(ref: str) -> str | None:
    """The branch, here or on a remote, that `ref` names; None for a tag, a commit, HEAD or main~1."""
    try:
        known = git(Path.cwd(), "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes")
    except GitError:
        return None
    for name in (ref, f"refs/heads/{ref}", f"refs/remotes/{ref}"):
        if name in known.splitlines():
            return re.sub(r"^refs/(heads|remotes/[^/]+)/", "", name)
    return None
