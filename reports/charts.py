"""The pictures: each a function from a frame to a matplotlib Figure; no files, no global state.

Every function takes one panel of `tables.speedups` (one workload, phase, dtype and thread count), draws what
is there, and says below it what is missing and why.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.canvas import (
    FAINT,
    batch_axis,
    canvas,
    describe,
    factor_axis,
    line,
    missing,
    name_lines,
    ring,
    seconds_axis,
    settings,
    whiskers,
)
from reports.style import digits, duration, factor, plain
from reports.tables import notable_crossovers


@settings()
def time_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """Time of one call against batch size, one line a racer; rings where the fastest racer changes."""
    guess = panel["status"] == "skipped"
    drawn = panel.assign(
        value=panel["seconds"].where(~guess, panel["predicted_seconds"]),
        least=panel["low"],
        most=panel["high"],
        guess=guess,
    )
    verb = "gradients" if panel.empty else plain(str(panel["phase"].iloc[0]))
    figure, axes = canvas(
        f"Time of one call of {verb}", f"{describe(panel, shape)}; {whiskers(panel)}", missing(panel)
    )
    _race(axes, drawn, baseline, duration, seconds_axis)
    return figure


@settings()
def speedup_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """How many times as fast as `baseline`, against batch size; rings where racers pass each other."""
    drawn = panel.assign(
        value=panel["speedup"],
        least=panel["speedup_low"],
        most=panel["speedup_high"],
        guess=panel["basis"] == "projected",
    )
    notes = missing(panel)
    lent = panel[
        (panel["baseline_dtype"] != panel["dtype"]) | (panel["baseline_threads"] != panel["threads"])
    ]
    if len(lent):
        first = lent.iloc[0]
        notes.insert(
            0,
            f"1x: {plain(baseline)} in {plain(str(first['baseline_dtype']))}, threads: "
            f"{first['baseline_threads']}",
        )
    if drawn["guess"].any():
        notes.insert(0, "hollow: rests on a predicted time")
    figure, axes = canvas(
        f"Times as fast as {plain(baseline)}", f"{describe(panel, shape)}; {whiskers(panel)}", notes
    )
    axes.axhline(1.0, color=FAINT, lw=1.0, zorder=1)
    _race(axes, drawn, baseline, factor, factor_axis)
    return figure


def _race(
    axes: Axes,
    drawn: pd.DataFrame,
    baseline: str,
    figure_of: Callable[[float], str],
    scale: Callable[[Axes, list[float]], None],
) -> None:
    """Lines, names and rings of a chart whose frame has `value`, `least`, `most` and `guess`."""
    drawn = drawn[np.isfinite(drawn["value"]) & (drawn["value"] > 0)]
    if drawn.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing to draw: no cell was measured", ha="center", transform=axes.transAxes)
        return
    scale(axes, [*drawn["value"], *drawn["least"], *drawn["most"]])
    sizes = sorted(drawn["batch_size"].unique())
    batch_axis(axes, sizes)
    ends = []
    for name, group in drawn.groupby("implementation", sort=False):
        x, y, low, high = (group[c].to_numpy() for c in ("batch_size", "value", "least", "most"))
        line(axes, str(name), x, y, low, high, group["guess"].to_numpy())
        ends.append((str(name), figure_of(y[-1]), float(x[-1]), float(y[-1])))
    texts = name_lines(axes, ends)
    batch_axis(axes, sizes)  # again: the names took some of the room of the ticks
    places = []
    for crossing in notable_crossovers(drawn, baseline):
        passer = drawn[(drawn["implementation"] == crossing.passer) & ~drawn["guess"]]
        at = np.interp(np.log(crossing.batch_size), np.log(passer["batch_size"]), np.log(passer["value"]))
        places.append((crossing.batch_size, float(np.exp(at)), f"m ≈ {digits(crossing.batch_size, 2)}"))
    ring(axes, places, texts)
