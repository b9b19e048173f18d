"""The processes that this one started: the work that they do, how they end, and what they printed."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Read once, when the library behind each is loaded: they must be set before NumPy is imported."""

PRINTED = 2000
"""Bytes that are quoted of what a process printed, its last ones."""

# PR_SET_PDEATHSIG of Linux's prctl(2), and an end where the parent was gone before that. The interpreter that
# runs this becomes the command; a function for `subprocess` to call would take a fork that the threads of
# other libraries do not survive.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit()
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error}")
"""

_CPU_CLOCK_OF_A_PROCESS = 2
"""CPUCLOCK_SCHED of Linux's include/linux/posix-timers.h, where its clocks of processes are numbered."""


def launched(command: Sequence[str]) -> list[str]:
    """The command, changed so that it is killed when this process is gone, however it ends; on Linux."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]


def descendants(of: int | str = "self") -> list[int]:
    """The ids of the processes that a process started, and of those that they started in turn.

    Empty where the system does not list them, as Linux does.
    """
    found: list[int] = []
    for path in Path(f"/proc/{of}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended since
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def cpu_seconds() -> float:
    """CPU seconds of this process so far, and of all that it started, those that have ended included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for pid in descendants():
        with contextlib.suppress(OSError):  # the process has ended since
            total += time.clock_gettime(~pid << 3 | _CPU_CLOCK_OF_A_PROCESS)
    return total


def end_of(pid: int) -> int | None:
    """A descriptor that is readable once the process has ended; None if the system has no such descriptor."""
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None


def how_it_ended(process: subprocess.Popen[Any], seconds: float = 5.0) -> str:
    """How a process ended that closed its connection instead of answering; waits a moment for its end."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "the process closed its connection and went on"
    if status >= 0:
        return f"the process exited with status {status} instead of answering"
    name = signal.Signals(-status).name
    hint = {"SIGKILL": " (out of memory, as a rule)", "SIGSEGV": " (a fault in compiled code)"}
    return f"the process was ended by {name}{hint.get(name, '')}"


def printed(output: IO[bytes], since: int, quoted: Callable[[str], str] = str) -> str:
    """The last lines that a process has printed into a file after byte `since`, to append to a message.

    `quoted` selects from these lines what is worth reading.
    """
    begin = max(since, os.fstat(output.fileno()).st_size - 8 * PRINTED)
    text = os.pread(output.fileno(), 8 * PRINTED, begin).decode(errors="replace")
    text = quoted(text)[-PRINTED:].strip()
    return f"; it printed: {text}" if text else ""
