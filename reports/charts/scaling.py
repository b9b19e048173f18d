"""Pictures of several workers, threads or ranks, beside one: strong and weak scaling. Rows -> Figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from reports.charts.canvas import FAINT, INK, canvas, columns, nothing, settings
from reports.charts.labels import LineEnd, name_lines
from reports.charts.marks import line
from reports.charts.scales import batch_axis, seconds_axis
from reports.style import look
from reports.tables.scaling import ScaledCell, Workers, stand_ins

TITLES = {
    "strong": "How much faster the same batch is on more {0}",
    "weak": "How much more work several {0} do in the time of one",
}
MOST = 2
"""Numbers of workers that are drawn beside each other, the largest."""


@settings()
def scaling_chart(rows: Sequence[ScaledCell], along: Workers, where: str) -> Figure:
    """Time on the most workers, then the speedup over one worker, a column a number of workers; each against
    the batch size, with the ideal as a dashed line.

    `rows` are of one kind; `along` is what the workers are: threads or ranks.
    """
    kind = rows[0].kind if rows else "strong"
    notes = ["dashed: the ideal; in brackets the share of it that is reached at the largest batch"]
    notes += [f"one of the {along} is another implementation: {name}" for name in stand_ins(rows)]
    figure, axes = canvas(
        TITLES[kind].format(along),
        f"{where}; whiskers: 95 % interval over processes",
        notes,
        size=(9.0, 4.6),
        margins=(84.0, 190.0),
        above=30.0,
    )
    if not rows:
        return nothing(axes, f"nothing was measured on one and on several {along}")
    counts = sorted({one.workers for one in rows})[-MOST:]
    sides = columns(axes, 1 + len(counts), 44)
    most = [one for one in rows if one.workers == counts[-1]]
    sides[0].set_title(f"time on {counts[-1]} {along}; dotted: on one")
    seconds_axis(sides[0], [end for one in most for end in (*one.seconds, *one.alone)], "")
    for name in dict.fromkeys(one.implementation for one in most):
        own = [one for one in most if one.implementation == name]
        x = np.array([one.batch_size for one in own], dtype=float)
        mean, low, high = np.array([one.seconds for one in own]).T
        line(sides[0], name, x, mean, low, high, np.zeros(len(x), dtype=bool))
        sides[0].plot(x, [one.alone.mean for one in own], color=look(name).colour, lw=1.0, ls=":")
    ends: list[LineEnd] = []
    for side, count in zip(sides[1:], counts, strict=True):
        here = [one for one in rows if one.workers == count]
        side.set_title(f"{count} {along} over one")
        side.axhline(count, color=INK, lw=1.0, ls="--", zorder=2)
        side.axhline(1.0, color=FAINT, lw=1.0, zorder=1)
        ends = []
        for name in dict.fromkeys(one.implementation for one in here):
            own = [one for one in here if one.implementation == name]
            x = np.array([one.batch_size for one in own], dtype=float)
            mean, low, high = np.array([one.speedup[:3] for one in own]).T
            words = f"{mean[-1]:.2f}x ({own[-1].efficiency:.0%})"
            ends.append(line(side, name, x, mean, low, high, np.zeros(len(x), dtype=bool), words))
        highest = max([count, *(one.speedup.mean for one in here)])
        side.set_ylim(0.0, 1.15 * highest)
        side.yaxis.set_major_locator(ticker.MaxNLocator(5))
        side.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}x"))
    for side in sides:
        batch_axis(side, {one.batch_size for one in rows})
        if kind == "weak":
            side.set_xlabel(f"samples of each {along.removesuffix('s')}")
    name_lines(sides[-1], ends)
    return figure
