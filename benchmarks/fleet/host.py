"""The program that an engine runs on a host, `python -m benchmarks.fleet.host TASK`: one race at a time.

The outcome goes to standard output. The race ends if the process that reads it has ended, or if its task is
given to `end`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from benchmarks.fleet.tasks import REFUSED, FleetTask, HostOutcome
from benchmarks.record import checkout, machine

TURN = "\0gradrace-fleet"
"""The abstract address of a socket, which only one process of a host can have while it runs."""

TURN_SECONDS = 0.5
END_SECONDS = 10.0
GRADRACE = Path(__file__).parents[2] / "gradrace.py"


def software() -> dict[str, str]:
    """The commit and the versions on this host, except that of the BLAS, whose kernel depends on the CPU."""
    found = {name: version for name, version in machine.versions().items() if name != "blas"}
    return {"commit": checkout.described().get("commit", "unknown"), **found}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """The versions that differ on a host or are missing, in words; empty if there are none."""
    return ", ".join(
        f"{name} {expected.get(name, 'absent')}, got {found.get(name, 'absent')}"
        for name in dict.fromkeys([*expected, *found])
        if expected.get(name) != found.get(name)
    )


def run(task: FleetTask) -> HostOutcome:
    """The outcome of `task`; raises SystemExit if the process that awaits it has ended."""
    wrong = differences(task.software, software())
    if wrong:
        return HostOutcome(REFUSED, f"expected the versions of the machine that started the race: {wrong}")
    with turn() as held, tempfile.TemporaryDirectory(prefix="gradrace-") as folder:
        record = Path(folder) / "record.json"
        command = [sys.executable, "-P", str(GRADRACE), "race", *task.arguments]
        with (Path(folder) / "printed").open("w+b") as printed:
            process = subprocess.Popen(
                [*command, "--record", str(record), "--quiet"],
                cwd=task.folder if Path(task.folder).is_dir() else folder,
                env={**os.environ, **task.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=printed,
                pass_fds=[held.fileno()],  # no other race may begin before this one has ended
            )
            status = _await(process, held, task.name)
            printed.seek(0)
            words = printed.read().decode("utf-8", "replace").strip()
        content = record.read_text("utf-8") if record.exists() else None
        return HostOutcome(status, words, content)


@contextlib.contextmanager
def turn() -> Iterator[socket.socket]:
    """A block for one process of this host at a time, which lasts until the socket is closed everywhere."""
    with socket.socket(socket.AF_UNIX) as held:
        while True:
            try:
                held.bind(TURN)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            if _output().poll(1000 * TURN_SECONDS):
                raise SystemExit(1)
        held.listen()
        yield held


def end(task: str) -> None:
    """End the race of that task, if it runs on this host."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.connect(TURN)
        asking.sendall(task.encode())


def _await(process: subprocess.Popen[bytes], held: socket.socket, task: str) -> int:
    """The exit status of the race, which is ended if its reader has ended or `end` is called."""
    poll, ended = _output(), os.pidfd_open(process.pid)
    poll.register(ended, select.POLLIN)
    poll.register(held, select.POLLIN)
    try:
        while process.poll() is None:
            for number, _ in poll.poll():  # wakes up for no other event: the race is inside the clock
                if number == sys.stdout.fileno() or (number == held.fileno() and _asked(held) == task):
                    raise SystemExit(1)
    finally:
        os.close(ended)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
    return process.wait()


def _asked(held: socket.socket) -> str:
    """The name of the task that another process asks to end."""
    asking, _ = held.accept()
    with asking:
        asking.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            return asking.recv(100).decode()
    return ""


def _output() -> select.poll:
    """A poll that reports when the reader of standard output has ended."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return poll


def main() -> None:
    """Carry out the task in the argument; with `end NAME`, end the task of that name."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if sys.argv[1] == "end":
        end(sys.argv[2])
        return
    task = msgspec.json.decode(sys.argv[1], type=FleetTask)
    sys.stdout.buffer.write(msgspec.json.encode(run(task)))


if __name__ == "__main__":
    main()
