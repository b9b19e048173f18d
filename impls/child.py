"""An implementation in another process: under another interpreter, in another language, or isolated.

`Child` keeps the contract by asking a program, which reads orders from its standard input and answers on its
standard output; docs/protocol.md has the messages. The standard error of the program is quoted
if it fails. The caller times a whole order: `repeat` makes a round one order.

A process serves one object after the other: once an object is gone, the next one of its class is constructed
in its process. Each process has a session of its own and ends with this one, however this one ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from impls.interface import OPTIMIZERS, Implementation, Problem, Result, Unavailable, Unsupported
from impls.processes import THREAD_VARIABLES, end_of, how_it_ended, launched, printed

PROTOCOL = 1

START_SECONDS = 120.0
"""The seconds that a program may take to load its packages, until it answers its first order."""

INSTALL = {"pypy3": "install it: apt-get install pypy3"}
"""How to install an interpreter."""

# Python 2 has to understand it.
_SERVE = """
import sys
if sys.version_info < (3, 9):
    sys.exit("expected Python 3.9 or later, got " + sys.version.split()[0])
sys.path[0] = sys.argv.pop(1)
from impls import serve
serve.main(sys.argv[1])
"""

_END_SECONDS = 1.0
"""The seconds that a program may take to end after printing something other than an answer."""

_POLL_SECONDS = 0.5
"""The interval at which the end of a process is checked if the system cannot wait for it and an answer."""


class ChildError(RuntimeError):
    """Raised if a program failed, ended or fell silent instead of answering; the message says how."""


class _Process:
    """A running program that takes orders; `close` ends it and all that it started."""

    def __init__(self, command: Sequence[str], threads: int, quoted: Callable[[str], str] = str) -> None:
        self.threads = threads
        self._quoted = quoted
        self.busy = False
        self._id = 0
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        # defaults for its environment, because we cannot reach its libraries
        limits = dict.fromkeys(THREAD_VARIABLES, str(max(1, threads)))
        self._popen = subprocess.Popen(
            launched(command),
            env=limits | dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            bufsize=0,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._orders: IO[bytes] = self._popen.stdin
        self._answers = self._popen.stdout.fileno()
        self._unread, self._printed_before = bytearray(), 0
        self._end = end_of(self._popen.pid)
        self._poll = select.poll()
        for descriptor in filter(None, (self._answers, self._end)):
            self._poll.register(descriptor, select.POLLIN)
        self._files: list[IO[bytes]] = [self._popen.stdin, self._popen.stdout, self._output]
        self.close = weakref.finalize(self, _end, self._popen, self._files, self._end)

    def start(self) -> dict[str, Any]:
        """The answer to the first order, which may name an address for further ones. Raises as `ask` does."""
        answer, _ = self.ask("start", timeout=START_SECONDS, protocol=PROTOCOL, host=socket.gethostname())
        if "address" in answer:
            self._go_on_at(answer["address"])
        return answer

    def _go_on_at(self, address: Any) -> None:
        try:
            host, port, key = address
            connection = socket.create_connection((host, port), START_SECONDS)
            with connection:  # it stays open with `_orders`
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(key.encode() + b"\n")
                self._poll.unregister(self._answers)
                self._orders = cast("IO[bytes]", connection.makefile("wb", 0))
                self._answers = connection.fileno()
                self._files.append(self._orders)
                self._poll.register(self._answers, select.POLLIN)
        except (OSError, TypeError, ValueError, AttributeError) as error:
            self.close()
            raise ChildError(
                "expected an address [host, port, key] where the program can be reached, got "
                f"{address!r}: {error}"
            ) from None

    def ask(
        self, kind: str, data: bytes = b"", timeout: float | None = None, **fields: Any
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to one order, with its data.

        Raises Unsupported, Unavailable, ValueError or TypeError if the program reports one, and
        ChildError for anything else that is not an answer.
        """
        if not self.close.alive:
            raise ChildError("the process has ended")
        self._id += 1
        order: dict[str, Any] = {"id": self._id, "kind": kind, **fields}
        if data:
            order["bytes"] = len(data)
        deadline = None if timeout is None else time.monotonic() + timeout
        self.busy, self._printed_before = True, os.fstat(self._output.fileno()).st_size
        try:
            self._send(json.dumps(order, separators=(",", ":")).encode() + b"\n" + data)
            line = self._receive(deadline)
            answer = self._decoded(line)
            content = self._receive(deadline, answer["bytes"]) if answer.get("bytes") else b""
        except ChildError:
            self.close()
            raise
        self.busy = False
        if "unsupported" in answer:
            raise Unsupported(str(answer["unsupported"]))
        if "unavailable" in answer:
            raise Unavailable(str(answer["unavailable"]))
        if "error" in answer:
            kinds: dict[str, type[Exception]] = {"ValueError": ValueError, "TypeError": TypeError}
            raise kinds.get(str(answer.get("type")), ChildError)(str(answer["error"]))
        return answer, content

    def _send(self, message: bytes) -> None:
        left = memoryview(message)
        try:
            while left:
                left = left[self._orders.write(left) :]
        except OSError:
            raise ChildError(self._how_it_ended()) from None

    def _receive(self, deadline: float | None, size: int | None = None) -> bytes:
        """The next line, or the next `size` bytes."""
        begin = 0
        while (end := self._unread.find(b"\n", begin) + 1 if size is None else size) > len(
            self._unread
        ) or not end:
            begin = len(self._unread)
            received = self._read(deadline)
            if not received:
                raise ChildError(self._how_it_ended())
            self._unread += received
        found = bytes(self._unread[:end])
        del self._unread[:end]
        return found

    def _read(self, deadline: float | None) -> bytes:
        """The bytes received; empty at the end of the output."""
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._end is None:
                left = _POLL_SECONDS if left is None else min(left, _POLL_SECONDS)
            ready = [descriptor for descriptor, _ in self._poll.poll(None if left is None else 1e3 * left)]
            if self._answers in ready:
                return os.read(self._answers, 1 << 20)
            if ready or self._popen.poll() is not None:  # a process that it started may hold it open
                return b""
            if deadline is not None and time.monotonic() >= deadline:
                raise ChildError(f"the process gave no answer in time{self._printed()}")

    def _decoded(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("id") != self._id:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_END_SECONDS)
                # What it printed at its end, as mpiexec does, belongs to what is quoted.
                left = line + self._unread + self._read(0.0)
                os.write(self._output.fileno(), left)
                raise ChildError(self._how_it_ended())
            raise ChildError(
                f"expected an answer to order {self._id} as one line of JSON, got {line[:80]!r}; print "
                "everything else to the standard error"
            )
        return answer

    def _how_it_ended(self) -> str:
        return how_it_ended(self._popen) + self._printed()

    def _printed(self) -> str:
        """What the program printed since the last order."""
        return printed(self._output, self._printed_before, self._quoted)


def _end(popen: subprocess.Popen[bytes], files: list[IO[bytes]], end: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()
    for file in files:
        with contextlib.suppress(OSError):
            file.close()
    if end is not None:
        os.close(end)


class Child:
    """An implementation whose methods run in the process of a program that implements docs/protocol.md.

    A subclass has the facts of the contract, and `command()`.
    """

    quoted: ClassVar[Callable[[str], str]] = staticmethod(str)
    """Selects the part of a failed program's last output that is quoted."""

    idea: ClassVar[str]
    differs_from: ClassVar[str | None]
    dtypes: ClassVar[tuple[str, ...]]
    same_order: ClassVar[bool]
    fast_math: ClassVar[str]
    layout: ClassVar[str]

    interpreter: ClassVar[str]
    """The interpreter or command with its version, if known."""

    idle: ClassVar[list[_Process]]
    """Processes that serve no object at present."""

    def __init_subclass__(cls) -> None:
        cls.idle = []

    @staticmethod
    def command() -> Sequence[str]:
        """The program and its arguments; raises Unavailable, with what to install, where there is none."""
        raise NotImplementedError

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self._problem = problem
        process = _process_of(type(self), threads)
        network = problem.network
        try:
            answer, _ = process.ask(
                "construct",
                b"".join(map(_bytes, (*problem.weights, *problem.biases, problem.X, problem.Y))),
                widths=network.widths,
                activations=network.activations,
                loss=network.loss,
                samples=problem.samples,
                batch_size=problem.batch_size,
                dtype=dtype,
                threads=threads,
                training=dataclasses.asdict(problem.training),
            )
        finally:
            _give_back_at_the_end(self, process)
        self._process = process
        self.compile_seconds = answer.get("compile_seconds", 0.0)

    def forward(self) -> None:
        self.repeat("forward", 1)

    def gradients(self) -> None:
        self.repeat("gradients", 1)

    def step(self, learning_rate: float) -> None:
        self.repeat("step", 1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        self.repeat("train", 1, steps, learning_rate)

    def repeat(self, method: str, times: int, *arguments: float) -> None:
        """Make `times` calls of a method, with its arguments, by one order."""
        names = {"step": ("learning_rate",), "train": ("steps", "learning_rate")}.get(method, ())
        fields: dict[str, Any] = dict(zip(names, arguments, strict=True))
        self._process.ask(method, times=times, **fields)

    def export(self) -> Result:
        _, data = self._process.ask("export")
        return _result(np.frombuffer(data), self._problem)


def _process_of(of: type[Child], threads: int) -> _Process:
    """An idle process of a class, or a new one that has answered its first order."""
    for process in of.idle:
        if process.threads == threads:
            of.idle.remove(process)
            return process
    process = _Process(of.command(), threads, of.quoted)
    process.start()
    return process


def _give_back_at_the_end(child: Child, process: _Process) -> None:
    weakref.finalize(child, _give_back, type(child).idle, process)


def _give_back(idle: list[_Process], process: _Process) -> None:
    """Keep a process for the next object, unless its answer is still missing."""
    if process.busy:
        process.close()
    elif process.close.alive:
        idle.append(process)


def _bytes(array: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _result(numbers: NDArray[np.float64], problem: Problem) -> Result:
    """The result from its numbers; raises ChildError if there are too few or too many."""
    n, m = problem.network.widths, problem.batch_size
    w, b = list(zip(n[1:], n[:-1], strict=True)), [(width, 1) for width in n[1:]]
    kinds = OPTIMIZERS[problem.training.optimizer]
    shapes: list[tuple[int, ...]] = [(), (n[-1], m), *w, *b, *w, *b]
    state = [*(w + b) * kinds, ()] if kinds or any(problem.dropout) else []
    sizes = [sum(map(int, map(np.prod, each))) for each in (shapes, shapes + state)]
    if len(numbers) not in sizes:
        raise ChildError(f"export: expected {sizes[-1]} numbers, got {len(numbers)}")
    if len(numbers) == sizes[-1]:
        shapes += state
    arrays = _split(numbers, shapes)
    loss, output = float(next(arrays)), next(arrays)
    dw, db, weights, biases = (tuple(next(arrays) for _ in w) for _ in range(4))
    kept: list[Any] = list(arrays)
    if kept:
        kept[-1] = int(kept[-1])
    return Result(loss, output, dw, db, weights, biases, tuple(kept))


def _split(numbers: NDArray[np.float64], shapes: Sequence[tuple[int, ...]]) -> Iterator[NDArray[np.float64]]:
    at = 0
    for shape in shapes:
        size = int(np.prod(shape))
        yield numbers[at : at + size].reshape(shape).copy()
        at += size


@functools.cache
def in_child(name: str, python: str | None = None) -> type[Implementation]:
    """The class whose objects run the implementation `name` in processes of their own.

    `python` is the name or the path of their interpreter, this one by default; `name` is what `impls.load`
    takes, and only the processes load it. Raises Unavailable, with what to install, where there is no such
    interpreter, and where `name` cannot be loaded under it.
    """
    found = shutil.which(python or sys.executable)
    if found is None:
        remedy = INSTALL.get(str(python), "give the name or the path of an interpreter")
        raise Unavailable(f"{name} under {python}: there is no {python} here; {remedy}")
    command = (found, "-c", _SERVE, str(Path(__file__).parent.parent), name)
    child = served_by(command, f"{name} cannot be loaded under {found}")
    if python is not None:
        child.idea = f"the same file, under {child.interpreter}"
        child.differs_from = child.differs_from if ":" in name else name
    return cast("type[Implementation]", child)


def served_by(
    command: Sequence[str], words: str, quoted: Callable[[str], str] = str, of: type[Child] = Child
) -> type[Child]:
    """The subclass of `of` whose objects run in processes of a command, with the facts that it answers.

    Raises Unavailable, beginning with the `words`, where the program does not start.
    """
    process = _Process(command, 1, quoted)
    try:
        answer = process.start()
        facts = {**answer["facts"], "interpreter": answer["interpreter"]}
    except (ChildError, Unavailable, KeyError) as error:
        raise Unavailable(f"{words}: {error}") from error
    facts["dtypes"] = tuple(facts["dtypes"])
    more = {"command": staticmethod(lambda: command), "quoted": staticmethod(quoted)}
    child = cast("type[Child]", type("InChild", (of,), {**facts, **more}))
    child.idle.append(process)
    return child
