"""The processes that this one started, for whatever has to count their work as its own."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path

_CPU_CLOCK_OF_A_PROCESS = 2
"""CPUCLOCK_SCHED of Linux's include/linux/posix-timers.h, where its clocks of processes are numbered."""


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
