"""The one way to measure in another process: a fresh interpreter, and typed messages to and from it.

    class Order(Message): ...                    class Answer(Message): ...
    class Time(Order):                           class Timed(Answer):
        iterations: int                              seconds: float

    def serve(parent: Parent) -> None:           # runs in the fresh interpreter
        while order := parent.receive(Order):
            parent.send(Timed(...))

    with PythonProcess(serve, threads=1) as process:
        process.send(Time(100))
        answer = process.receive(Answer, timeout=60.0)

A family of messages is a subclass of `Message`, and each of its own subclasses has one meaning; `receive`
takes the family. Several processes can be given their orders before any answer is awaited. If a process ends
or falls silent instead of answering (an exception, `sys.exit`, `os._exit`, a signal), a `ProcessError` is
raised, with what happened and what the process printed last.

The environment of a process is known: threads are limited before anything is loaded, Python's own variables
are left out, our packages come first on its path and the user's folder comes last. It has a session of its
own, so that Ctrl-C reaches the parent alone; it ends with its parent, elsewhere than on Linux at its next
message, and what it started ends with it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from impls import THREAD_VARIABLES, descendants, end_of, how_it_ended, launched, printed

ROOT = Path(__file__).parents[2]

ORPHANED = 70
"""Exit status of a process whose parent is gone."""

END_SECONDS = 5.0
"""How long a process without further orders may take to end by itself."""

POLL_SECONDS = 0.5
"""The interval at which the end of a process is checked if the system cannot wait for it and a message."""

KEPT = {"PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"}
"""The variables of Python that are kept, which are paths; the others change what runs, or how fast."""


class Message(msgspec.Struct, tag=True):
    """One JSON line, tagged with the name of its class."""


M = TypeVar("M", bound=Message)


class ProcessError(RuntimeError):
    """A process that ended, or fell silent, instead of answering; the message says how."""


class Silent(ProcessError):
    """A process that sent nothing within the time that it had."""


class Parent:
    """The parent, as the fresh interpreter sees it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lines = end.makefile("rb")

    def receive(self, family: type[M]) -> M | None:
        """The next order; None if there are no more."""
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
        return _decoder(family).decode(line) if line.endswith(b"\n") else None

    def send(self, message: Message) -> None:
        """Send one message; ends this process if the parent is gone."""
        try:
            self._end.sendall(msgspec.json.encode(message) + b"\n")
        except OSError:
            os._exit(ORPHANED)


class ChildProcess:
    """A process that exchanges messages as JSON lines on a socket.

    `command` and `variables` return its arguments and environment for the number of the socket; it runs in
    `folder` (default: the current one). Use it as a context manager: neither the process nor what it started
    outlives the block.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        variables: Callable[[int], Mapping[str, str]],
        folder: Path | None = None,
    ) -> None:
        self._socket, its = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        with its:
            self._popen = subprocess.Popen(
                launched(command(its.fileno())),
                cwd=folder,
                env=variables(its.fileno()),
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._end = end_of(self._popen.pid)
        self._unread = b""
        self._answered = self._ordered = 0  # the output's length at the last answer, before the last order

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: Message) -> None:
        """Send an order, without waiting for an answer; raises ProcessError if the process is gone."""
        try:
            self._socket.sendall(msgspec.json.encode(message) + b"\n")
        except OSError:
            raise ProcessError(self._how_it_ended()) from None
        self._ordered = self._answered

    def receive(self, family: type[M], timeout: float) -> M:
        """The next answer; raises Silent after `timeout` seconds, ProcessError if the process has ended."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if self._socket in self._wait(left):
                received = b""
                with contextlib.suppress(ConnectionError):
                    received = self._socket.recv(1 << 16)
                if not received:
                    raise ProcessError(self._how_it_ended())
                self._unread += received
            elif self._has_ended(0.0):  # a process that it started may hold the other end open
                raise ProcessError(self._how_it_ended())
            elif left <= 0:
                raise Silent(f"the process gave no answer within {timeout:.3g} s{self._printed()}")
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            message: M = _decoder(family).decode(line)
        except msgspec.DecodeError as error:
            raise ProcessError(f"expected {family.__name__} as JSON, got {line[:80]!r} ({error})") from error
        self._answered = os.fstat(self._output.fileno()).st_size
        return message

    def close(self, grace: float = 0.0) -> None:
        """Wait `grace` seconds for the process to end, then kill it; kill what it started."""
        if self._output.closed:
            return
        with self._socket, self._output:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            self._has_ended(grace)
            apart = descendants(self._popen.pid)  # some have a session, and a group, of their own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            for pid in apart:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._popen.wait()
        if self._end is not None:
            os.close(self._end)
            self._end = None

    def _wait(self, seconds: float) -> list[Any]:
        """What is ready within `seconds`: the socket (a message, or it was closed), the process's end."""
        if self._end is None:
            return connection.wait([self._socket], min(max(0.0, seconds), POLL_SECONDS))
        return connection.wait([self._socket, self._end], max(0.0, seconds))

    def _has_ended(self, seconds: float) -> bool:
        """Whether the process ends within `seconds`."""
        if self._end is not None:
            return bool(connection.wait([self._end], seconds))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.returncode is not None

    def _how_it_ended(self) -> str:
        return how_it_ended(self._popen, END_SECONDS) + self._printed()

    def _printed(self) -> str:
        """What the process printed since the last order."""
        return printed(self._output, self._ordered)


class PythonProcess(ChildProcess):
    """A fresh interpreter that runs `serve` with its parent.

    `serve` is a function at the top of a module, or its name `module:function` if only the fresh interpreter
    should load the module. `variables` are added to its environment, beside those that limit the threads.
    """

    def __init__(
        self,
        serve: Callable[[Parent], None] | str,
        threads: int,
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        boot = "from benchmarks.measure import process; process.boot()"
        name = serve if isinstance(serve, str) else f"{serve.__module__}:{serve.__qualname__}"
        super().__init__(
            lambda end: [sys.executable, "-P", "-u", "-c", boot, str(end), name],
            lambda _: environment([ROOT], threads) | dict(variables or {}),
        )


def boot() -> None:
    """The fresh interpreter's side: `python -c ... SOCKET MODULE:FUNCTION`."""
    descriptor, serve = sys.argv[1:]
    sys.argv[1:] = []
    sys.path.append(str(Path.cwd()))  # last: a user's folder shadows nothing of ours
    with socket.socket(fileno=int(descriptor)) as end:
        try:
            pkgutil.resolve_name(serve)(Parent(end))
        except (KeyboardInterrupt, GeneratorExit) as error:  # an implementation's, never a user's
            sys.exit(f"{type(error).__name__} was raised")


def environment(first: Sequence[Path], threads: int) -> dict[str, str]:
    """The environment of a process whose libraries use `threads` threads, with `first` first on its path."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON") or name in KEPT
    }
    path = os.pathsep.join(filter(None, [*map(str, first), os.environ.get("PYTHONPATH", "")]))
    return inherited | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": path}


@functools.cache
def _decoder(family: type[M]) -> msgspec.json.Decoder[M]:
    kinds: Any = typing.Union[tuple(family.__subclasses__()) or (family,)]  # noqa: UP007 - of a tuple
    return msgspec.json.Decoder(kinds)
