"""Threads and CPUs of this process: limited before a library counts the cores, and what is in force."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import impls


def cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on."""
    with contextlib.suppress(AttributeError, OSError):  # a system without affinity, a container that refuses
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def check_threads(threads: int) -> None:
    """Raise ValueError if this process may use fewer than `threads` CPUs."""
    allowed = len(cpus())
    if threads > allowed:
        raise ValueError(
            f"threads: expected 1 to {allowed}, the CPUs that this process may use, got {threads}"
        )


def limit_threads(threads: int, ranks: int = 1) -> tuple[int, ...]:
    """Limit this process, and every library that it loads from now on, to `threads` CPUs and threads.

    With `ranks`, the process gets that many times as many CPUs, if there are enough. Returns the CPUs that it
    could use before. Raises ValueError if these are fewer than `threads`. If the system does not support CPU
    affinity, or refuses it, only the libraries are limited.
    """
    check_threads(threads)
    allowed = cpus()
    with contextlib.suppress(AttributeError, OSError):
        # The first CPU serves most interrupts: take the last ones.
        os.sched_setaffinity(0, allowed[-threads * ranks :])
    for variable in impls.THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "numpy" in sys.modules:
        # Too late for the variables of those libraries that are loaded already.
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)
    return allowed


def move_to(cpu: int) -> None:
    """Hold this process and those that it started, with all their threads, to one CPU, where that can be."""
    tasks = [Path(f"/proc/{process}/task") for process in ("self", *impls.descendants())]
    for thread in [int(path.name) for task in tasks if task.exists() for path in task.iterdir()] or [0]:
        with contextlib.suppress(AttributeError, OSError):  # no affinity, or the thread has ended since
            os.sched_setaffinity(thread, [cpu])


def threads_in_force() -> dict[str, int]:
    """The number of threads of each loaded library, as the library reports it."""
    import threadpoolctl

    found = {"cpus": len(cpus())}
    for pool in threadpoolctl.threadpool_info():
        name = f"{pool['internal_api']} ({Path(pool['filepath']).name})"
        found[name] = int(pool["num_threads"])
    # An implementation that was never loaded has not imported its library, and this is no reason to.
    for name in ("numba", "torch"):
        if (library := sys.modules.get(name)) is not None:
            found[name] = int(library.get_num_threads())
    return found


def thread_warnings(in_force: Mapping[str, int], asked: int, ranks: int = 1) -> list[str]:
    """A warning for every library that runs on another number of threads than was asked for."""
    wanted = {name: asked * ranks if name == "cpus" else asked for name in in_force}
    return [
        f"{name}: {wanted[name]} asked for, {found} in force"
        for name, found in in_force.items()
        if found != wanted[name]
    ]
