"""The runner's end of a process of a pair: starts it, gives it orders, and says what became of it."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from benchmarks.record.pairs_file import Side

END_SECONDS = 5.0
"""A process that has no more orders ends by itself within so long, or is ended."""


class Crash(Exception):
    """A process that ended or hung; `during` is the benchmark that it was busy with, if any."""

    def __init__(self, side: Side, during: str | None, timed_out: bool, reason: str) -> None:
        super().__init__(reason)
        self.side = side
        self.during = during
        self.timed_out = timed_out
        self.reason = reason


class Process:
    """A fresh `benchmarks.gate.worker` in a worktree of `side`, with numba's cache empty."""

    def __init__(self, side: Side, python: Path, worktree: Path, hash_seed: int, padding: int) -> None:
        self.side = side
        self.worktree = worktree
        self.during: str | None = None
        self.cache = worktree.parent / f"numba-{side}"
        shutil.rmtree(self.cache, ignore_errors=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._popen = subprocess.Popen(
            [str(python), "-m", "benchmarks.gate.worker"],
            cwd=worktree,
            env=_environment(hash_seed, padding, self.cache),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._unread = b""

    def order(self, **content: Any) -> None:
        """Send an order, without waiting for the answer."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps(content).encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise self._crash() from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next answer; raises Crash where none comes within so many seconds, or none ever will."""
        assert self._popen.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._popen.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._popen.kill()
                    raise Crash(self.side, self.during, True, f"no answer within {seconds:g} s")
                read = os.read(self._popen.stdout.fileno(), 65536)
                if not read:
                    raise self._crash()
                self._unread += read
        line, self._unread = self._unread.split(b"\n", 1)
        content: dict[str, Any] = json.loads(line)
        return content

    def close(self) -> None:
        """End the process, whatever it does, and remove what it left."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        with self._popen.stdout, self._errors:
            try:
                self._popen.stdin.close()
                self._popen.wait(timeout=END_SECONDS)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._popen.kill()
                self._popen.wait()
        shutil.rmtree(self.cache, ignore_errors=True)

    def _crash(self) -> Crash:
        code = self._popen.wait()
        how = f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return Crash(self.side, self.during, False, f"{how}: {said[-1]}" if said else how)


def _environment(hash_seed: int, padding: int, cache: Path) -> Mapping[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONSAFEPATH")  # the worktree comes first, and nothing but it
    }
    return (
        inherited
        | dict.fromkeys(environment.THREAD_VARIABLES, "1")
        | {
            "PYTHONHASHSEED": str(hash_seed),
            "GRADRACE_PADDING": "x" * padding,
            "NUMBA_CACHE_DIR": str(cache),
        }
    )
