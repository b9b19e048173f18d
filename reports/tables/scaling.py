"""How far more workers, threads or ranks, take an implementation: strong and weak scaling.

Strong scaling keeps the batch and divides it among the workers: the ideal of p of them is p times as fast.
Weak scaling keeps the batch of each worker: the ideal is the time that one takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.statistics import Interval, Speedup, Times, speedup, time_of
from reports.analysis import Analysis, Panel
from reports.style import PARALLEL

Kind = Literal["strong", "weak"]


class Scaled(NamedTuple):
    """A cell on several workers beside one worker.

    `seconds` is a call's time on all `workers`, and `alone` that on one. `speedup` is how many times as fast
    they are at the same work (strong), or how many times as much they do in the time of one (weak). `over` is
    the implementation that ran on one worker. `batch_size` counts the samples of the whole batch (strong), or
    of each worker (weak).
    """

    kind: Kind
    implementation: str
    over: str
    workers: int
    batch_size: int
    seconds: Interval
    alone: Interval
    speedup: Speedup

    @property
    def efficiency(self) -> float:
        """The share of the ideal."""
        return self.speedup.mean / self.workers


def scalings(analysis: Analysis, panel: Panel, kind: Kind, along: str = "threads") -> list[Scaled]:
    """Every cell like those of `panel` that was measured on several workers, and on one.

    `along` is the field of a cell that counts the workers. What exists for several threads alone
    (`numba-parallel`) is held against the implementation that it stands on, where one worker ran that.
    """
    found = []
    for cell, timed in analysis.times.items():
        workers = getattr(cell, along)
        same = (cell.workload, cell.phase, cell.dtype) == (panel.workload, panel.phase, panel.dtype)
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
        found.append(Scaled(kind, cell.implementation, below, workers, size, *ends, faster))
    return found


def _alone(analysis: Analysis, alone: Cell) -> tuple[str, Times | None]:
    """Who ran on one worker in its place, and its times."""
    facts = analysis.record.implementations.get(alone.implementation)
    names = [alone.implementation]
    if alone.implementation in PARALLEL and facts and facts.differs_from:
        names.insert(0, facts.differs_from)
    for name in names:
        if timed := analysis.times.get(dataclasses.replace(alone, implementation=name)):
            return name, timed
    return alone.implementation, None


def stand_ins(found: Iterable[Scaled]) -> list[str]:
    """Which implementations are held against another one, in words."""
    pairs = dict.fromkeys((one.implementation, one.over) for one in found)
    return [f"{own} over {over}" for own, over in pairs if own != over]
