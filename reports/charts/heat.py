"""The table of speedups in colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.charts.canvas import INK, MARGIN, canvas, settings
from reports.charts.words import cell_words, describe, missing
from reports.style import UNMEASURED, darker, look, plain

CELL = 78.0, 36.0
"""Width and height of a cell, in pixels."""


@settings()
def heat_chart(panel: pd.DataFrame, baseline: str, shape: str = "") -> Figure:
    """A table in colours: one row per batch size, one column per implementation, one mark per status.

    The baseline's column is in absolute time, the others are factors, with half the interval's width below.
    """
    names = sorted(dict.fromkeys(panel["implementation"]), key=lambda name: name != baseline)
    sizes = sorted(panel["batch_size"].unique())
    notes = missing(panel)
    left, wide, tall = 76.0, CELL[0] * len(names), CELL[1] * len(sizes)
    width = max(left + wide + 80, 640)
    foot = 13.0 * len(notes) + 2 * MARGIN
    height = 150.0 + max(tall, 72.0) + foot
    figure, axes = canvas(
        f"Times as fast as {plain(baseline)}, and its own time",
        f"{describe(panel, shape)}; below each factor half its interval's width",
        notes,
        size=(width / 100, height / 100),
        margins=(left, width - left - wide),
    )
    axes.set_position((left / width, foot / height, wide / width, tall / height))
    axes.set(xlim=(0, len(names)), ylim=(len(sizes), 0), xticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(sizes)) + 0.5, [f"m = {size}" for size in sizes])
    cell = panel.set_index(["implementation", "batch_size"])
    for column, name in enumerate(names):
        axes.annotate(
            plain(name, 20),
            (column + 0.25, 0),
            (0, 4),
            textcoords="offset points",
            rotation=28,
            va="bottom",
            color=darker(look(name).colour),
            annotation_clip=False,
        )
        for row, size in enumerate(sizes):
            if (name, size) in cell.index:
                _cell(axes, column, row, cell.loc[(name, size)], name == baseline)
    return figure


def _cell(axes: Axes, column: int, row: int, found: pd.Series, absolute: bool) -> None:
    status, speedup = found["status"], found["speedup"]
    colour, hatch = UNMEASURED[status][2:] if status in UNMEASURED else ("#f4f4f4", "")
    if status == "measured" and not absolute and np.isfinite(speedup):
        colour = heat_colour(speedup)
    edge = "#c9c9c9" if hatch else colour
    axes.add_patch(
        Rectangle((column + 0.02, row + 0.03), 0.96, 0.94, fc=colour, ec=edge, hatch=hatch, lw=0.5)
    )
    big, small = cell_words(found, absolute)
    dark = np.dot([0.299, 0.587, 0.114], to_rgb(colour)) < 0.55
    style: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": "white" if dark else INK,
        "bbox": {"facecolor": colour, "edgecolor": "none", "pad": 1.0} if hatch else None,
    }
    weight = "bold" if status == "wrong" else "normal"
    middle = row + (0.38 if small else 0.5)
    axes.text(column + 0.5, middle, big, fontsize=8.5, fontweight=weight, **style)
    axes.text(column + 0.5, row + 0.74, small, fontsize=6.5, **style)


def heat_colour(speedup: float) -> str:
    """Blue for faster, brown for slower, grey within a tenth of 1x; a step of tint for each factor."""
    off = np.log10(speedup)
    if abs(off) < np.log10(1.1):
        return "#e4e4e4"
    light, dark, far = ("#deebf7", "#084594", 3.5) if off > 0 else ("#fae8d6", "#964b0a", 1.5)
    share = min(abs(off) / far, 1.0)
    return to_hex((1 - share) * np.array(to_rgb(light)) + share * np.array(to_rgb(dark)))
