"""How an implementation's figures are drawn: as a line, as a line with whiskers, as a row of bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reports.charts.canvas import FAINT, INK
from reports.charts.labels import LineEnd, name_above
from reports.style import UNITS, look, short_duration

Floats = NDArray[np.float64]


def curve(axes: Axes, name: str, x: Floats, y: Floats, words: str = "", every: int = 1) -> LineEnd:
    """Draw an implementation's line, with a marker at each `every` points; returns its end for the label."""
    colour, marker, dash = look(name)
    style: dict[str, Any] = {"ms": 5.5, "mec": "white", "mew": 0.5, "markevery": every}
    axes.plot(x, y, color=colour, lw=1.6, ls=dash, marker=marker, zorder=3, **style)
    return LineEnd(name, words, float(x[-1]), float(y[-1]))


def line(
    axes: Axes,
    name: str,
    x: Floats,
    y: Floats,
    low: Floats,
    high: Floats,
    guessed: NDArray[np.bool_] | None = None,
    words: str = "",
) -> LineEnd:
    """Draw a line with whiskers, predicted points hollow and the line to them dotted; returns its end."""
    colour, marker, _ = look(name)
    guessed = np.zeros(len(x), dtype=bool) if guessed is None else guessed
    solid = ~guessed
    if guessed.any():
        axes.plot(x, y, color=colour, lw=1.0, ls=":", zorder=2)
        axes.plot(x[guessed], y[guessed], color=colour, ls="", marker=marker, ms=5.5, mfc="white", zorder=4)
    if solid.any():
        curve(axes, name, x[solid], y[solid])
    held = solid & np.isfinite(low) & np.isfinite(high)
    arms = [np.maximum(y - low, 0)[held], np.maximum(high - y, 0)[held]]
    axes.errorbar(x[held], y[held], arms, color=colour, ls="", elinewidth=1.0, capsize=2.5, zorder=3)
    return LineEnd(name, words, float(x[-1]), float(y[-1]))


def ring(axes: Axes, places: Sequence[tuple[float, float, str]]) -> None:
    """Ring each place (x, y in data coordinates), and write its words above the axes."""
    for x, y, _ in places:
        axes.plot([x], [y], marker="o", ms=10, mfc="none", mec=INK, mew=1.1, ls="", zorder=5)
    name_above(axes, sorted(places))


def bars(
    axes: Axes,
    names: Sequence[str],
    values: Floats,
    low: Floats,
    high: Floats,
    words: Sequence[str],
) -> None:
    """Horizontal bars of factors on a logarithmic axis from 1x, the first on top, words at their ends."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xscale("log")
    _make_room(axes, np.concatenate([values, low, high, [1.0]]), max(map(len, words), default=0))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}x"))
    for k, (name, value, left, right, text) in enumerate(zip(names, values, low, high, words, strict=True)):
        colour = look(name).colour
        axes.barh(k, value - 1.0, 0.62, 1.0, color=colour, edgecolor=colour, alpha=0.9)
        if np.isfinite(left) and np.isfinite(right):
            axes.plot([left, right], [k, k], color=INK, lw=1.2, marker="|", ms=6)
        backwards = value < 1.0
        end = np.nanmin([value, left, right]) if backwards else np.nanmax([value, left, right, 1.0])
        side: dict[str, Any] = {"xytext": (-5, 0), "ha": "right"} if backwards else {"xytext": (5, 0)}
        axes.annotate(text, (end, k), textcoords="offset points", va="center", fontsize=8.5, **side)
    axes.axvline(1.0, color=FAINT, lw=1.0)


def bars_to_scale(
    axes: Axes,
    names: Sequence[str],
    seconds: Floats,
    low: Floats,
    high: Floats,
    words: Sequence[str],
    hollow: Sequence[bool],
    most: float,
) -> None:
    """Horizontal bars on a linear axis of times from zero, the first on top, with words at their ends.

    The axis reaches to `most` and leaves room for the words; bars that are longer leave it.
    """
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    pixels = axes.get_window_extent().width
    room = min(0.45, (6.5 * max(map(len, words), default=0) + 12) / pixels)
    ends = np.fmax(seconds, high)[seconds <= most]
    edge = max(most * 1.04, ends.max(initial=0.0) / (1 - room))
    axes.set_xlim(0.0, edge)
    unit = next(size for _, size in UNITS if size <= edge / 2)
    ticks = np.asarray(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0.0, edge / unit)) * unit
    axes.set_xticks(ticks[ticks <= edge * 0.97])
    axes.xaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: short_duration(value) if value else "0")
    )
    for k, (name, value, text, projected) in enumerate(zip(names, seconds, words, hollow, strict=True)):
        colour = look(name).colour
        fill, hatch = ("white", "////") if projected else (colour, None)
        axes.barh(k, value, 0.62, color=fill, edgecolor=colour, hatch=hatch, alpha=0.9)
        if low[k] < high[k]:
            axes.plot([low[k], high[k]], [k, k], color=INK, lw=1.2, marker="|", ms=6)
        if text:
            box = {"fc": "white", "ec": "none", "pad": 1.0}  # a mark's line passes behind it
            end = min(max(value, np.nan_to_num(high[k])), edge)
            at: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(text, (end, k), fontsize=8.5, bbox=box, **at)
    axes.axvline(0.0, color=FAINT, lw=1.0)


def mark(axes: Axes, x: float, words: str) -> None:
    """A dashed line at `x` through the axes, with words above it that end there."""
    axes.axvline(x, color=INK, lw=1.0, ls="--")
    axes.annotate(
        words,
        (x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8.5,
    )


def _make_room(axes: Axes, values: Floats, longest: int) -> None:
    """Set limits and ticks of bars: room for labels of `longest` characters, no tick at an edge."""
    logs = np.log10(values[np.isfinite(values)])
    pixels = axes.get_window_extent().width
    share = min(0.4, (6.5 * longest + 12) / pixels)
    left = share if logs.min() < -1e-3 else 0.0
    wide = max(np.ptp(logs), 0.3) / (1 - share - left)
    low = logs.min() - wide * left
    axes.set_xlim(10**low, 10 ** (low + wide))
    step = max(1, int(np.ceil(wide * 46 / pixels)))
    air = wide * 12 / pixels
    powers = np.arange(np.ceil(low + air), np.floor(low + wide - air) + 1, step)
    axes.set_xticks(10.0**powers)
    axes.xaxis.set_minor_locator(ticker.NullLocator())
