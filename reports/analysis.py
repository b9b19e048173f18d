"""Tables derived from a record: cells, speedups, the ladder, growth, ceilings, the experiment."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.record.cells import Cell
from benchmarks.record.race_file import Measurement, Record
from benchmarks.record.statistics import (
    UNKNOWN,
    Interval,
    TimingByProcess,
    Total,
    arithmetic,
    baseline,
    exponent,
    speedup,
    time_of,
    times,
    total,
)
from reports.style import LOOKS

Floats = NDArray[np.float64]

PANEL = ["workload", "phase", "dtype", "threads", "ranks"]
CELL = [*PANEL, "batch_size", "implementation"]

SEVERITY = (
    *("wrong", "failed", "timed out", "implausible", "measured"),
    *("skipped", "unsupported", "unavailable", "untimed"),
)
"""Statuses by priority: a cell whose processes disagree shows the first one, so no fault is averaged."""

PHASES = ("gradients", "step", "forward")
"""The phases by priority: by default a report shows the first of these that the record has."""

FIGURES = [
    *("construct_seconds", "compile_seconds", "predicted_seconds", "flops", "bytes"),
    *("peak_bytes", "construct_peak_bytes", "least_bytes"),
    *("cold_construct_seconds", "cold_compile_seconds", "cached_compile_seconds"),
    *("error_of_bound", "error_ulp", "error_ulp_median", "bound_of_norm"),
]
"""The figures of a cell that the record may have beside its times."""

COLUMNS = (
    dict.fromkeys(CELL, "object")
    | dict.fromkeys(["threads", "ranks", "batch_size"], "int64")
    | dict.fromkeys(["status", "reason"], "object")
    | dict.fromkeys(["seconds", "low", "high"], "float64")
    | {"spread": "object", "processes": "int64", "rounds": "int64"}
    | {"baseline": "object", "baseline_dtype": "object"}
    | dict.fromkeys(["baseline_threads", "baseline_ranks"], "int64")
    | dict.fromkeys(["speedup", "speedup_low", "speedup_high"], "float64")
    | {"pairs": "int64", "basis": "object"}
    | dict.fromkeys(FIGURES, "float64")
)
"""The columns of `Analysis.speedups` and their types."""

SPEEDUPS = list(COLUMNS)[list(COLUMNS).index("baseline") : list(COLUMNS).index(FIGURES[0])]
"""The columns that depend on the baseline."""


class Panel(NamedTuple):
    """The parameters that the cells of one picture share: all but implementation and batch size."""

    workload: str
    phase: str
    dtype: str
    threads: int
    ranks: int = 1

    @property
    def on_one(self) -> Panel:
        """The panel with one thread and one rank."""
        return self._replace(threads=1, ranks=1)


class Roof(NamedTuple):
    """The speed of the machine: operations a second of a large product, bytes a second of memory.

    `caches`: bytes a second of each cache by name, if on record; for one thread only.
    """

    flops: float
    bytes: float
    caches: Mapping[str, float] = {}


class UnknownChoice(ValueError):
    """A name that the record does not have; the message lists those that it has."""


def of_panel(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of one panel."""
    keep = np.logical_and.reduce([frame[key] == value for key, value in zip(PANEL, panel, strict=True)])
    return frame[keep].reset_index(drop=True)


class Analysis:
    """The tables of one record that reports show.

    `cells` and `speedups` have one row per cell, in the same order: by workload, phase, dtype, threads,
    ranks, implementation (the ladder first), batch size.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.speedups = functools.cache(self._speedups)
        self._baseline = functools.cache(self._baseline_of)

    @functools.cached_property
    def implementations(self) -> list[str]:
        """The implementations of the record: those of the ladder in its order, then the others."""
        seen = dict.fromkeys(
            [*self.record.implementations, *(m.implementation for m in self.record.measurements)]
        )
        return [name for name in LOOKS if name in seen] + [name for name in seen if name not in LOOKS]

    @functools.cached_property
    def panels(self) -> list[Panel]:
        """Every panel: the record's first workload first; gradients; float64; fewest threads and ranks."""
        workloads = list(self.record.workloads)

        def preference(panel: Panel) -> tuple[int, int, bool, int, int]:
            phase = PHASES.index(panel.phase) if panel.phase in PHASES else len(PHASES)
            return (
                workloads.index(panel.workload),
                phase,
                panel.dtype != "float64",
                panel.threads,
                panel.ranks,
            )

        return sorted(dict.fromkeys(map(panel_of, self.record.measurements)), key=preference)

    def panel(self, **wanted: str | int | None) -> Panel:
        """The first panel with the parameters `wanted`; raises UnknownChoice if there is none."""
        left = self.panels
        if not left:
            raise UnknownChoice("the record holds no measurement")
        for field, value in wanted.items():
            known = dict.fromkeys(getattr(panel, field) for panel in left)
            if value is not None:
                left = [panel for panel in left if getattr(panel, field) == value]
            if not left:
                raise UnknownChoice(f"{field}: expected one of {', '.join(map(str, known))}, got {value!r}")
        return left[0]

    def baseline(self, wanted: str | None = None) -> str:
        """The baseline of the speedups.

        `wanted`, else the baseline of the race, else `loops`, else the record's first. Raises UnknownChoice
        for an implementation that the record does not have.
        """
        names = self.implementations
        if wanted is None:
            preferred = (self.record.settings.get("baseline"), "loops", *names)
            return next(name for name in preferred if name in names)
        if wanted not in names:
            raise UnknownChoice(
                f"baseline: expected an implementation of the record ({', '.join(names)}), got {wanted!r}"
            )
        return wanted

    def shape(self, workload: str) -> str:
        """The widths of a workload: `64-32-10`."""
        known = self.record.workloads.get(workload)
        return "-".join(map(str, known.widths)) if known else ""

    @functools.cached_property
    def measurements(self) -> dict[Cell, list[Measurement]]:
        """The measurements of every cell, in the order of rows."""
        found: dict[Cell, list[Measurement]] = {}
        for one in self.record.measurements:
            found.setdefault(one.cell, []).append(one)
        place = {name: k for k, name in enumerate(self.implementations)}

        def order(cell: Cell) -> tuple[Panel, int, int]:
            return panel_of(cell), place[cell.implementation], cell.batch_size

        return {cell: found[cell] for cell in sorted(found, key=order)}

    @functools.cached_property
    def times(self) -> dict[Cell, TimingByProcess]:
        """The timings that count, by process, of every measured cell without a fault in any of them."""
        timed = times(self.record.measurements)
        return {
            cell: timed[cell] for cell, found in self.measurements.items() if _worst(found)[0] == "measured"
        }

    @functools.cached_property
    def lines(self) -> dict[Cell, dict[int, TimingByProcess]]:
        """The `times` of every line of a chart, a cell of no batch size: by batch size."""
        found: dict[Cell, dict[int, TimingByProcess]] = {}
        for cell, timed in self.times.items():
            found.setdefault(dataclasses.replace(cell, batch_size=0), {})[cell.batch_size] = timed
        return found

    @functools.cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell (the columns `CELL`).

        `status` and `reason`; `seconds` with `low` and `high`; `spread`: "interval" (95 %, over processes),
        "rounds" (fastest to median of the only process) or "" (nothing measured); `processes` and `rounds`;
        and the largest over processes of the other figures, NaN if there are none.
        """
        rows = []
        for cell, found in self.measurements.items():
            status, reason = _worst(found)
            timed = self.times.get(cell, {})
            seconds = time_of(timed) if timed else UNKNOWN
            if status == "implausible":  # shown with its rate; it does not count as a time
                fastest = [one.fastest for one in found if one.status == status and one.seconds]
                seconds = seconds._replace(mean=min(fastest, default=math.nan))
            rows.append(
                {
                    **vars(cell),
                    "status": "failed" if status == "untimed" else status,
                    "reason": reason,
                    "seconds": seconds.mean,
                    "low": seconds.low,
                    "high": seconds.high,
                    "processes": len(timed),
                    "rounds": sum(len(one.seconds) for one in found if one.process in timed),
                    "spread": ("", "rounds", "interval")[min(len(timed), 2)],
                    **{name: _largest(found, name) for name in FIGURES},
                }
            )
        return _frame(rows, [name for name in COLUMNS if name not in SPEEDUPS])

    def _speedups(self, over: str) -> pd.DataFrame:
        """`cells`, with each cell's `speedup` over the implementation `over` at the same batch size.

        `speedup_low`, `speedup_high`: the interval over processes of the ratios paired within a process; with
        one pair, the rounds, fastest to median, at their widest. `pairs` counts them. `basis` is "paired";
        "unpaired" (no process ran both: a ratio of means, whose interval adds the two in quadrature);
        "projected" (one of the two is a prediction: no interval); or "" (no speedup). `baseline`,
        `baseline_dtype`, `baseline_threads` and `baseline_ranks` are what was asked for, or the fallback
        baseline of a panel in which that was not measured.
        """
        rows: list[tuple[Any, ...]] = []
        for cell in self.measurements:
            below = self._baseline(panel_of(cell), over)
            base = dataclasses.replace(below, batch_size=cell.batch_size)
            on = below.implementation, below.dtype, below.threads, below.ranks
            rows.append((*on, *self._speedup(base, cell)))
        return pd.concat([self.cells, _frame(rows, SPEEDUPS)], axis=1)[list(COLUMNS)]

    def _baseline_of(self, panel: Panel, over: str) -> Cell:
        """A panel's baseline, as a cell of no batch size."""
        asked = Cell(panel.workload, panel.phase, 0, panel.dtype, panel.threads, over, panel.ranks)
        found = baseline(asked, self.lines, over)
        sizes = {cell.batch_size for cell in self.measurements}
        predicted = any(dataclasses.replace(asked, batch_size=size) in self._seconds for size in sizes)
        return asked if found.implementation != over and predicted else found

    @functools.cached_property
    def _seconds(self) -> dict[Cell, float]:
        """The seconds of a call of every cell; predicted ones where the cell was skipped."""
        table = self.cells
        measured = table["seconds"].where(table["status"] == "measured")
        seconds = measured.where(table["status"] != "skipped", table["predicted_seconds"])
        return {cell: value for cell, value in zip(self.measurements, seconds, strict=True) if value > 0}

    def _speedup(self, base: Cell, own: Cell) -> tuple[float, float, float, int, str]:
        """The mean, low, high, pairs and basis of a speedup."""
        if base not in self._seconds or own not in self._seconds:
            return (*UNKNOWN, 0, "")
        pairs, basis = 0, "projected"
        ratio = Interval(self._seconds[base] / self._seconds[own], math.nan, math.nan)
        if base in self.times and own in self.times:
            *ends, pairs = speedup(self.times[base], self.times[own])
            ratio, basis = Interval(*ends), "paired" if pairs else "unpaired"
        return (*(Interval(1.0, 1.0, 1.0) if base == own else ratio), pairs, basis)

    def rows(self, panel: Panel, over: str) -> pd.DataFrame:
        """The rows of `speedups` of one panel."""
        return of_panel(self.speedups(over), panel)

    def ladder(self, panel: Panel) -> pd.DataFrame:
        """The factor of each idea: the speedup of each implementation over the one that it differs from.

        Columns `implementation`, `differs_from`, `idea`, `batch_size`, `factor`, `low`, `high`, `processes`;
        ratios are paired within a process, as those of `speedups`.
        """
        rows = []
        for own, timed in self.times.items():
            facts = self.record.implementations.get(own.implementation)
            if panel_of(own) != panel or facts is None or facts.differs_from is None:
                continue
            below = self.times.get(dataclasses.replace(own, implementation=facts.differs_from), {})
            if below.keys() & timed.keys():
                idea = (own.implementation, facts.differs_from, facts.idea)
                rows.append((*idea, own.batch_size, *speedup(below, timed)))
        columns = ["implementation", "differs_from", "idea", "batch_size"]
        return pd.DataFrame(rows, columns=[*columns, "factor", "low", "high", "processes"])

    def growth(self, panel: Panel) -> dict[str, tuple[Interval, Interval]]:
        """How time grows with the batch: the exponents over the smaller and the larger batches.

        For every implementation with four batch sizes or more. Each process that ran all of a half gives an
        exponent; the interval is over these.
        """
        slopes = {}
        for line, points in self.lines.items():
            if panel_of(line) == panel and len(points) >= 4:
                ordered = sorted(points.items())
                half = (len(ordered) + 1) // 2
                slopes[line.implementation] = _slope(ordered[:half]), _slope(ordered[-half:])
        return slopes

    def width_growth(self, panel: Panel) -> tuple[int, dict[str, Interval]]:
        """How time grows with the number of connections, over workloads, at the largest common batch size.

        The batch size, and for each implementation measured in three workloads of different size or more, the
        exponent.
        """
        found: dict[int, dict[str, dict[int, TimingByProcess]]] = {}
        for line, points in self.lines.items():
            if panel_of(line)[1:] == panel[1:]:
                for size, timed in points.items():
                    here = found.setdefault(size, {}).setdefault(line.implementation, {})
                    here[self.connections(line.workload)] = timed
        for size in sorted(found, reverse=True):
            slopes = {name: _slope(at.items()) for name, at in found[size].items() if len(at) >= 3}
            if slopes:
                return size, slopes
        return 0, {}

    def connections(self, workload: str) -> int:
        """The weights of a workload's network."""
        return sum(a * b for a, b in itertools.pairwise(self.record.workloads[workload].widths))

    def roof(self, dtype: str, threads: int, ranks: int = 1) -> Roof | None:
        """The ceiling for `threads` threads: the highest of the processes that measured it, or None.

        A disturbance makes it lower, never higher. Several ranks have none on record.
        """
        if ranks > 1:
            return None
        raced = {one.process for one in self.record.measurements if one.threads == threads}
        highest: dict[str, float] = {}
        for k in raced:
            for name, value in self.record.processes[k].calibration.items():
                highest[name] = max(value, highest.get(name, 0.0))
        if not {f"gemm_{dtype}", "triad"} <= highest.keys():
            return None
        dots = {name[4:]: value for name, value in sorted(highest.items()) if name.startswith("dot_")}
        return Roof(highest[f"gemm_{dtype}"], highest["triad"], dots if threads == 1 else {})

    def totals(self, panel: Panel) -> dict[str, Total]:
        """The time of a headline's steps for every measured implementation, slowest first.

        An implementation with a fault in any process is left out.
        """
        steps = self.record.settings.get("steps")
        if panel.phase != "headline" or not isinstance(steps, int):
            return {}
        found = {
            cell.implementation: total(self.measurements[cell], steps)
            for cell in self.measurements
            if panel_of(cell) == panel and all(m.status == "measured" for m in self.measurements[cell])
        }
        return dict(sorted(found.items(), key=lambda pair: -pair[1].mean))

    def losses(self, panel: Panel) -> dict[str, tuple[Floats, Floats]]:
        """For each implementation with a training on record: seconds since the start, and the losses then."""
        found: dict[str, tuple[Floats, Floats]] = {}
        for one in self.record.measurements:
            if panel_of(one) == panel and one.losses and len(one.losses) == len(one.seconds):
                spent = np.cumsum(np.array(one.seconds) * one.iterations)
                found.setdefault(one.implementation, (spent, np.array(one.losses)))
        return found


def panel_of(of: Cell | Measurement) -> Panel:
    """The panel that shows a cell."""
    return Panel(of.workload, of.phase, of.dtype, of.threads, of.ranks)


def _worst(found: Iterable[Measurement]) -> tuple[str, str]:
    """Status and reason of a cell.

    It is "untimed" if the record has other figures of it but no times, as memory is measured separately.
    """
    states = [
        ("untimed", "the record holds no time for it")
        if one.status == "measured" and not one.seconds
        else (one.status, one.reason)
        for one in found
    ]
    return min(states, key=lambda state: SEVERITY.index(state[0]))


def _largest(found: Iterable[Measurement], name: str) -> float:
    return max((value for one in found if (value := getattr(one, name)) is not None), default=math.nan)


def _frame(rows: list[Any], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).astype({name: COLUMNS[name] for name in columns})


def _slope(points: Iterable[tuple[int, TimingByProcess]]) -> Interval:
    """The exponent of time as a power of a number, fitted in each of the processes with the most points.

    The others are left out: over fewer points the exponent is another quantity, as time is not exactly a
    power.
    """
    of_process: dict[int, dict[int, float]] = collections.defaultdict(dict)
    for at, timed in points:
        for process, timing in timed.items():
            of_process[process][at] = timing.fastest
    most = max(map(len, of_process.values()), default=0)
    fits = (line for line in of_process.values() if len(line) == most >= 2)
    return arithmetic([exponent(list(line), list(line.values())) for line in fits])
