"""The record as tidy frames: what each cell took, how much faster than a baseline, where lines cross.

Per-process statistic: the **fastest round** of a process. A cell's time is the geometric mean of that over
processes. A speedup is the ratio of two implementations' fastest rounds *within one process*, whose luck both
share, and its interval is over processes. One process gives no interval: there, the whiskers show its rounds
from the fastest to the median, and the column `spread` says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.record.race_file import Record
from benchmarks.record.statistics import counting
from reports.style import LOOKS
from reports.tables.means import geometric_means

PANEL = ["workload", "phase", "dtype", "threads"]
CELL = [*PANEL, "batch_size", "implementation"]

SEVERITY = ("wrong", "failed", "timed out", "measured", "skipped", "unsupported", "unavailable", "untimed")
"""A cell whose processes disagree shows the first of these: a fault in one process is not averaged away."""

PHASES = ("gradients", "step", "forward")
"""Which phase a report shows unless told otherwise: the first of these that the record holds."""


FIGURES = [
    *("construct_seconds", "compile_seconds", "predicted_seconds", "flops", "bytes"),
    *("peak_bytes", "construct_peak_bytes", "least_bytes"),
    *("cold_construct_seconds", "cold_compile_seconds", "cached_compile_seconds"),
    *("error_of_bound", "error_ulp", "error_ulp_median"),
]
"""What the record may say of a cell beside its times."""


class Panel(NamedTuple):
    """What one picture shows: everything but implementation and batch size."""

    workload: str
    phase: str
    dtype: str
    threads: int


class UnknownChoice(ValueError):
    """A name that the record does not hold; the message lists those that it does."""


def measurements(record: Record) -> pd.DataFrame:
    """One row a measurement: its facts; `fastest` and `median` of its rounds, in seconds; and `counts`,
    whether they do (`benchmarks.record.statistics.counting`).

    A process may hold figures of a cell other than its times (memory is measured apart): its status is
    "untimed".
    """
    rows = []
    for one, counts in zip(record.measurements, counting(record.measurements), strict=True):
        seconds = sorted(value for value in one.seconds if math.isfinite(value) and value > 0)
        fastest, median = (quantile(seconds, share) for share in (0.0, 0.5))
        status: str = one.status
        reason = one.reason
        if status == "measured" and not len(seconds):
            status, reason = "untimed", "the record holds no time for it"
        rows.append(
            {
                "workload": one.workload,
                "phase": one.phase,
                "dtype": one.dtype,
                "threads": one.threads,
                "batch_size": one.batch_size,
                "implementation": one.implementation,
                "process": one.process,
                "status": status,
                "reason": reason,
                "counts": counts and status == "measured",
                "fastest": fastest,
                "median": median,
                "rounds": len(seconds),
                "iterations": one.iterations,
                "construct_seconds": one.construct_seconds,
                "compile_seconds": one.compile_seconds,
                "predicted_seconds": one.predicted_seconds,
                "flops": one.flops,
                "bytes": one.bytes,
                "peak_bytes": one.peak_bytes,
                "construct_peak_bytes": one.construct_peak_bytes,
                "least_bytes": one.least_bytes,
                "cold_construct_seconds": one.cold_construct_seconds,
                "cold_compile_seconds": one.cold_compile_seconds,
                "cached_compile_seconds": one.cached_compile_seconds,
                "error_of_bound": one.error_of_bound,
                "error_ulp": one.error_ulp,
                "error_ulp_median": one.error_ulp_median,
            }
        )
    columns = [*CELL, *("process", "status", "reason", "counts")]
    columns += ["fastest", "median", "rounds", "iterations"]
    frame = pd.DataFrame(rows, columns=[*columns, *FIGURES])
    return frame.astype({"counts": bool, **dict.fromkeys(FIGURES, "float64")})


def quantile(ordered: Sequence[float], share: float) -> float:
    """NumPy's linear quantile, quick for a few values: there are tens of thousands of cells. NaN of none."""
    if not ordered:
        return math.nan
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def implementations(record: Record) -> list[str]:
    """Every implementation of the record: in the order of the ladder, then others as they come."""
    seen = dict.fromkeys(record.implementations)
    seen.update(dict.fromkeys(one.implementation for one in record.measurements))
    return [name for name in LOOKS if name in seen] + [name for name in seen if name not in LOOKS]


def cells(record: Record) -> pd.DataFrame:
    """One row a cell (`CELL`), in the order of implementations and of batch sizes.

    `status` and `reason`; `seconds` with `low` and `high`; `spread`: "interval" (95 %, over processes),
    "rounds" (fastest to median of the only process) or "" (nothing measured); `processes`; and the largest
    over processes of the other figures.
    """
    return _cells(measurements(record), implementations(record))


def _cells(frame: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    rank = frame["status"].map(SEVERITY.index)
    worst = frame.assign(rank=rank).sort_values("rank", kind="stable").drop_duplicates(CELL)
    out = worst[[*CELL, "status", "reason"]]
    out = out.merge(frame.groupby(CELL, sort=False)[FIGURES].max().reset_index(), on=CELL)
    timed = frame[frame["counts"]].merge(out.loc[out["status"] == "measured", CELL], on=CELL)
    means = geometric_means(timed, CELL, "fastest").rename(columns={"mean": "seconds"})
    rounds = timed.groupby(CELL, sort=False).agg({"fastest": "min", "median": "max", "rounds": "sum"})
    out = out.merge(means, on=CELL, how="left").merge(rounds.reset_index(), on=CELL, how="left")
    single = out["processes"] == 1
    out["spread"] = np.select([single, out["processes"] > 1], ["rounds", "interval"], "")
    out["low"] = out["low"].where(~single, out["fastest"])
    out["high"] = out["high"].where(~single, out["median"])
    out = out.drop(columns=["fastest", "median"])
    out = out.fillna({"processes": 0, "rounds": 0}).astype({"processes": "int64", "rounds": "int64"})
    out["status"] = out["status"].replace("untimed", "failed")
    place = {name: k for k, name in enumerate(order)}
    by = [*PANEL, "place", "batch_size"]
    out = out.assign(place=out["implementation"].map(place)).sort_values(by, kind="stable")
    return out.drop(columns="place").reset_index(drop=True)


def panels(frame: pd.DataFrame) -> list[Panel]:
    """Every panel of `frame`, in its order."""
    return [Panel(*row) for row in frame[PANEL].drop_duplicates().itertuples(index=False)]


def of_panel(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of one panel."""
    keep = np.logical_and.reduce([frame[key] == value for key, value in zip(PANEL, panel, strict=True)])
    return frame[keep].reset_index(drop=True)


def choose(record: Record, **wanted: str | int | None) -> Panel:
    """The panel that a report shows: what is `wanted`, and where that is None, the record's first choice.

    First choices: the first workload; gradients; float64; the fewest threads. Raises UnknownChoice.
    """
    left = list(dict.fromkeys(Panel(m.workload, m.phase, m.dtype, m.threads) for m in record.measurements))
    if not left:
        raise UnknownChoice("the record holds no measurement")
    workloads = list(record.workloads)

    def preference(panel: Panel) -> tuple[int, int, bool, int]:
        phase = PHASES.index(panel.phase) if panel.phase in PHASES else len(PHASES)
        return workloads.index(panel.workload), phase, panel.dtype != "float64", panel.threads

    left.sort(key=preference)
    for field in Panel._fields:
        if wanted.get(field) is not None:
            known = list(dict.fromkeys(getattr(panel, field) for panel in left))
            left = [panel for panel in left if getattr(panel, field) == wanted[field]]
            if not left:
                names = ", ".join(map(str, known))
                raise UnknownChoice(f"{field}: expected one of {names}, got {wanted[field]!r}")
    return left[0]


def choose_baseline(record: Record, wanted: str | None) -> str:
    """The implementation that speedups are over: `wanted`, else `loops`, else the record's first
    implementation.

    Raises UnknownChoice for an implementation that the record does not hold.
    """
    names = implementations(record)
    if wanted is None:
        return "loops" if "loops" in names else names[0]
    if wanted not in names:
        raise UnknownChoice(
            f"baseline: expected an implementation of the record ({', '.join(names)}), got {wanted!r}"
        )
    return wanted


def speedups(record: Record, baseline: str) -> pd.DataFrame:
    """`cells`, with each cell's `speedup` over `baseline` at the same batch size.

    `speedup_low`, `speedup_high`: the interval over processes of the ratios paired within a process; with
    one pair, the rounds, fastest to median, at their widest. `pairs` counts them. `basis` is "paired";
    "unpaired" (no process ran both: a ratio of means, whose interval adds the two in quadrature);
    "projected" (one of the two is a prediction: no interval); or "" (no speedup). A baseline that never ran
    in a panel (`loops` in float32) lends its times of float64 or one thread: `baseline_dtype` and
    `baseline_threads` say which were used.
    """
    frame = measurements(record)
    table = _cells(frame, implementations(record))
    if table.empty:
        empty = dict.fromkeys(["speedup", "speedup_low", "speedup_high"], 0.0)
        return table.assign(**empty, pairs=0, basis="", baseline_dtype="", baseline_threads=0)
    lent = _lent_panels(table, baseline)
    table = table.merge(lent, on=PANEL, how="left")
    table["pairs"] = 0
    table["basis"] = ""
    for column in ("speedup", "speedup_low", "speedup_high"):
        table[column] = np.nan
    base_keys = ["workload", "phase", "baseline_dtype", "baseline_threads", "batch_size"]
    facts = ["status", "seconds", "low", "high", "predicted_seconds"]
    base = table.loc[table["implementation"] == baseline, [*CELL[:-1], *facts]]
    base = base.rename(
        columns={
            "dtype": "baseline_dtype",
            "threads": "baseline_threads",
            "status": "base_status",
            "seconds": "base_seconds",
            "low": "base_low",
            "high": "base_high",
            "predicted_seconds": "base_predicted",
        }
    )
    table = table.merge(base, on=base_keys, how="left")
    _project(table)
    _pair(table, frame.merge(lent, on=PANEL), baseline)
    itself = (
        (table["implementation"] == baseline)
        & (table["dtype"] == table["baseline_dtype"])
        & (table["threads"] == table["baseline_threads"])
        & table["speedup"].notna()
    )
    table.loc[itself, ["speedup", "speedup_low", "speedup_high"]] = 1.0
    return table.drop(columns=[name for name in table.columns if name.startswith("base_")])


def _lent_panels(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """For each panel, the dtype and threads whose times of the baseline serve it."""
    ran = table[(table["implementation"] == baseline) & (table["status"] == "measured")]
    have = set(panels(ran))
    rows = []
    for panel in panels(table):
        candidates = [
            panel,
            panel._replace(threads=1),
            panel._replace(dtype="float64"),
            panel._replace(dtype="float64", threads=1),
        ]
        found = next((candidate for candidate in candidates if candidate in have), panel)
        rows.append((*panel, found.dtype, found.threads))
    return pd.DataFrame(rows, columns=[*PANEL, "baseline_dtype", "baseline_threads"])


def _project(table: pd.DataFrame) -> None:
    """Ratios of means: those that no pair will replace are unpaired, or rest on a prediction."""
    guess = table["status"] == "skipped"
    own = table["seconds"].where(~guess, table["predicted_seconds"])
    base_guess = table["base_status"] == "skipped"
    base = table["base_seconds"].where(~base_guess, table["base_predicted"])
    table["speedup"] = base / own
    known = table["speedup"].notna()
    table.loc[known, "basis"] = np.where((guess | base_guess)[known], "projected", "unpaired")
    # Half-widths of logarithms; of one process's rounds, where it is alone.
    own_half = np.log(table["high"] / table["low"]) / 2
    base_half = np.log(table["base_high"] / table["base_low"]) / 2
    half = np.sqrt(own_half**2 + base_half**2)
    half[table["basis"] != "unpaired"] = np.nan
    table["speedup_low"] = table["speedup"] * np.exp(-half)
    table["speedup_high"] = table["speedup"] * np.exp(half)


def _pair(table: pd.DataFrame, frame: pd.DataFrame, baseline: str) -> None:
    """Ratios paired within a process, over those of `_project`."""
    keys = ["workload", "phase", "baseline_dtype", "baseline_threads", "batch_size", "process"]
    columns = ["fastest", "median"]
    timed = frame[frame["counts"]]
    base = timed.loc[timed["implementation"] == baseline, [*CELL[:-1], "process", *columns]]
    base = base.rename(columns={"dtype": "baseline_dtype", "threads": "baseline_threads"})
    pairs = timed.merge(base, on=keys, suffixes=("", "_base"))
    if pairs.empty:
        return
    pairs["ratio"] = pairs["fastest_base"] / pairs["fastest"]
    means = geometric_means(pairs, CELL, "ratio")
    edges = pairs.assign(
        least=pairs["fastest_base"] / pairs["median"], most=pairs["median_base"] / pairs["fastest"]
    ).drop_duplicates(CELL)
    means = means.merge(edges[[*CELL, "least", "most"]], on=CELL)
    single = means["processes"] == 1
    means["low"] = means["low"].where(~single, means["least"])
    means["high"] = means["high"].where(~single, means["most"])
    found = table[CELL].merge(means, on=CELL, how="left")
    use = found["mean"].notna().to_numpy() & (table["basis"] == "unpaired").to_numpy()
    for target, source in (("speedup", "mean"), ("speedup_low", "low"), ("speedup_high", "high")):
        table.loc[use, target] = found.loc[use, source].to_numpy()
    table.loc[use, "pairs"] = found.loc[use, "processes"].astype("int64").to_numpy()
    table.loc[use, "basis"] = "paired"


class Crossing(NamedTuple):
    """One implementation passes another: at which (interpolated) batch size, at what time of both."""

    batch_size: float
    passer: str
    passed: str
    seconds: float


def crossovers(panel: pd.DataFrame) -> list[Crossing]:
    """Where one implementation passes another as the batch grows, within one panel of `cells`.

    The place is interpolated between the two measured sizes around it, linearly in the logarithms of batch
    size and time.
    """
    timed = panel[panel["status"] == "measured"]
    times = timed.pivot_table(index="batch_size", columns="implementation", values="seconds", sort=False)
    times = times.sort_index()
    found = []
    for one, other in itertools.combinations(times.columns, 2):
        both = times[[one, other]].dropna()
        x = np.log(both.index.to_numpy(dtype=float))
        gap = np.log(both[other].to_numpy()) - np.log(both[one].to_numpy())  # positive: `one` is faster
        for k in np.flatnonzero(gap[:-1] * gap[1:] < 0):
            share = gap[k] / (gap[k] - gap[k + 1])
            y = np.log(both[one].to_numpy()[k : k + 2])
            passer, passed = (one, other) if gap[k + 1] > 0 else (other, one)
            size = np.exp(x[k] + share * (x[k + 1] - x[k]))
            seconds = np.exp(y[0] + share * (y[1] - y[0]))
            found.append(Crossing(float(size), str(passer), str(passed), float(seconds)))
    return sorted(found)


def notable_crossovers(panel: pd.DataFrame, baseline: str) -> list[Crossing]:
    """Those `crossovers` that answer a reader's question: a new fastest implementation, or the baseline
    passed.
    """
    timed = panel[panel["status"] == "measured"]
    fastest = timed.loc[timed.groupby("batch_size")["seconds"].idxmin()].sort_values("batch_size")
    sizes = fastest["batch_size"].to_numpy()
    leaders = fastest["implementation"].tolist()

    def leads(crossing: Crossing) -> bool:
        after = int(np.searchsorted(sizes, crossing.batch_size, side="right"))
        return (leaders[after - 1], leaders[after]) == (crossing.passed, crossing.passer)

    return [one for one in crossovers(panel) if baseline in (one.passer, one.passed) or leads(one)]
