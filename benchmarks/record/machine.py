"""The facts of the machine and the software that a record has, without any that identify their owner."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "jax",
    "jaxlib",
    "optax",
    "torch",
    "scikit-learn",
    "autograd",
    "pytest",
    "pytest-benchmark",
)

TUNING = (
    *("NUMBA_", "OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "VECLIB_", "NPY_", "JAX_", "XLA_"),
    *("TORCH", "PYTORCH_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"),
)
"""The prefixes of variables that configure libraries."""

_CPUINFO = Path("/proc/cpuinfo")

OURS = ("_NUM_THREADS", "_MAXIMUM_THREADS", "_CACHE_DIR")
"""The suffixes of those that the race sets itself, or that are paths."""


def variables() -> dict[str, dict[str, str]]:
    """The user's variables that a time may depend on, for the settings of a record; {} without any."""
    found = {
        # a path could identify its owner
        name: "a path" if "/" in value else value
        for name, value in sorted(os.environ.items())
        if name.startswith(TUNING) and not name.endswith(OURS)
    }
    return {"variables": found} if found else {}


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
    """The versions of Python, of the relevant packages that are installed, and of the BLAS in force."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    found["blas"] = blas()
    return found


def machine() -> dict[str, Any]:
    """The machine: its CPU, memory and system, without anything that identifies its owner."""
    return {
        "cpu": fact(_CPUINFO, "model name") or platform.processor() or platform.machine(),
        "microcode": fact(_CPUINFO, "microcode"),
        "cores": os.cpu_count() or 1,
        "caches": _caches(),
        "memory_bytes": _memory(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
    }


def text(path: Path) -> str:
    """The text of a file of the kernel; empty if it does not exist or cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def fact(path: Path, name: str) -> str:
    """The rest of the first line that begins with `name` in a file of the kernel; empty without one."""
    found = re.search(rf"^{name}[ \t:]+(.*)", text(path), re.MULTILINE)
    return found[1].strip() if found else ""


def _caches() -> Mapping[str, str]:
    """Data caches of the first CPU, as the kernel states them: {"L1": "32K", ...}."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = (text(cache / name) for name in ("type", "level", "size"))
        if kind != "Instruction" and level and size:  # a virtual machine may state no sizes
            found["L" + level] = size
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def load_average() -> float | None:
    """The number of runnable processes, averaged over the last minute; None if the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
