"""The picture of a trend: every commit's time, the levels, and where they begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from reports.charts.canvas import FAINT, INK, canvas, settings
from reports.history.trends import TimelineCommit, Trend
from reports.style import cores, darker, duration, look, plain

COMMITS_NAMED = 8
LEAST_HEIGHT = 0.05
"""The least range above and below the median, as a share of it, so that noise of 1 % looks small."""


@settings()
def trend_chart(trend: Trend, points: Sequence[TimelineCommit]) -> Figure:
    """Time of one call against the commits of the timeline, each step marked with its commit and its size."""
    track = trend.track
    first = track.series
    figure, axes = canvas(
        f"{plain(first.implementation)}: {plain(first.phase)}, m = {first.batch_size}",
        f"{plain(first.workload)}; {first.dtype}, {cores(first.threads)}; {first.how}; "
        "a dot is the median of a commit's processes, a line the level",
        size=(9.0, 3.4),
        margins=(86.0, 40.0),
        above=12.0,
    )
    colour, _, _ = look(first.implementation)
    seconds = np.exp(track.values)
    axes.plot(track.at, seconds, ls="", marker=".", ms=4.5, color=colour, alpha=0.55, zorder=2)
    for start, stop, level in trend.levels:
        axes.plot([start, stop], [level, level], color=darker(colour), lw=1.8, zorder=3)
    low, high = axes.get_ylim()
    middle = float(np.median(seconds))
    low, high = min(low, middle * (1 - LEAST_HEIGHT)), max(high, middle * (1 + LEAST_HEIGHT))
    room = 0.22 * (high - low)  # for the words at the steps
    axes.set(xlim=(-0.5, max(len(points) - 0.5, 1.0)), xlabel="commit, oldest first")
    axes.set(ylim=(low, high + room), ylabel="time of one call")
    for k, step in enumerate(trend.steps):
        axes.axvline(step.began - 0.5, color=FAINT, lw=0.9, ls="--", zorder=1)
        right = step.began > 0.75 * len(points)
        axes.annotate(
            f"{step.change:+.1%} at {points[step.began].sha[:8]}",
            (step.began - 0.5, 1.0 - 0.08 * (k % 2)),  # neighbours in two lines, so as not to overlap
            xycoords=("data", "axes fraction"),
            xytext=(-4 if right else 4, -2),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=8.5,
            color=INK,
        )
    named = np.unique(np.linspace(0, len(points) - 1, min(COMMITS_NAMED, len(points))).round().astype(int))
    axes.set_xticks(named, [points[k].sha[:8] for k in named])
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: duration(value)))
    return figure
