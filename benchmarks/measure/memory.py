"""Peak memory of a call, best measured in a process of its own, and the least that the algorithm needs.

Two views of the same call, of which the larger counts. The Python allocator's view (tracemalloc) is exact,
and sees lists and NumPy arrays. The kernel's view (the peak of the resident set, Linux only) sees the memory
of compiled libraries, too, to some tens of pages.
"""

from __future__ import annotations

import ctypes
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import costs
from impls import Network

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def least(network: Network, m: int, itemsize: int) -> int:
    """Bytes beside the problem that no implementation can do without, held or allocated.

    The output of the batch and its dw and db, which it must be able to export; and, going sample by sample,
    one sample's `a` of every layer, with one dz.
    """
    n = network.widths[1:]
    return itemsize * (m * n[-1] + costs.parameters(network) + sum(n) + max(n))


def peak(work: Callable[[], Any]) -> tuple[Any, int]:
    """What `work` returns, and the most memory that it held beyond what stood before, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with _Resident() as resident:
            result = work()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return result, max(most - before, resident.peak)


class _Resident:
    """The peak of the resident set within a block, beyond what was resident before it."""

    peak = 0

    def __enter__(self) -> _Resident:
        if _RESET.exists():
            # Freed memory goes back to the kernel first: filling it again would not show.
            if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
                libc.malloc_trim(0)
            _RESET.write_text("5")  # resets the peak (man 5 proc)
            self._before = _kibibytes("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if _RESET.exists():
            self.peak = 1024 * max(0, _kibibytes("VmHWM") - self._before)


def _kibibytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise ValueError(f"{_STATUS}: expected a line {field}, found none")
