"""The machine and the process: threads limited before a library counts the cores, and what is in force."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Read once, when the library behind each is loaded: they must be set before NumPy is imported.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "jax",
    "jaxlib",
    "torch",
    "scikit-learn",
    "autograd",
    "pytest",
    "pytest-benchmark",
)


def cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def end_with_parent() -> None:
    """Have the system kill this process when the one that started it dies, however busy it is (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def check_threads(threads: int) -> None:
    """Raise ValueError where this process may not use so many CPUs."""
    allowed = len(cpus())
    if threads > allowed:
        raise ValueError(
            f"threads: expected 1 to {allowed}, the CPUs that this process may use, got {threads}"
        )


def limit_threads(threads: int) -> tuple[int, ...]:
    """Hold this process, and every library that it loads from now on, to `threads` CPUs and threads.

    Returns the CPUs that it might have used. Raises ValueError where those are fewer than `threads`. Where
    the system knows no affinity only the libraries are limited.
    """
    check_threads(threads)
    allowed = cpus()
    if hasattr(os, "sched_setaffinity"):
        # The first CPU serves most interrupts: take the last ones.
        os.sched_setaffinity(0, allowed[-threads:])
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "numpy" in sys.modules:
        # Too late for the variables: the libraries that are loaded already must be told.
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)
    return allowed


def move_to(cpu: int) -> None:
    """Hold every thread of this process to one CPU; where the system knows no affinity, nothing happens."""
    if not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    for thread in [int(path.name) for path in tasks.iterdir()] if tasks.exists() else [0]:
        with contextlib.suppress(ProcessLookupError):  # it has ended since
            os.sched_setaffinity(thread, [cpu])


def threads_in_force() -> dict[str, int]:
    """How many threads each loaded library uses, asked of the library itself."""
    import threadpoolctl

    found = {"cpus": len(cpus())}
    for pool in threadpoolctl.threadpool_info():
        name = f"{pool['internal_api']} ({Path(pool['filepath']).name})"
        found[name] = int(pool["num_threads"])
    # An implementation that was never loaded has not imported its library, and this is no reason to.
    numba, torch = sys.modules.get("numba"), sys.modules.get("torch")
    if numba is not None:
        found["numba"] = int(numba.get_num_threads())
    if torch is not None:
        found["torch"] = int(torch.get_num_threads())
    return found


def blas() -> str:
    """The BLAS libraries in this process, with their versions and kernels."""
    import threadpoolctl

    libraries = [
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return ", ".join(sorted(set(libraries)))


def versions() -> dict[str, str]:
    """Versions of Python, of every package that matters and is installed, and of the BLAS in force."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["blas"] = blas()
    return found


def machine() -> dict[str, Any]:
    """The machine: its CPU, memory and system, and nothing that names its owner."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "caches": _caches(),
        "memory_bytes": _memory(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _caches() -> Mapping[str, str]:
    """Data caches of the first CPU, as the kernel states them: {"L1": "32K", ...}."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (cache / "type").read_text().strip() != "Instruction":
            found["L" + (cache / "level").read_text().strip()] = (cache / "size").read_text().strip()
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def load_average() -> float | None:
    """Processes that wanted to run, averaged over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def thread_warnings(in_force: Mapping[str, int], asked: int) -> list[str]:
    """A warning for every library that runs on another number of threads than was asked for."""
    return [
        f"{name}: {asked} asked for, {found} in force" for name, found in in_force.items() if found != asked
    ]


STOLEN = 0.02
"""Share of the CPUs' time that others may take from a virtual machine before it is worth a warning."""


class Watch:
    """What happened to the machine while a process raced on it: call `warnings` at the end."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.load = load_average()
        self._ticks = _ticks()
        self._throttled = _throttled()

    def warnings(self) -> list[str]:
        """What may have spoilt the times, each with what to do about it."""
        found = thread_warnings(threads_in_force(), self.threads)
        cores = os.cpu_count() or 1
        if self.load is not None and self.load > cores - self.threads + 0.5:
            found.append(
                "other programs kept the CPUs busy before the race (load_average): end them, or race later"
            )
        ticks: list[int] = [now - then for now, then in zip(_ticks(), self._ticks, strict=False)]
        # /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc)
        if len(ticks) >= 8 and ticks[7] > STOLEN * sum(ticks):
            found.append(
                f"more than {STOLEN:.0%} of the CPUs' time was taken by other virtual machines (steal): "
                "race on another host, or later"
            )
        governors = {path.read_text().strip() for path in _CPUS.glob("cpu*/cpufreq/scaling_governor")}
        if governors - {"performance"}:
            found.append(
                f"the clock frequency follows the governor {', '.join(sorted(governors))}: "
                "set it to performance (cpupower frequency-set -g performance)"
            )
        if _throttled() > self._throttled:
            found.append("a CPU was throttled for its temperature: let it cool, or race fewer cells")
        return found


_CPUS = Path("/sys/devices/system/cpu")


def _ticks() -> list[int]:
    """How the CPUs spent their time since the start, in the kernel's ticks; empty where it does not say."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return []
    return [int(field) for field in first.split()[1:]]


def _throttled() -> int:
    counts = _CPUS.glob("cpu*/thermal_throttle/core_throttle_count")
    return sum(int(path.read_text()) for path in counts)
