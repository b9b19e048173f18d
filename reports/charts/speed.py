"""Pictures of time and speedup against batch size, and of what each idea buys. Frame -> Figure.

Every function takes one panel of `Analysis.speedups` (one workload, phase, dtype and thread count), draws
what is there, and writes below it what is missing and why.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.charts.canvas import FAINT, MARGIN, canvas, columns, nothing, settings
from reports.charts.labels import name_lines, name_rows
from reports.charts.marks import bars, line, ring
from reports.charts.scales import batch_axis, factor_axis, seconds_axis
from reports.charts.words import conditions, describe, missing, whiskers
from reports.style import darker, digits, duration, factor, look, plain
from reports.tables.crossovers import notable_crossovers


@settings()
def time_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """Time of a call against batch size, one line per implementation; rings where the fastest changes."""
    guess = panel["status"] == "skipped"
    drawn = panel.assign(
        value=panel["seconds"].where(~guess, panel["predicted_seconds"]),
        least=panel["low"],
        most=panel["high"],
        guess=guess,
    )
    phase = "gradients" if panel.empty else plain(str(panel["phase"].iloc[0]))
    subtitle = f"{describe(panel, shape)}; {whiskers(panel)}"
    figure, axes = canvas(f"Time of one call of {phase}", subtitle, missing(panel))
    race(axes, drawn, baseline, duration, seconds_axis)
    return figure


@settings()
def speedup_chart(panel: pd.DataFrame, baseline: str, shape: str = "", title: str = "") -> Figure:
    """Speedup over `baseline` against batch size; rings where lines cross."""
    drawn = panel.assign(
        value=panel["speedup"],
        least=panel["speedup_low"],
        most=panel["speedup_high"],
        guess=panel["basis"] == "projected",
    )
    notes = ["hollow: rests on a predicted time"] if drawn["guess"].any() else []
    for _, first in panel.head(1).iterrows():
        if conditions(first, "baseline_") != conditions(first):
            notes.append(f"1x: {plain(baseline)} in {conditions(first, 'baseline_')}")
    subtitle = f"{describe(panel, shape)}; {whiskers(panel)}"
    title = title or f"Times as fast as {plain(baseline)}"
    figure, axes = canvas(title, subtitle, [*notes, *missing(panel)])
    axes.axhline(1.0, color=FAINT, lw=1.0, zorder=1)
    race(axes, drawn, baseline, factor, factor_axis)
    return figure


def race(
    axes: Axes,
    drawn: pd.DataFrame,
    baseline: str | None,
    words: Callable[[float], str],
    scale: Callable[[Axes, list[float]], None],
) -> None:
    """Lines and names of a chart whose frame has `value`, `least`, `most` and `guess`.

    With a baseline, rings where it is passed and where the fastest implementation changes.
    """
    drawn = drawn[np.isfinite(drawn["value"]) & (drawn["value"] > 0)]
    if drawn.empty:
        nothing(axes, "no cell was measured")
        return
    scale(axes, [*drawn["value"], *drawn["least"], *drawn["most"]])
    batch_axis(axes, drawn["batch_size"])
    ends = []
    for name, group in drawn.groupby("implementation", sort=False):
        x, y, low, high = (group[c].to_numpy() for c in ("batch_size", "value", "least", "most"))
        guessed = group["guess"].to_numpy()
        ends.append(line(axes, str(name), x, y, low, high, guessed, "~" * int(guessed[-1]) + words(y[-1])))
    name_lines(axes, ends)
    if baseline is None:
        return
    places = []
    for crossing in notable_crossovers(drawn, baseline):
        # A crossing lies between measured times: so does its ring, even where the baseline's are predicted.
        passer = drawn[(drawn["implementation"] == crossing.passer) & (drawn["status"] == "measured")]
        at = np.interp(np.log(crossing.batch_size), np.log(passer["batch_size"]), np.log(passer["value"]))
        places.append((crossing.batch_size, float(np.exp(at)), f"m ≈ {digits(crossing.batch_size, 2)}"))
    ring(axes, places)


@settings()
def ladder_chart(rungs: pd.DataFrame, sizes: Sequence[int], where: str) -> Figure:
    """The factor of each idea: a row for each rung, a column for each batch size (small, middle, large).

    `rungs` is `Analysis.ladder`; `where` is the panel that it is of.
    """
    names = list(dict.fromkeys(rungs["implementation"]))
    figure, axes = canvas(
        "What each idea buys",
        f"{where}; times as fast as the implementation named second",
        size=(10.0, 1.9 + 0.42 * max(len(names), 2)),
        margins=(MARGIN + 290, MARGIN),
        below=24.0,
    )
    if not names or not sizes:
        return nothing(axes, "no implementation was measured together with the one that it differs from")
    first = rungs.drop_duplicates("implementation").set_index("implementation")
    sides = columns(axes, len(sizes), 30)
    for side, size in zip(sides, sizes, strict=True):
        rows = rungs[rungs["batch_size"] == size].set_index("implementation").reindex(names)
        values = rows["factor"].to_numpy(dtype=float)
        words = [factor(value) if np.isfinite(value) else "not raced" for value in values]
        low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
        bars(side, names, np.nan_to_num(values, nan=1.0), low, high, words)
        side.set_title(f"m = {size}")
    for k, name in enumerate(names):
        x, y = sides[0].transData.transform((1.0, k)) / figure.bbox.size
        x = MARGIN / figure.bbox.width
        below, idea = (plain(str(first.loc[name, key]), 84) for key in ("differs_from", "idea"))
        head = f"{plain(name, 20)}  over {plain(below, 20)}"
        figure.text(x, y + 5 / figure.bbox.height, head, va="bottom", color=darker(look(name).colour))
        idea = "\n".join(textwrap.wrap(idea.replace("`", ""), 44)[:2])
        figure.text(x, y + 5 / figure.bbox.height, idea, va="top", fontsize=7.5, color=FAINT)
    return figure


@settings()
def interpreters_chart(panel: pd.DataFrame, under: Mapping[str, str], size: int, where: str) -> Figure:
    """One file under several interpreters, beside other implementations: one bar each, the slowest first.

    `under` names the interpreter of each implementation that is that file; `size` is the batch size.
    """
    rows = panel[(panel["batch_size"] == size) & (panel["status"] == "measured")]
    rows = rows[np.isfinite(rows["speedup"])].sort_values("speedup")
    over = plain(str(panel["baseline"].iloc[0]), 20)
    figure, axes = canvas(
        "The same loops under every interpreter",
        f"{where}, m = {size}; times as fast as {over}",
        size=(9.0, 1.7 + 0.34 * max(len(rows), 2)),
        margins=(184.0, MARGIN),
    )
    if rows.empty:
        return nothing(axes, "no implementation was measured")
    names = [str(name) for name in rows["implementation"]]
    values, low, high = rows[["speedup", "speedup_low", "speedup_high"]].to_numpy(dtype=float).T
    bars(axes, names, values, low, high, list(map(factor, values)))
    words = [f"loops, {plain(under[name], 18)}" if name in under else plain(name, 20) for name in names]
    name_rows(axes, names, words)
    return figure
