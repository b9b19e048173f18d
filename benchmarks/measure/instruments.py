"""Detects tools that trace this process and falsify its times, and quotas of CPU time that delay it."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path

from benchmarks.record import machine

_CGROUPS = Path("/sys/fs/cgroup")


def active() -> str:
    """The tools that trace this process, with their remedies; empty if there are none."""
    found = []
    if sys.gettrace() is not None:
        found.append("a tracer (coverage or a debugger)")
    if sys.getprofile() is not None:
        found.append("a profiler")
    if sys.version_info >= (3, 12):
        names = (sys.monitoring.get_tool(number) for number in range(6))
        found += [f"the monitoring tool {name}" for name in names if name is not None]
    if tracemalloc.is_tracing():
        found.append("tracemalloc")
    if hasattr(sys, "gettotalrefcount"):
        found.append("a debug build of Python")
    if not found:
        return ""
    return f"{' and '.join(found)} distorts every time, that of loops most: measure without it"


def throttled() -> int:
    """The number of times that this process's control groups have used up their quota of CPU time."""
    return sum(int(machine.fact(folder / "cpu.stat", "nr_throttled") or 0) for folder in _groups())


def _groups() -> set[Path]:
    """The folders of this process's control groups that limit CPU time, and of those around them."""
    found = set()
    for line in machine.text(Path("/proc/self/cgroup")).splitlines():
        # hierarchy:controllers:path (man 7 cgroups); version 2 has no controllers
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        # In a container its own group is mounted at the root, under any path outside.
        inside = root / re.sub(r"^/+", "", path)
        found |= {folder for folder in (inside, *inside.parents) if folder == root or root in folder.parents}
    return found
