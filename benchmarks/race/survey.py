"""What a race cannot see from within: every implementation alone, in processes of its own.

Peak memory, and what compilation takes: cold, and from the caches that the first compilation left on disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any, TypeVar

from benchmarks import workloads
from benchmarks.measure import environment, isolation, memory
from benchmarks.measure.session import CellError, guard, load
from benchmarks.record.cells import Cell

T = TypeVar("T")

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
"""Where compilers keep what they compiled."""


def construction(cell: Cell, workload: workloads.Workload) -> tuple[float, float]:
    """Seconds of the implementation's construction in this process, and of the compilation within it."""
    with guard(cell):
        implementation_class = load(cell.implementation)
        problem = workloads.problem(workload, cell.batch_size)
        start = time.perf_counter()
        implementation = implementation_class(problem, cell.dtype, cell.threads)
        return time.perf_counter() - start, implementation.compile_seconds


def _limited(call: Callable[[Cell, workloads.Workload], T], cell: Cell, workload: workloads.Workload) -> T:
    environment.limit_threads(cell.threads)
    return call(cell, workload)


def of(cell: Cell, workload: workloads.Workload) -> dict[str, Any]:
    """Fields of a `Measurement`; none where the implementation cannot, or dies: the race has said so
    already.
    """
    threads = dict.fromkeys(environment.THREAD_VARIABLES, str(cell.threads))  # before NumPy is loaded there
    try:
        peaks = isolation.fresh(_limited, memory.measure, cell, workload, variables=threads)
        with tempfile.TemporaryDirectory() as folder:
            variables = threads | dict.fromkeys(CACHES, folder)
            cold, cached = (
                isolation.fresh(_limited, construction, cell, workload, variables=variables) for _ in range(2)
            )
    except (CellError, isolation.Died):
        return {}
    return {
        "peak_bytes": peaks.gradients,
        "construct_peak_bytes": peaks.construct,
        "least_bytes": peaks.least,
        "cold_construct_seconds": cold[0],
        "cold_compile_seconds": cold[1],
        "cached_compile_seconds": cached[1],
    }
