"""One process of a race, seen from the conductor: launched, listened to, and put down if it must be."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from benchmarks.measure.channel import Channel

ROOT = Path(__file__).parents[2]


class WorkerError(RuntimeError):
    """A process that ended otherwise than it should; the message says how."""


class Hung(WorkerError):
    """A process that said nothing for too long."""


class Worker:
    """A process of `pytest --benchmark-only`, with threads limited before it starts.

    `compiled` is the folder where JAX finds what it compiled in earlier processes: unlike numba and PyTorch
    it keeps nothing unless it is told where.

    Use as a context manager: whatever happens, neither it nor what it started outlives the block.
    """

    def __init__(self, phases: Sequence[str], arguments: Sequence[str], threads: int, compiled: str) -> None:
        ours, its = socket.socketpair()
        command = [
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)),
            *(str(ROOT / "benchmarks" / f"test_{phase}.py") for phase in phases),
            *("--benchmark-only", "--benchmark-quiet", "--quiet", "-p", "no:cacheprovider"),
            *("--conductor", str(its.fileno()), *arguments),
        ]
        variables = {
            "JAX_COMPILATION_CACHE_DIR": compiled,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **dict.fromkeys(environment.THREAD_VARIABLES, str(threads)),
        }
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the block
        with its:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a signal to the conductor is the conductor's to handle
            )
        self._socket = ours
        self.channel = Channel(ours)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()
        self._output.close()

    def messages(self, timeout: float) -> Iterator[dict[str, Any]]:
        """What it says, to its end.

        Raises Hung where it says nothing for `timeout` seconds, WorkerError where it dies.
        """
        while True:
            try:
                message = self.channel.receive(timeout)
            except TimeoutError:
                raise Hung(f"no sign of life for {timeout:g} s") from None
            if message is None:
                break
            yield message
        status = self._process.wait()
        if status not in (0, 1):  # 1: an implementation failed its benchmark
            raise WorkerError(self._how_it_ended(status))

    def _how_it_ended(self, status: int) -> str:
        if status >= 0:
            self._output.seek(0)
            text = self._output.read().decode(errors="replace").strip()
            return f"the process ended with status {status}: {text[-2000:]}"
        name = signal.Signals(-status).name
        hint = {"SIGKILL": ": out of memory, as a rule", "SIGSEGV": ": a fault in compiled code"}
        return f"the process was ended by {name}{hint.get(name, '')}"
