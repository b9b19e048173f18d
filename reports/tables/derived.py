"""What follows from the tables: the ladder, break-evens, exponents, ceilings, the article's experiment."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.record.race_file import Record
from reports.tables.frames import Panel, implementations, measurements, of_panel
from reports.tables.means import Floats, Slope, exponent, geometric_means, mean_slope, t_quantile


def three_sizes(panel: pd.DataFrame) -> list[int]:
    """A small, a middle and a large batch size of those at which most implementations were measured."""
    timed = panel[panel["status"] == "measured"]
    counts = timed.groupby("batch_size")["implementation"].nunique()
    sizes = sorted(int(size) for size in counts[counts >= counts.max() / 2].index)
    return sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}) if sizes else []


def ladder(record: Record, panel: Panel) -> pd.DataFrame:
    """What each idea multiplies: each implementation against the one that it differs from, at every batch
    size.

    Columns `implementation`, `differs_from`, `idea`, `batch_size`, `factor`, `low`, `high`, `processes`;
    ratios are paired within a process, as those of `speedups`; a single process gives no interval.
    """
    frame = of_panel(measurements(record), panel)
    timed = frame.loc[
        frame["counts"],
        ["implementation", "batch_size", "process", "fastest"],
    ]
    rungs = [
        (name, facts.differs_from, facts.idea)
        for name, facts in record.implementations.items()
        if facts.differs_from is not None
    ]
    pairs = pd.DataFrame(rungs, columns=["implementation", "differs_from", "idea"], dtype=object)
    pairs = pairs.merge(timed, on="implementation")
    below = timed.rename(columns={"implementation": "differs_from", "fastest": "below"})
    pairs = pairs.merge(below, on=["differs_from", "batch_size", "process"])
    pairs["ratio"] = pairs["below"] / pairs["fastest"]
    keys = ["implementation", "differs_from", "idea", "batch_size"]
    means = geometric_means(pairs, keys, "ratio").rename(columns={"mean": "factor"})
    place = means["implementation"].map({name: k for k, name in enumerate(implementations(record))})
    return means.assign(place=place).sort_values(["place", "batch_size"]).drop(columns="place")


class Course(NamedTuple):
    """What n steps cost an implementation: `start` seconds (construction with compilation), then `each` a
    step.

    `cold`: the start is that of a first construction, with no compiler's cache on disk.
    """

    implementation: str
    start: float
    each: float
    cold: bool = False

    def after(self, steps: Floats) -> Floats:
        """Seconds from the start until so many steps are done."""
        return self.start + self.each * steps


def courses(panel: pd.DataFrame, size: int) -> list[Course]:
    """The course of every implementation that was measured at this batch size and whose start is on record.

    A start is the cold one where the race surveyed it, else the one that the race saw, which may have found
    what an earlier process compiled.
    """
    rows = panel[(panel["status"] == "measured") & (panel["batch_size"] == size)]
    found = []
    for row in rows.to_dict("records"):
        cold = bool(np.isfinite(row["cold_construct_seconds"]))
        start = row["cold_construct_seconds"] if cold else row["construct_seconds"]
        if np.isfinite(start):
            found.append(Course(row["implementation"], start, row["seconds"], cold))
    return found


def break_even(one: Course, other: Course) -> float:
    """The steps after which `one` is ahead of `other`: 0 if at once, infinity if never."""
    if one.each < other.each:
        return max(0.0, (one.start - other.start) / (other.each - one.each))
    return 0.0 if one.start < other.start and one.each == other.each else math.inf


class Lead(NamedTuple):
    """From so many steps on, this implementation is the first to have done them."""

    steps: float
    implementation: str


def leads(field: list[Course]) -> list[Lead]:
    """Who has done n steps first, as n grows from 1."""
    if not field:
        return []
    now = min(field, key=lambda course: course.start + course.each)
    found = [Lead(1.0, now.implementation)]
    while True:
        ahead = [(break_even(course, now), course) for course in field if course.each < now.each]
        if not ahead:
            return found
        steps, now = min(ahead, key=lambda pair: (pair[0], pair[1].each))
        found.append(Lead(steps, now.implementation))


def growth(record: Record, panel: Panel) -> dict[str, tuple[Slope, Slope]]:
    """How time grows with the batch: for each implementation the exponents over its smaller and its larger
    batches.

    For implementations with four batch sizes or more. Each process that ran all of a half gives an exponent;
    the interval is over those.
    """
    frame = of_panel(measurements(record), panel)
    frame = frame[frame["counts"]]
    found = {}
    for name in implementations(record):
        rows = frame[frame["implementation"] == name]
        sizes = np.sort(rows["batch_size"].unique())
        half = (len(sizes) + 1) // 2
        if len(sizes) >= 4:
            small = rows[rows["batch_size"] <= sizes[half - 1]]
            large = rows[rows["batch_size"] >= sizes[-half]]
            found[name] = _slope(small, "batch_size"), _slope(large, "batch_size")
    return found


def width_growth(record: Record, panel: Panel) -> tuple[int, dict[str, Slope]]:
    """How time grows with the number of connections, over workloads, at the largest common batch size.

    The batch size, and for each implementation measured in three workloads of different size or more, the
    exponent.
    """
    weights = {
        name: float(sum(a * b for a, b in zip(w.widths, w.widths[1:], strict=False)))
        for name, w in record.workloads.items()
    }
    frame = measurements(record)
    same = (frame["phase"] == panel.phase) & (frame["dtype"] == panel.dtype)
    frame = frame[same & (frame["threads"] == panel.threads) & frame["counts"]]
    frame = frame.assign(weights=frame["workload"].map(weights))
    for size in sorted(frame["batch_size"].unique(), reverse=True):
        here = dict(list(frame[frame["batch_size"] == size].groupby("implementation")))
        found = {
            name: _slope(here[name], "weights")
            for name in implementations(record)
            if name in here and here[name]["weights"].nunique() >= 3
        }
        if found:
            return int(size), found
    return 0, {}


def _slope(rows: pd.DataFrame, over: str) -> Slope:
    """The exponent of time over a column, fitted in each process that has most points of it.

    Others are left out: over fewer points it is another quantity, as time is no power of the column.
    """
    most = rows.groupby("process")[over].nunique().max()
    fits = [
        exponent(one[over].to_numpy(dtype=float), one["fastest"].to_numpy(dtype=float))
        for _, one in rows.groupby("process")
        if one[over].nunique() == most >= 2
    ]
    return mean_slope(np.array(fits))


class Roof(NamedTuple):
    """What the machine can do: operations a second of a large product, bytes a second of memory."""

    flops: float
    bytes: float


def roof(record: Record, dtype: str, threads: int) -> Roof | None:
    """The ceiling for so many threads, as the median over the processes that measured it, or None."""
    raced = {m.process for m in record.measurements if m.threads == threads}
    pairs = [
        (process.calibration[f"gemm_{dtype}"], process.calibration["triad"])
        for k, process in enumerate(record.processes)
        if k in raced and f"gemm_{dtype}" in process.calibration and "triad" in process.calibration
    ]
    if not pairs:
        return None
    flops, moved = np.median(np.array(pairs), axis=0)
    return Roof(float(flops), float(moved))


class Total(NamedTuple):
    """The article's experiment by one implementation: seconds of all its steps."""

    implementation: str
    seconds: float
    low: float
    high: float
    in_full: bool


def totals(record: Record, panel: Panel) -> list[Total]:
    """Every measured implementation's time for the steps of a headline, slowest first.

    Of a run in full, the sum of its rounds; otherwise projected from each process's mean, with an interval
    over processes (NaN of one alone). An implementation that any process found at fault has none.
    """
    steps = record.settings.get("steps")
    if panel.phase != "headline" or not isinstance(steps, int):
        return []
    runs: dict[str, list[tuple[float, bool]]] = {}
    here = [m for m in record.measurements if Panel(m.workload, m.phase, m.dtype, m.threads) == panel]
    faulty = {m.implementation for m in here if m.status != "measured"}
    for one in here:
        if one.implementation not in faulty:
            mean = float(np.mean(one.seconds))
            whole = len(one.seconds) * one.iterations >= steps
            runs.setdefault(one.implementation, []).append((mean * steps, whole))
    found = []
    for name, several in runs.items():
        logs = np.log([seconds for seconds, _ in several])
        mean = float(np.exp(logs.mean()))
        whole = all(done for _, done in several)
        half = 0.0 if whole else math.nan
        if len(logs) > 1:
            freedom = np.array(float(len(logs) - 1))
            half = float(t_quantile(freedom) * logs.std(ddof=1) / math.sqrt(len(logs)))
        found.append(Total(name, mean, mean * math.exp(-half), mean * math.exp(half), whole))
    return sorted(found, key=lambda total: -total.seconds)


def losses(record: Record, panel: Panel) -> dict[str, tuple[Floats, Floats]]:
    """For each implementation whose training is on record: seconds since the start, and the loss then."""
    found: dict[str, tuple[Floats, Floats]] = {}
    for one in record.measurements:
        here = Panel(one.workload, one.phase, one.dtype, one.threads) == panel
        if here and one.losses and len(one.losses) == len(one.seconds):
            spent = np.cumsum(np.array(one.seconds) * one.iterations)
            found.setdefault(one.implementation, (spent, np.array(one.losses)))
    return found
