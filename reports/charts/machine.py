"""Pictures of how implementations use the machine: ceilings, accuracy, memory, growth. Frame -> Figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.record.statistics import Interval
from reports.analysis import Roof
from reports.charts.canvas import FAINT, INK, canvas, columns, nothing, settings
from reports.charts.labels import name_above, name_lines, name_rows
from reports.charts.marks import curve
from reports.charts.scales import batch_axis, byte_axis, logarithmic
from reports.charts.words import describe
from reports.style import digits, look, plain, size

FINEST = 0.01
"""The smallest error in a chart, in units in the last place; smaller ones are drawn there."""


@settings()
def roofline_chart(panel: pd.DataFrame, roof: Roof | None, shape: str = "") -> Figure:
    """Operations per second against operations per byte, one line per implementation and its batch sizes.

    `roof` is what the machine can do, a ceiling for each cache and one for memory; the figure at a line's end
    is the share of the highest at the largest batch.
    """
    timed = panel[(panel["status"] == "measured") & (panel["flops"] > 0) & (panel["bytes"] > 0)]
    note = "the record holds no calibration: neither ceiling nor shares are known"
    if roof:
        caches = "".join(f"{digits(rate / 1e9)} in {name}, " for name, rate in roof.caches.items())
        note = (
            f"lines without marks: the ceilings, {digits(roof.flops / 1e9)} GFLOP/s of a large product, and "
            f"GB/s: {caches}"
            f"{digits(roof.bytes / 1e9)} from memory"
            f"{'' if caches else '; in cache an implementation can be above the latter'}"
        )
    figure, axes = canvas(
        "How near to what the machine can do",
        f"{describe(panel, shape)}; % of the ceiling at the largest batch",
        [note, "operations are those of the matrix products, bytes the least that must be moved"],
    )
    if timed.empty:
        return nothing(axes, "no cell has a time and a count of operations")
    timed = timed.assign(rate=timed["flops"] / timed["seconds"], intensity=timed["flops"] / timed["bytes"])
    reach = np.geomspace(timed["intensity"].min() / 1.25, timed["intensity"].max() * 1.25, 100)
    rates = [*roof.caches.values(), roof.bytes] if roof else []
    ceilings = [np.minimum(roof.flops, rate * reach) for rate in rates] if roof else []
    logarithmic(axes, "x", timed["intensity"], "operations per byte")
    logarithmic(
        axes, "y", [*timed["rate"], *np.ravel(ceilings)], "GFLOP/s", lambda value: f"{value / 1e9:,g}"
    )
    for ceiling in ceilings:
        axes.plot(reach, ceiling, color=INK, lw=1.0, zorder=2)
    ends = []
    for name, rows in timed.groupby("implementation", sort=False):
        x, y = rows["intensity"].to_numpy(), rows["rate"].to_numpy()
        words = f"{digits(y[-1] / 1e9)} GFLOP/s"
        if roof:
            words = f"{digits(100 * y[-1] / min(roof.flops, max(rates) * x[-1]), 2)} %"
        ends.append(curve(axes, str(name), x, y, words))
    name_lines(axes, ends)
    return figure


@settings()
def accuracy_chart(table: pd.DataFrame, where: str) -> Figure:
    """Error against speed at one batch size, one point per implementation and dtype, the best lower right.

    `table`: rows of `Analysis.speedups` at one batch size, any dtypes. The whisker reaches down to the median
    error. Errors are in units in the last place of each dtype, against the exact reference.
    """
    drawn = table[np.isfinite(table["error_ulp"]) & np.isfinite(table["speedup"])]
    dtypes = sorted(set(drawn["dtype"].astype(str)), reverse=True)
    legend = "".join(f"; {each}" for each in dtypes)
    if len(dtypes) > 1:
        legend = "; filled float64, hollow float32"
    figure, axes = canvas(
        "Accuracy against speed",
        f"{where}; largest error, whisker down to the median{legend}",
        margins=(84.0, 90.0),
        above=110.0,
    )
    if drawn.empty:
        return nothing(axes, "the record holds no errors")
    largest = drawn["error_ulp"].clip(lower=FINEST).to_numpy(dtype=float)
    median = drawn["error_ulp_median"].fillna(drawn["error_ulp"]).clip(lower=FINEST).to_numpy(dtype=float)
    fast = drawn["speedup"].to_numpy(dtype=float)
    logarithmic(axes, "x", fast, "times as fast as the baseline", "{:,g}x".format)
    logarithmic(axes, "y", [*largest, *median], "error (ulp)")
    names = drawn["implementation"].astype(str).tolist()
    for name, dtype, x, high, low in zip(names, drawn["dtype"], fast, largest, median, strict=True):
        colour, marker, _ = look(name)
        fill = "white" if dtype == "float32" else colour
        axes.plot([x, x], [low, high], color=colour, lw=1.2, zorder=2)
        axes.plot([x], [high], marker=marker, ms=7, ls="", zorder=3, color=colour, mfc=fill)
    marks = [(x, y, plain(name, 20)) for x, y, name in zip(fast, largest, names, strict=True)]
    name_above(axes, marks, [look(name).colour for name in names], slant=45)
    return figure


@settings()
def memory_chart(panel: pd.DataFrame, shape: str = "") -> Figure:
    """Peak bytes of a call beyond those held before it, against batch size, beside the least possible."""
    drawn = panel[panel["peak_bytes"] > 0]
    least = panel.groupby("batch_size")["least_bytes"].max().dropna()
    figure, axes = canvas(
        "Memory of one call",
        f"{describe(panel, shape)}; beyond what was allocated before the call",
        _of_least(drawn) if len(least) else [],
    )
    if drawn.empty:
        return nothing(axes, "the record holds no allocations")
    byte_axis(axes, [*drawn["peak_bytes"], *least], "peak of allocated bytes")
    batch_axis(axes, drawn["batch_size"])
    if len(least) == 1:
        axes.axhline(least.iloc[0], color=INK, lw=1.4, ls="--")
    axes.plot(least.index.to_numpy(), least.to_numpy(), color=INK, lw=1.4, ls="--", marker="_")
    ends = []
    for name, rows in drawn.groupby("implementation", sort=False):
        x, y = rows["batch_size"].to_numpy(), rows["peak_bytes"].to_numpy()
        ends.append(curve(axes, str(name), x, y, size(y[-1])))
    name_lines(axes, ends)
    return figure


def _of_least(drawn: pd.DataFrame) -> list[str]:
    """The notes on the line of least memory and on implementations below it, which allocated earlier."""
    notes = ["dashed: the least that any implementation holds: gradients, output, one sample on its way"]
    before = drawn[drawn["peak_bytes"] < drawn["least_bytes"]]
    before = before[before["construct_peak_bytes"] >= before["least_bytes"]]
    if not before.empty:
        names = ", ".join(plain(str(name), 20) for name in before["implementation"].unique())
        notes.append(f"below it, as they allocated at construction what each call uses again: {names}")
    return notes


@settings()
def growth_chart(
    batch: Mapping[str, tuple[Interval, Interval]],
    width: Mapping[str, Interval],
    where: str,
    width_where: str,
) -> Figure:
    """The exponents with which time grows with batch size and with connections; 1 is proportional.

    `batch`: for each implementation over the smaller and the larger half of the batch sizes; `width`: over
    networks.
    """
    names = [*batch, *(name for name in width if name not in batch)]
    notes = []
    if not batch:
        notes.append("batch size: no implementation was measured at four sizes")
    if not width:
        notes.append("connections: no implementation was measured on three networks of different size")
    figure, axes = canvas(
        "How time grows",
        f"{where}; exponents fitted to logarithms; 95 % intervals over processes",
        notes,
        size=(9.0, 1.9 + 0.29 * max(len(names), 3) + 0.13 * len(notes)),
        margins=(184.0, 24.0),
    )
    if not names:
        return nothing(axes, "no exponent can be fitted")
    sides = columns(axes, 1 + bool(width), 24)
    titles = ["with batch size (hollow: smaller half)", f"with connections ({width_where})"]
    for side, title in zip(sides, titles, strict=False):
        side.set_title(title)
        side.set_xlabel("exponent: 0 constant, 1 proportional")
        name_rows(side, names if side is sides[0] else [""] * len(names))
        for mark in (0.0, 1.0):
            side.axvline(mark, color=FAINT, lw=1.0, zorder=1)
    for k, name in enumerate(names):
        colour, marker, _ = look(name)
        small, large = batch.get(name, (None, None))
        drawn = [(sides[0], small, -0.17, "white"), (sides[0], large, 0.17, colour)]
        for side, slope, shift, fill in [*drawn, (sides[-1], width.get(name), 0.0, colour)]:
            if slope is not None:
                ends = [slope.low, slope.high]  # not drawn where they are not known
                side.plot(ends, [k + shift] * 2, color=colour, lw=1.4, zorder=2)
                style: dict[str, Any] = {"marker": marker, "mfc": fill, "ms": 6, "ls": "", "zorder": 3}
                side.plot([slope.mean], [k + shift], color=colour, **style)
    for side in sides:
        low, high = side.get_xlim()
        side.set_xlim(max(min(low, -0.1), -1.0), min(max(high, 1.1), 3.0))
    return figure
