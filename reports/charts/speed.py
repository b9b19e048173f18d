"""The pictures: each a function from a frame to a matplotlib Figure; no files, no global state.

Every function takes one panel of `tables.speedups` (one workload, phase, dtype and thread count), draws what
is there, and says below it what is missing and why.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.charts.canvas import (
    FACTORS,
    FAINT,
    INK,
    MARGIN,
    bars,
    batch_axis,
    canvas,
    columns,
    describe,
    factor_axis,
    line,
    missing,
    name_lines,
    nothing,
    ring,
    seconds_axis,
    settings,
    whiskers,
)
from reports.style import MARKS, darker, digits, duration, factor, look, plain
from reports.tables.frames import notable_crossovers


@settings()
def time_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """Time of one call against batch size, one line an implementation; rings where the fastest implementation
    changes.
    """
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
    race(axes, drawn, baseline, duration, seconds_axis)
    return figure


@settings()
def speedup_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """How many times as fast as `baseline`, against batch size; rings where lines cross."""
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
    race(axes, drawn, baseline, factor, factor_axis)
    return figure


def race(
    axes: Axes,
    drawn: pd.DataFrame,
    baseline: str | None,
    say: Callable[[float], str],
    scale: Callable[[Axes, list[float]], None],
) -> None:
    """Lines and names of a chart whose frame has `value`, `least`, `most` and `guess`.

    With a baseline, rings where it is passed and where the fastest implementation changes.
    """
    drawn = drawn[np.isfinite(drawn["value"]) & (drawn["value"] > 0)]
    if drawn.empty:
        nothing(axes, "nothing to draw: no cell was measured")
        return
    scale(axes, [*drawn["value"], *drawn["least"], *drawn["most"]])
    sizes = sorted(drawn["batch_size"].unique())
    batch_axis(axes, sizes)
    ends = []
    for name, group in drawn.groupby("implementation", sort=False):
        x, y, low, high = (group[c].to_numpy() for c in ("batch_size", "value", "least", "most"))
        line(axes, str(name), x, y, low, high, group["guess"].to_numpy())
        words = ("~" if group["guess"].iloc[-1] else "") + say(y[-1])
        ends.append((str(name), words, float(x[-1]), float(y[-1])))
    texts = name_lines(axes, ends)
    batch_axis(axes, sizes)  # again: the names took some of the room of the ticks
    if baseline is None:
        return
    places = []
    for crossing in notable_crossovers(drawn, baseline):
        # A crossing lies between measured times: so does its ring, even where the baseline's are predicted.
        passer = drawn[(drawn["implementation"] == crossing.passer) & (drawn["status"] == "measured")]
        at = np.interp(np.log(crossing.batch_size), np.log(passer["batch_size"]), np.log(passer["value"]))
        places.append((crossing.batch_size, float(np.exp(at)), f"m ≈ {digits(crossing.batch_size, 2)}"))
    ring(axes, places, texts)


@settings()
def ladder_chart(rungs: pd.DataFrame, sizes: Sequence[int], where: str) -> Figure:
    """What each idea multiplies: a row a rung, a column a batch size (small, middle, large).

    `rungs` is `derived.ladder`; `where` says which panel it is of.
    """
    names = list(dict.fromkeys(rungs["implementation"]))
    figure, axes = canvas(
        "What each idea buys",
        f"{where}; times as fast as the rung it stands on",
        [] if len(names) else ["no implementation was measured together with the one that it differs from"],
        size=(10.0, 1.9 + 0.42 * max(len(names), 2)),
        margins=(MARGIN, MARGIN),
        above=30.0,
        below=24.0,
    )
    if not names or not sizes:
        nothing(axes, "nothing to draw")
        return figure
    first = rungs.drop_duplicates("implementation").set_index("implementation")
    sides = columns(axes, len(sizes), 30, left=290)
    for side, size in zip(sides, sizes, strict=True):
        rows = rungs[rungs["batch_size"] == size].set_index("implementation").reindex(names)
        values = rows["factor"].to_numpy(dtype=float)
        shown = np.where(np.isfinite(values), values, 1.0)
        words = [factor(value) if np.isfinite(value) else "not raced" for value in values]
        bars(side, names, shown, rows["low"].to_numpy(), rows["high"].to_numpy(), words)
        side.xaxis.set_major_formatter(FACTORS)
        side.set_title(f"m = {size}", fontsize=9.5, loc="left")
    width = figure.bbox.width
    for k, name in enumerate(names):
        _, y = sides[0].transData.transform((1.0, k))
        at = MARGIN / width, (y + 5) / figure.bbox.height
        below = plain(str(first.loc[name, "differs_from"]), 20)
        figure.text(*at, f"{plain(name, 20)}  over {below}", va="bottom", color=darker(look(name).colour))
        idea = textwrap.wrap(plain(str(first.loc[name, "idea"]), 84), 44)[:2]
        figure.text(*at, "\n".join(idea), va="top", fontsize=7.5, color=FAINT)
    return figure


@settings()
def heat_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """A table in colours: a row a batch size, a column an implementation; every status with its own mark.

    The baseline's column is in absolute time, the others are factors, with half the interval's width below.
    """
    names = list(dict.fromkeys(panel["implementation"]))
    names.sort(key=lambda name: name != baseline)
    sizes = sorted(panel["batch_size"].unique())
    wide, tall, left = 78.0, 36.0, 76.0
    notes = missing(panel)
    width = max(left + wide * len(names) + 80, 640)
    words, slanted, foot = 66.0, 84.0, 13.0 * len(notes) + 2 * MARGIN
    height = words + slanted + tall * max(len(sizes), 2) + foot
    figure, axes = canvas(
        f"Times as fast as {plain(baseline)}, and its own time",
        f"{describe(panel, shape)}; below each factor half its interval's width",
        notes,
        size=(width / 100, height / 100),
        margins=(left, width - left - wide * max(len(names), 1)),
    )
    if panel.empty:
        nothing(axes, "nothing to draw: no cell was raced")
        return figure
    box = axes.get_position()
    axes.set_position((box.x0, foot / height, box.width, tall * len(sizes) / height))
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(sizes), 0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(sizes)) + 0.5, [f"m = {size}" for size in sizes])
    axes.set_xticks([])
    cell = panel.set_index(["implementation", "batch_size"])
    for column, name in enumerate(names):
        axes.annotate(
            plain(name, 20),
            (column + 0.25, 0),
            (0, 4),
            textcoords="offset points",
            rotation=28,
            ha="left",
            va="bottom",
            color=darker(look(name).colour),
            annotation_clip=False,
        )
        for row, size in enumerate(sizes):
            if (name, size) in cell.index:
                _heat_cell(axes, column, row, cell.loc[(name, size)], name == baseline)
    return figure


def _heat_cell(axes: Axes, column: int, row: int, found: pd.Series, absolute: bool) -> None:
    status, speedup = found["status"], found["speedup"]
    measured = status == "measured"
    colour, hatch = HEAT_MARKS.get(status, ("#ffffff", ""))
    if measured:
        colour = "#f4f4f4" if absolute or not np.isfinite(speedup) else heat_colour(speedup)
    axes.add_patch(
        Rectangle(
            (column + 0.02, row + 0.03),
            0.96,
            0.94,
            fc=colour,
            ec="#c9c9c9" if hatch else colour,
            hatch=hatch,
            lw=0.5,
        )
    )
    big, small = cell_words(found, absolute)
    ink = "white" if measured and _dark(colour) else INK
    weight = "bold" if status == "wrong" else "normal"
    patch = {"facecolor": colour, "edgecolor": "none", "pad": 1.0} if hatch else None
    axes.text(
        column + 0.5,
        row + (0.38 if small else 0.5),
        big,
        ha="center",
        va="center",
        fontsize=8.5,
        color=ink,
        fontweight=weight,
        bbox=patch,
    )
    if small:
        axes.text(
            column + 0.5, row + 0.74, small, ha="center", va="center", fontsize=6.5, color=ink, bbox=patch
        )


HEAT_MARKS = {
    "skipped": ("#ffffff", "..."),
    "unsupported": ("#ffffff", "///"),
    "unavailable": ("#ffffff", ""),
    "wrong": ("#f6c7c0", "xxx"),
    "failed": ("#fbe3c0", "\\\\\\"),
    "timed out": ("#fbe3c0", "---"),
}
"""Fill and hatch of a cell that was not measured; its words stand in it, too."""


def heat_colour(speedup: float) -> str:
    """Blue for faster, brown for slower, grey within a tenth of 1x; a step of tint for each factor."""
    decades_off = np.log10(speedup)
    if abs(decades_off) < np.log10(1.1):
        return "#e4e4e4"
    ends = ((222, 235, 247), (8, 69, 148)) if decades_off > 0 else ((250, 232, 214), (150, 75, 10))
    share = min(abs(decades_off) / (3.5 if decades_off > 0 else 1.5), 1.0)
    mixed = [round(a + (b - a) * share) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _dark(colour: str) -> bool:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def cell_words(found: pd.Series, absolute: bool) -> tuple[str, str]:
    """A cell's large and small words: factor and half-width, time, or mark and prediction."""
    if found["status"] != "measured":
        guess = found["predicted_seconds"]
        return MARKS[found["status"]], f"~{duration(guess)}" if np.isfinite(guess) else ""
    if absolute or not np.isfinite(found["speedup"]):
        return duration(found["seconds"]), ""
    big = ("~" if found["basis"] == "projected" else "") + factor(found["speedup"])
    if found["pairs"] > 1:
        half = 100 * (np.sqrt(found["speedup_high"] / found["speedup_low"]) - 1)
        return big, f"±{half:.{1 if half < 9.95 else 0}f} %"
    return big, ""
