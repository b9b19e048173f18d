"""What a race cannot see from within: every implementation alone, in processes of its own.

Peak memory, and what compilation takes: cold, and from the caches that the first compilation left on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from benchmarks.measure.process import ProcessError, PythonProcess
from benchmarks.race import messages
from benchmarks.record.cells import Cell
from benchmarks.record.race_file import RecordedWorkload

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
"""Where compilers keep what they compiled."""


def of(cell: Cell, workload: RecordedWorkload, timeout: float) -> dict[str, Any]:
    """Fields of a `Measurement`, as far as they can be had: of what fails the race has the reason."""
    found: dict[str, Any] = {}
    try:
        peaked = _ask(messages.Peak(cell), workload, timeout, {})
        if isinstance(peaked, messages.Peaked):
            found = {
                "peak_bytes": peaked.gradients,
                "construct_peak_bytes": peaked.construct,
                "least_bytes": peaked.least,
            }
        with tempfile.TemporaryDirectory() as folder:
            caches = dict.fromkeys(CACHES, folder)
            cold, cached = (_ask(messages.Construct(cell), workload, timeout, caches) for _ in range(2))
        if isinstance(cold, messages.Constructed) and isinstance(cached, messages.Constructed):
            found |= {
                "cold_construct_seconds": cold.seconds,
                "cold_compile_seconds": cold.compile_seconds,
                "cached_compile_seconds": cached.compile_seconds,
            }
    except ProcessError:
        pass
    return found


def _ask(
    order: messages.Peak | messages.Construct,
    workload: RecordedWorkload,
    timeout: float,
    variables: Mapping[str, str],
) -> messages.WorkerAnswer:
    cell = order.cell
    with PythonProcess(messages.WORKER, cell.threads, variables=variables) as process:
        process.send(messages.Begin({cell.workload: workload}, cell.threads, None))
        process.send(order)
        process.receive(messages.WorkerAnswer, timeout)
        return process.receive(messages.WorkerAnswer, timeout)
