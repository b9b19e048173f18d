"""The peak memory of a call, best measured in a process of its own, and the least that the algorithm needs.

The call is measured in two ways, and the larger value counts. That of Python's allocator (tracemalloc) is
exact, and sees lists and NumPy arrays. The kernel's view (the peak of the resident set, Linux only) sees the
memory of compiled libraries, too, and that of other processes, to some tens of pages.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import impls
from benchmarks.measure import costs
from benchmarks.record import machine


def least(network: impls.Network, m: int, itemsize: int) -> int:
    """The fewest bytes, held or allocated beside the problem, of any implementation.

    The output of the batch and its dw and db, which it must be able to export; and, going sample by sample,
    one sample's `a` of every layer, with one dz.
    """
    n = network.widths[1:]
    return itemsize * (m * n[-1] + costs.parameters(network) + sum(n) + max(n))


def peak(work: Callable[[], Any]) -> tuple[Any, int]:
    """The result of `work`, and the most memory that it held beyond that before, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        resident = _resident()
        result = work()
        grown = _grown(resident)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return result, max(most - before, grown)


def _resident() -> dict[Path, int]:
    """The resident sets of this process and of those that it started, in KiB; their peaks begin anew."""
    # Return freed memory to the kernel first: filling it again would not be visible.
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    for folder in _folders():
        with contextlib.suppress(OSError):
            (folder / "clear_refs").write_text("5")  # resets the peak (man 5 proc)
    return {folder: _kibibytes(folder, "VmRSS") for folder in _folders()}


def _grown(resident: Mapping[Path, int]) -> int:
    """The bytes by which the peaks of these processes are above what was resident."""
    most = (_kibibytes(folder, "VmHWM") - resident.get(folder, 0) for folder in _folders())
    return 1024 * sum(max(0, each) for each in most)


def _folders() -> list[Path]:
    """The kernel's folders of these processes; empty on systems other than Linux."""
    found = [Path("/proc/self"), *(Path(f"/proc/{process}") for process in impls.descendants())]
    return [folder for folder in found if (folder / "clear_refs").exists()]


def _kibibytes(folder: Path, field: str) -> int:
    """A field of a process's status; 0 for one that has ended."""
    return int((machine.fact(folder / "status", field) or "0").split()[0])
