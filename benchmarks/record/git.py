"""Calls of Git whose output depends on the repository alone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

KEPT = ("GIT_CEILING_DIRECTORIES", "GIT_CONFIG")
"""The prefixes of Git's variables that are kept, as they configure Git itself. The others are those of a hook
or alias that runs this process, and would select its repository or its index."""

SETTINGS = (
    "core.hooksPath=/dev/null",  # a repository's hooks run programs
    "core.fsmonitor=false",  # this one runs programs, too
    "log.showSignature=false",
    "i18n.logOutputEncoding=UTF-8",
)
"""The values of settings that could otherwise change the output, or run programs."""


class GitError(Exception):
    """A call of Git failed; the message is Git's own, on one line."""


def git(folder: Path, *arguments: str, seconds: float = 600.0) -> str:
    """The output of `git ARGUMENTS` in `folder`.

    Raises GitError if it fails, is not installed, or does not end within `seconds`.
    """
    command = ["git", "--no-pager", "--no-optional-locks", "-C", str(folder)]
    for setting in SETTINGS:
        command += ["-c", setting]
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(KEPT)
    }
    try:
        process = subprocess.Popen(
            [*command, *arguments],
            env={**inherited, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # no terminal to ask for a password at; ended with what it started
        )
    except OSError as error:
        raise GitError(f"expected Git to be installed, got no command `git` that runs ({error})") from error
    with process:
        try:
            output, words = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitError(f"git {arguments[0]} gave no answer within {seconds:g} s") from error
            raise
    if process.returncode:
        raise GitError(" ".join(words.split()) or f"git {arguments[0]} ended with {process.returncode}")
    return output.rstrip("\n")
