"""The survey of a race, which runs each implementation alone, in separate processes.

It measures peak memory and the time of compilation: cold, and from the caches that the first compilation left
on disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from benchmarks.measure.process import ProcessError, PythonProcess
from benchmarks.race import messages
from benchmarks.record.cells import Cell
from benchmarks.record.race_file import RecordedWorkload

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
"""The variables of the folders in which compilers keep their output."""


def of(cell: Cell, workload: RecordedWorkload, timeout: float, compiles: bool = True) -> dict[str, Any]:
    """The fields of a `Measurement` that the survey finds within `timeout` seconds.

    Compilation is timed if the implementation `compiles`. The race itself records the reason of a failure.
    """
    end = time.monotonic() + timeout
    found: dict[str, Any] = {}
    try:
        peaked = _ask(messages.Peak(cell), workload, end, {})
        if isinstance(peaked, messages.Peaked):
            found = msgspec.structs.asdict(peaked)
        if not compiles:
            return found
        with tempfile.TemporaryDirectory() as folder:
            caches = dict.fromkeys(CACHES, folder)
            cold, cached = (_ask(messages.Construct(cell), workload, end, caches) for _ in range(2))
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
    end: float,
    variables: Mapping[str, str],
) -> messages.WorkerAnswer:
    cell = order.cell
    with PythonProcess(messages.WORKER, cell.threads, variables=variables) as process:
        process.send(messages.Begin({cell.workload: workload}, cell.threads, None, cell.ranks))
        process.send(order)
        process.receive(messages.WorkerAnswer, end - time.monotonic())
        return process.receive(messages.WorkerAnswer, end - time.monotonic())
