"""Pictures of how implementations use the machine: ceilings, accuracy, memory, growth. Frame -> Figure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from reports.charts import layout
from reports.charts.canvas import (
    FACTORS,
    FAINT,
    INK,
    MARGIN,
    along,
    batch_axis,
    byte_axis,
    canvas,
    columns,
    decades,
    describe,
    figure_of,
    name_lines,
    nothing,
    settings,
)
from reports.style import darker, digits, look, plain, size
from reports.tables.derived import Roof
from reports.tables.means import Slope


@settings()
def roofline_chart(panel: pd.DataFrame, roof: Roof | None, shape: str = "") -> Figure:
    """Operations a second against operations a byte, one line an implementation through its batch sizes.

    `roof` is what the machine can do; the figure at a line's end is the share of that at the largest batch.
    """
    timed = panel[(panel["status"] == "measured") & (panel["flops"] > 0) & (panel["bytes"] > 0)]
    notes = [] if roof else ["the record holds no calibration: neither ceiling nor shares are known"]
    figure, axes = canvas(
        "How near to what the machine can do",
        f"{describe(panel, shape)}; operations of the products, least bytes moved; "
        "% of the ceiling at the largest batch",
        notes,
    )
    if timed.empty:
        nothing(axes, "nothing to draw: no cell has a time and a count of operations")
        return figure
    timed = timed.assign(rate=timed["flops"] / timed["seconds"], intensity=timed["flops"] / timed["bytes"])
    least, most = timed["intensity"].min() / 1.3, timed["intensity"].max() * 1.3
    reach = np.geomspace(least, most, 100)
    ceiling = np.minimum(roof.flops, roof.bytes * reach) if roof else np.array([])
    decades(axes, [*timed["rate"], *ceiling])
    axes.set_xscale("log")
    axes.set_xlim(least, most)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value / 1e9:,g}"))
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel("operations per byte")
    axes.text(0, 1.01, "GFLOP/s", transform=axes.transAxes, fontsize=8.5, color=FAINT)
    if len(ceiling):
        axes.plot(reach, ceiling, color=INK, lw=1.4, zorder=2)
    ends = []
    for name, rows in timed.groupby("implementation", sort=False):
        colour, marker, dash = look(str(name))
        x, y = rows["intensity"].to_numpy(), rows["rate"].to_numpy()
        axes.plot(x, y, color=colour, ls=dash, marker=marker, ms=4.5, lw=1.3, mec="white", mew=0.4, zorder=3)
        share = y[-1] / min(roof.flops, roof.bytes * x[-1]) if roof else np.nan
        words = f"{digits(100 * share, 2)} %" if np.isfinite(share) else f"{digits(y[-1] / 1e9)} GFLOP/s"
        ends.append((str(name), words, float(x[-1]), float(y[-1])))
    name_lines(axes, ends)
    if roof:
        axes.text(
            least * 1.05,
            ceiling[-1],
            f"{digits(roof.flops / 1e9)} GFLOP/s (large product), {digits(roof.bytes / 1e9)} GB/s (triad)",
            fontsize=8,
            va="bottom",
        )
    return figure


@settings()
def accuracy_chart(table: pd.DataFrame, where: str) -> Figure:
    """Error against speed, at one batch size: a point an implementation and dtype; the best are at the lower
    right.

    `table`: rows of `tables.speedups` at one batch size, any dtypes. The whisker reaches down to the median
    error. Errors are in units in the last place of each dtype, against the exact reference.
    """
    drawn = table[np.isfinite(table["error_ulp"]) & np.isfinite(table["speedup"])]
    figure, axes = canvas(
        "Accuracy against speed",
        f"{where}; largest error, whisker down to the median; filled float64, hollow float32",
        size=(9.0, 5.6),
        margins=(66.0, 40.0),
    )
    if drawn.empty:
        nothing(axes, "nothing to draw: the record holds no errors")
        return figure
    floor = 0.01
    largest = drawn["error_ulp"].clip(lower=floor).to_numpy(dtype=float)
    median = drawn["error_ulp_median"].fillna(drawn["error_ulp"]).clip(lower=floor).to_numpy(dtype=float)
    decades(axes, [*largest, *median])
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.text(0, 1.01, "error (ulp)", transform=axes.transAxes, fontsize=8.5, color=FAINT)
    axes.set_xscale("log")
    fast = drawn["speedup"].to_numpy(dtype=float)
    spread = max((fast.max() / fast.min()) ** 0.06, 1.3)
    axes.set_xlim(fast.min() / spread, fast.max() * spread**2)
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(FACTORS)
    axes.set_xlabel("times as fast as the baseline")
    points = axes.transData.transform(np.column_stack([fast, largest]))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    feet = axes.transData.transform(np.column_stack([fast, median]))
    whiskers = [
        Bbox.from_bounds(x - 1, y - 1, 2, 2)
        for pair in zip(points, feet, strict=True)
        for x, y in along(np.array(pair))
    ]
    for row, x, y, low, point in zip(drawn.to_dict("records"), fast, largest, median, points, strict=True):
        colour, marker, _ = look(str(row["implementation"]))
        hollow = row["dtype"] == "float32"
        axes.plot([x, x], [low, y], color=colour, lw=1.0, zorder=2)
        axes.plot(
            [x], [y], marker=marker, ms=7, ls="", zorder=3, color=colour, mfc="white" if hollow else colour
        )
        text = figure.text(
            0, 0, plain(str(row["implementation"])), fontsize=8.5, color=darker(colour), va="bottom"
        )
        box = layout.settle(text, axes, point, taken, whiskers, colour)
        if box is not None:
            taken.append(box)
    return figure


@settings()
def memory_chart(panel: pd.DataFrame, shape: str = "") -> Figure:
    """Peak bytes of a call beyond what stood before it, against batch size, beside the least there is."""
    drawn = panel[panel["peak_bytes"] > 0]
    figure, axes = canvas("Memory of one call", f"{describe(panel, shape)}; peak beyond what stood before it")
    if drawn.empty:
        nothing(axes, "nothing to draw: the record holds no allocations")
        return figure
    least = panel.groupby("batch_size")["least_bytes"].max().dropna()
    byte_axis(axes, [*drawn["peak_bytes"], *least])
    sizes = sorted(panel["batch_size"].unique())
    batch_axis(axes, sizes)
    ends = []
    for name, rows in drawn.groupby("implementation", sort=False):
        colour, marker, dash = look(str(name))
        x, y = rows["batch_size"].to_numpy(), rows["peak_bytes"].to_numpy()
        axes.plot(x, y, color=colour, ls=dash, marker=marker, ms=5, lw=1.4, mec="white", mew=0.5)
        ends.append((str(name), size(y[-1]), float(x[-1]), float(y[-1])))
    if len(least):
        axes.plot(least.index.to_numpy(), least.to_numpy(), color=INK, lw=1.4, ls="--")
    name_lines(axes, ends)
    batch_axis(axes, sizes)
    if len(least):
        axes.annotate(
            "the least that must be held",
            (float(least.index[0]), float(least.iloc[0])),
            (2, -13),
            textcoords="offset points",
            fontsize=8.5,
        )
    return figure


@settings()
def growth_chart(
    batch: Mapping[str, tuple[Slope, Slope]], width: Mapping[str, Slope], where: str, width_where: str
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
        margins=(MARGIN, 24.0),
        above=30.0,
    )
    if not names:
        nothing(axes, "nothing to draw")
        return figure
    sides = columns(axes, 1 + bool(width), 24, left=150)
    titles = ["with batch size (hollow: smaller half)"] + [f"with connections ({width_where})"] * bool(width)
    for side, title in zip(sides, titles, strict=True):
        side.set_title(title, fontsize=9, loc="left")
        side.set_ylim(len(names) - 0.4, -0.6)
        side.set_yticks(range(len(names)), [])
        side.tick_params(length=0)
        for mark in (0.0, 1.0):
            side.axvline(mark, color=FAINT, lw=1.0, zorder=1)
        side.set_xlabel("exponent: 0 constant, 1 proportional", fontsize=8.5)
    for k, name in enumerate(names):
        colour, marker, _ = look(name)
        small, large = batch.get(name, (None, None))
        drawn = [(sides[0], small, -0.17, "white"), (sides[0], large, 0.17, colour)]
        if width:
            drawn.append((sides[-1], width.get(name), 0.0, colour))
        for side, slope, shift, fill in drawn:
            if slope is None:
                continue
            if np.isfinite(slope.low):
                side.plot([slope.low, slope.high], [k + shift] * 2, color=colour, lw=1.4, zorder=2)
            side.plot(
                [slope.value], [k + shift], color=colour, marker=marker, mfc=fill, ms=6, ls="", zorder=3
            )
    for side in sides:
        low, high = side.get_xlim()
        side.set_xlim(max(min(low, -0.1), -1.0), min(max(high, 1.1), 3.0))
    figure = figure_of(sides[0])
    for k, name in enumerate(names):
        _, y = sides[0].transData.transform((0.0, k))
        figure.text(
            MARGIN / figure.bbox.width,
            y / figure.bbox.height,
            plain(name, 22),
            va="center",
            color=darker(look(name).colour),
        )
    return figure
