"""Each cell's fastest of the ladder and fastest peer, with their distance from the machine's limits."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Facts
from benchmarks.record.statistics import UNKNOWN, Interval, speedup
from reports.analysis import CELL, PANEL, Analysis
from reports.style import duration, factor


class Standing(NamedTuple):
    """One cell: the ladder's fastest implementation and the fastest `peer`; NaN or "" where there is none.

    `speedup` is over the baseline, whose time may be `projected`. `share` is of the measured gemm rate;
    `memory` is the rate of the bytes that must move, of the measured bandwidth, more than 1 where they are in
    a cache. `lead` is how many times as fast as the peer the best is, paired within a process, with its 95 %
    interval.
    """

    cell: str
    best: str
    seconds: float
    speedup: float
    projected: bool
    share: float
    memory: float
    peer: str
    lead: float
    low: float
    high: float


def peers(implementations: Mapping[str, Facts], baseline: str) -> set[str]:
    """The implementations off the baseline's ladder: those that stand on another one's lowest rung."""
    lowest = {name: _lowest(name, implementations) for name in [*implementations, baseline]}
    return {name for name in implementations if lowest[name] not in (None, lowest[baseline])}


def _lowest(name: str, implementations: Mapping[str, Facts]) -> str | None:
    """The lowest rung below an implementation; None if the record does not hold it."""
    for _ in implementations:  # no more steps than names: a record may name implementations in a circle
        below = implementations[name].differs_from if name in implementations else ""
        if not below:
            return name if below is None else None
        name = below
    return None


def standings(analysis: Analysis, baseline: str) -> list[Standing]:
    """The standing of every cell in which an implementation of the ladder was measured."""
    others = peers(analysis.record.implementations, baseline)
    table = analysis.speedups(baseline)
    timed = table[table["status"] == "measured"].sort_values("seconds")
    found = []
    for _, rows in timed.groupby([*PANEL, "batch_size"]):
        on = ~rows["implementation"].isin(others)
        if not on.any():
            continue
        best = rows[on].iloc[0]
        cell = Cell(**best[CELL])
        top = analysis.roof(cell.dtype, cell.threads, cell.ranks)
        peer, lead = "", UNKNOWN
        if not on.all():
            peer = str(rows[~on].iloc[0]["implementation"])
            beaten = dataclasses.replace(cell, implementation=peer)
            ahead = speedup(analysis.times[beaten], analysis.times[cell])
            lead = Interval(*ahead[:3]) if ahead.pairs else UNKNOWN
        several = (("threads", cell.threads), ("ranks", cell.ranks))
        where = "".join(f" {name}={count}" for name, count in several if count > 1)
        found.append(
            Standing(
                f"{cell.workload} {cell.phase} {cell.dtype} m={cell.batch_size}{where}",
                cell.implementation,
                float(best["seconds"]),
                float(best["speedup"]),
                bool(best["basis"] == "projected"),
                float(best["flops"] / best["seconds"] / top.flops) if top else math.nan,
                float(best["bytes"] / best["seconds"] / top.bytes) if top else math.nan,
                peer,
                *lead,
            )
        )
    return found


def per_iteration(analysis: Analysis, name: str) -> float | None:
    """The time of an implementation's gradients per connection and sample, in iterations of a plain loop.

    It is that of the largest batch that was timed; the iteration (`t += i * 0.5`) is that of the processes'
    calibration. None if the record has no such time.
    """
    table = analysis.cells
    timed = table[
        (table["implementation"] == name) & (table["phase"] == "gradients") & (table["status"] == "measured")
    ]
    calibrations = [process.calibration for process in analysis.record.processes]
    iterations = [found["interpreter"] for found in calibrations if "interpreter" in found]
    if timed.empty or not iterations:
        return None
    largest = timed.sort_values("batch_size").iloc[-1]
    products = analysis.connections(largest["workload"]) * largest["batch_size"]
    return float(largest["seconds"] / products / statistics.median(iterations))


def grid(found: list[Standing]) -> tuple[list[str], list[list[str]]]:
    """Standings in words: the column heads, and one row per cell."""

    def times(*values: float) -> str:
        return " to ".join(map(factor, values)) if all(map(math.isfinite, values)) else "-"

    head = ["cell", "best", "time", "over baseline", "of gemm", "of memory", "peer", "lead", "95 % interval"]
    body = [
        [
            *(one.cell, one.best, duration(one.seconds)),
            ("~" if one.projected else "") + times(one.speedup),
            *(f"{share:.0%}" if math.isfinite(share) else "-" for share in (one.share, one.memory)),
            *(one.peer or "-", times(one.lead), times(one.low, one.high)),
        ]
        for one in found
    ]
    return head, body
