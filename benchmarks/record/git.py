"""Git, asked in one way, so that its answers depend on the repository alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

KEPT = ("GIT_CEILING_DIRECTORIES", "GIT_CONFIG")
"""Of Git's variables those, by the start of their names, that say how it works here. The others belong to the
hook or alias that runs us, and would lead to its repository or its index."""

SETTINGS = (
    "core.hooksPath=/dev/null",  # a repository's hooks are somebody's programs
    "core.fsmonitor=false",  # and so is this
    "log.showSignature=false",
    "i18n.logOutputEncoding=UTF-8",
)
"""Settings of the user's that would change what is answered, or run something."""


class GitError(Exception):
    """What Git was asked for and could not do, in its own words on one line."""


def git(folder: Path, *arguments: str) -> str:
    """What `git ARGUMENTS` prints in `folder`; raises GitError where it fails or is not installed."""
    command = ["git", "--no-pager", "--no-optional-locks", "-C", str(folder)]
    for setting in SETTINGS:
        command += ["-c", setting]
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(KEPT)
    }
    try:
        done = subprocess.run(
            [*command, *arguments],
            env={**inherited, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise GitError("expected Git to be installed, got no command `git`") from error
    if done.returncode:
        raise GitError(" ".join(done.stderr.split()) or f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout.rstrip("\n")
