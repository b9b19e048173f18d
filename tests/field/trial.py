"""One trial: a real command in a real process, and the laws that every one of them keeps."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

GRADRACE = (str(Path(sys.executable).with_name("gradrace")),)
"""The command of the editable install."""

SMALL = ("--workload", "xor", "--batch-sizes", "1", "--budget", "1")
"""The smallest race there is."""

BUDGETS = (4, 16, 64, 256)
"""Seconds, one after the other: a machine that is busy may not reach every cell within the first."""

MARK = "FIELD_TRIAL"
"""A variable in the environment of a trial, by which a process that it leaves running is found."""

NAMESPACE = ("unshare", "--mount", "sh", "-euc")
"""A private mount namespace, and a script in it: what is mounted there is gone with it."""

NOTHING: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class EndedCommand:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that a user saw."""
        return self.out + self.err


def run(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str] = NOTHING,
    unset: Sequence[str] = (),
    within: float = 120,
    status: int | None = None,
    clean: bool = True,
) -> EndedCommand:
    """How `command` ended; fails where a law of every trial is broken.

    It ends by itself (`within` seconds, generous), shows no traceback (`clean`), leaves nothing running, and
    ends in `status` where one is given.
    """
    with started(*command, cwd=cwd, env=env, unset=unset) as process:
        out, err = process.communicate(timeout=within)
    ended = EndedCommand(process.returncode, out, err)
    assert not clean or "Traceback (most recent call last)" not in ended.text, ended.text
    assert not clean or "INTERNALERROR" not in ended.text, ended.text
    assert status is None or ended.status == status, ended
    return ended


def race(*command: str | Path, status: int | None = None, **how: Any) -> EndedCommand:
    """The end of a race that reached each of its cells; the budget grows until it does."""
    for budget in BUDGETS:
        ended = run(*command, "--budget", str(budget), **how)
        if "not reached within the budget" not in ended.text:
            break
    assert status is None or ended.status == status, ended
    return ended


@contextlib.contextmanager
def started(
    *command: str | Path,
    cwd: Path,
    env: Mapping[str, str] = NOTHING,
    unset: Sequence[str] = (),
) -> Iterator[subprocess.Popen[str]]:
    """`command` while it runs; nothing of it may run any more when the block ends, nor does."""
    mark = uuid.uuid4().hex
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in unset and not name.startswith("PYTEST_")  # a trial is not run by pytest
    }
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={**variables, **env, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
        process.wait(60)
        deadline = time.monotonic() + 5
        while (left := running(mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, f"left running: {left}"
    finally:
        for pid in running(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def running(mark: str) -> dict[int, str]:
    """Every process that was started by the trial `mark` and has not ended: its number, its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def statuses(record: Path) -> dict[str, set[str]]:
    """The statuses of each implementation's cells in a record."""
    found: dict[str, set[str]] = {}
    for each in json.loads(record.read_text("utf-8"))["measurements"]:
        found.setdefault(each["implementation"], set()).add(each["status"])
    return found


def reasons(record: Path) -> str:
    """Why cells were not measured, one reason a line."""
    document = json.loads(record.read_text("utf-8"))
    return "\n".join(each["reason"] for each in document["measurements"] if each["reason"])


NOBODY = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups")
"""A user without a name, a home or a right to write here."""


def as_nobody(folder: Path) -> tuple[str, ...]:
    """The words that start a command as user nobody, with access to `folder`, the checkout and its Python.

    Folders above these that are closed to others are open in a mount namespace of the trial: outside,
    another pytest may close its scratch folder at any time.
    """
    for own in (folder, folder.parent):
        own.chmod(own.stat().st_mode | 0o005)
    ways: dict[Path, set[Path]] = {}
    for path in (folder, ROOT, Path(sys.executable), Path(sys.executable).resolve(), Path(os.__file__)):
        line = (*reversed(path.parents), path)
        closed = (way for way in itertools.pairwise(line) if not way[0].stat().st_mode & 0o001)
        for parent, child in itertools.islice(closed, 1):
            ways.setdefault(parent, set()).add(child)
    script = ""
    for parent, children in ways.items():
        names = [shlex.quote(str(child)) for child in children]
        script += "".join(f"h{k}=$(mktemp -d); mount --bind {name} $h{k}; " for k, name in enumerate(names))
        script += f"mount -t tmpfs -o mode=755 none {shlex.quote(str(parent))}; "
        script += "".join(
            f"mkdir {name}; mount --move $h{k} {name}; rmdir $h{k}; " for k, name in enumerate(names)
        )
    return (*NAMESPACE, f'{script} cd "$PWD"; exec {shlex.join(NOBODY)} "$@"', "sh")
