"""Strong and weak scaling of implementations over workers, which are threads or ranks.

Strong scaling divides the same batch among the workers: ideally p of them are p times as fast.
Weak scaling keeps the batch of each worker: ideally p of them take the time of one.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.statistics import Interval, Speedup, TimingByProcess, speedup, time_of
from reports.analysis import Analysis, Panel, panel_of
from reports.style import PARALLEL

ScalingKind = Literal["strong", "weak"]
Workers = Literal["threads", "ranks"]


class ScaledCell(NamedTuple):
    """A cell on several workers beside one worker.

    `seconds` is a call's time on all `workers`, and `alone` that on one. `speedup` is how many times as fast
    they are at the same work (strong), or how many times as much they do in the time of one (weak). `over` is
    the implementation that ran on one worker. `batch_size` counts the samples of the whole batch (strong), or
    of each worker (weak). `communication` is the share of the time that ranks communicate in, where the
    record has it: the time beyond that of the same call without communication.
    """

    kind: ScalingKind
    implementation: str
    over: str
    workers: int
    batch_size: int
    seconds: Interval
    alone: Interval
    speedup: Speedup
    communication: float | None = None

    @property
    def efficiency(self) -> float:
        """The share of the ideal."""
        return self.speedup.mean / self.workers


def scalings(
    analysis: Analysis, panel: Panel, kind: ScalingKind, along: Workers = "threads"
) -> list[ScaledCell]:
    """Every cell like those of `panel` that was measured on several workers, and on one.

    `along` is the field of a cell that counts the workers; there is one of the other kind. An implementation
    that only adds threads (`numba-parallel`) is compared with the one that it builds on, if one worker ran
    that.
    """
    found = []
    for cell, timed in analysis.times.items():
        workers = getattr(cell, along)
        same = panel_of(cell).on_one == panel.on_one and cell.threads * cell.ranks == workers
        if not same or workers < 2 or (kind == "weak" and cell.batch_size % workers):
            continue
        size = cell.batch_size // workers if kind == "weak" else cell.batch_size
        one: dict[str, Any] = {"batch_size": size, along: 1}
        below, base = _alone(analysis, dataclasses.replace(cell, **one))
        if base is None:
            continue
        faster = speedup(base, timed)
        if kind == "weak":
            mean, low, high = (workers * value for value in faster[:3])
            faster = Speedup(mean, low, high, faster.pairs)
        ends = time_of(timed), time_of(base)
        share = _communication(analysis, cell)
        found.append(ScaledCell(kind, cell.implementation, below, workers, size, *ends, faster, share))
    return found


def _communication(analysis: Analysis, cell: Cell) -> float | None:
    """The median over processes of the share of a call's time that its communication adds."""
    shares = [
        max(0.0, 1 - one.alone_seconds / one.fastest)
        for one in analysis.measurements[cell]
        if one.alone_seconds is not None and one.seconds
    ]
    return statistics.median(shares) if shares else None


def _alone(analysis: Analysis, alone: Cell) -> tuple[str, TimingByProcess | None]:
    """The implementation that ran on one worker in its place, and its times."""
    facts = analysis.record.implementations.get(alone.implementation)
    names = [alone.implementation]
    if alone.implementation in PARALLEL and facts and facts.differs_from:
        names.insert(0, facts.differs_from)
    for name in names:
        if timed := analysis.times.get(dataclasses.replace(alone, implementation=name)):
            return name, timed
    return alone.implementation, None


def stand_ins(found: Iterable[ScaledCell]) -> list[str]:
    """The implementations that are compared with another one, in words."""
    pairs = dict.fromkeys((one.implementation, one.over) for one in found)
    return [f"{own} over {over}" for own, over in pairs if own != over]
