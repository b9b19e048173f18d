"""The ladder's best against the best of the rest, cell by cell, and how near it comes to a gemm's rate."""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.record.race_file import Facts, Record
from reports.style import duration, factor
from reports.tables.derived import roof
from reports.tables.frames import CELL, PANEL, cells, measurements, speedups
from reports.tables.means import geometric_means

SEAT = [*PANEL, "batch_size"]


class Standing(NamedTuple):
    """One cell: the ladder's fastest implementation and the fastest off the ladder; NaN or "" where there is
    none.

    `speedup` is over the baseline, whose time may be `projected`, `share` of the measured gemm rate; `lead`
    says how many times as fast as `rival` the best is, paired within a process, with its 95 % interval.
    """

    cell: str
    best: str
    seconds: float
    speedup: float
    projected: bool
    share: float
    rival: str
    lead: float
    low: float
    high: float


def rivals(implementations: Mapping[str, Facts], ground: str) -> set[str]:
    """The implementations off the ladder of `ground`: those that stand on no other, its lowest apart, and
    theirs.
    """
    for _ in implementations:  # so many at most: a record may name implementations in a circle
        below = implementations[ground].differs_from if ground in implementations else None
        if below is not None and below in implementations:
            ground = below
    found = {name for name, facts in implementations.items() if facts.differs_from is None} - {ground}
    while True:
        above = {name for name, facts in implementations.items() if facts.differs_from in found} - found
        if not above:
            return found
        found |= above


def standings(record: Record, baseline: str) -> list[Standing]:
    """The standing of every cell in which an implementation of the ladder was measured."""
    others = rivals(record.implementations, baseline)
    table = speedups(record, baseline)
    timed = table[table["status"] == "measured"].sort_values("seconds")
    frame = measurements(record)
    times = frame[frame["counts"]].set_index([*CELL, "process"])["fastest"].sort_index()
    found = []
    for seat, rows in timed.groupby(SEAT):
        workload, phase, dtype, threads, batch_size = typing.cast("tuple[str, str, str, int, int]", seat)
        place = (workload, phase, dtype, threads, batch_size)
        on = ~rows["implementation"].isin(others)
        if not on.any():
            continue
        best = rows[on].iloc[0]
        top = roof(record, dtype, threads)
        rival, lead = "", (math.nan, math.nan, math.nan)
        if not on.all():
            rival = str(rows[~on].iloc[0]["implementation"])
            ratios = (times.loc[(*place, rival)] / times.loc[(*place, best["implementation"])]).dropna()
            means = geometric_means(ratios.rename("ratio").reset_index().assign(one=1), ["one"], "ratio")
            lead = tuple(means[["mean", "low", "high"]].iloc[0]) if len(means) else lead
        found.append(
            Standing(
                f"{workload} {phase} {dtype} m={batch_size}" + (f" threads={threads}" if threads > 1 else ""),
                str(best["implementation"]),
                float(best["seconds"]),
                float(best["speedup"]),
                bool(best["basis"] == "projected"),
                float(best["flops"] / best["seconds"] / top.flops) if top else math.nan,
                rival,
                *(float(value) for value in lead),
            )
        )
    return found


def per_iteration(record: Record, name: str) -> float:
    """What gradients cost an implementation for each connection and sample, in iterations of a plain Python
    loop.

    At the largest batch that was timed; the iteration (`t += i * 0.5`) is that of the processes'
    calibration. NaN where the record holds no such time.
    """
    table = cells(record)
    timed = table[
        (table["implementation"] == name) & (table["phase"] == "gradients") & (table["status"] == "measured")
    ]
    iterations = [p.calibration["interpreter"] for p in record.processes if "interpreter" in p.calibration]
    if timed.empty or not iterations:
        return math.nan
    largest = timed.sort_values("batch_size").iloc[-1]
    n = record.workloads[str(largest["workload"])].widths
    connections = sum(a * b for a, b in itertools.pairwise(n))
    return float(largest["seconds"] / (connections * largest["batch_size"]) / np.median(iterations))


def grid(found: list[Standing]) -> tuple[list[str], list[list[str]]]:
    """Standings in words: the heads, and a row a cell."""

    def times(*values: float) -> str:
        return " to ".join(map(factor, values)) if np.isfinite(values).all() else "-"

    head = ["cell", "best", "time", "over baseline", "of gemm", "rival", "lead", "95 % interval"]
    body = [
        [
            *(one.cell, one.best, duration(one.seconds)),
            ("~" if one.projected else "") + times(one.speedup),
            f"{one.share:.0%}" if math.isfinite(one.share) else "-",
            *(one.rival or "-", times(one.lead), times(one.low, one.high)),
        ]
        for one in found
    ]
    return head, body
