"""What git knows of a commit: its full name, its date, its subject."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.record.checkout import DIRTY
from benchmarks.record.git import GitError, git
from reports.history.runs import Commit, HistoryError, moment

UNKNOWN_BRANCH = "(detached)"


class Named(NamedTuple):
    """What a file, or the command line, says of the code that was measured."""

    commit: str | None
    branch: str | None


def find(name: Named, created: datetime) -> Commit:
    """The commit called `name`, looked up in the repository around the working directory.

    A full name needs no repository; without one the commit is dated `created`. Raises
    HistoryError where the name is missing, ambiguous, or that of a tree with changes of its own.
    """
    if not name.commit:
        raise HistoryError(
            "expected the commit that was measured, but the record names none; "
            "give it: --commit NAME --branch NAME"
        )
    if name.commit.endswith(DIRTY):
        raise HistoryError(
            f"expected the race of a commit, got that of {name.commit.removesuffix(DIRTY)} with changes on "
            "top of it; commit them and race again, or say which commit it stands for: --commit NAME"
        )
    branch = name.branch or UNKNOWN_BRANCH
    # One record separator a field: a subject may hold anything else. --end-of-options: a name is no option.
    form = "--format=%H%x1e%cI%x1e%s"
    try:
        found = git(Path.cwd(), "show", "--no-patch", form, "--end-of-options", f"{name.commit}^{{commit}}")
    except GitError:
        found = ""
    if found:
        sha, committed, subject = found.split("\x1e")
        return Commit(sha, branch, moment(committed), subject)
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name.commit):
        return Commit(name.commit, branch, created)
    raise HistoryError(
        f"--commit: expected a commit that git finds here, or a full name of 40 hexadecimal digits, "
        f"got {name.commit!r}"
    )
