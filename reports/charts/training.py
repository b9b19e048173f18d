"""Pictures of training: break-even, loss against time, the article's experiment. Frame -> Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from reports.charts.canvas import (
    MARGIN,
    SECONDS,
    bars,
    canvas,
    decades,
    name_lines,
    nothing,
    ring,
    seconds_axis,
    settings,
)
from reports.style import darker, digits, duration, factor, look, plain
from reports.tables.derived import Course, Total, leads
from reports.tables.means import Floats

WARM = (
    "Starts are those of the race, which may have found on disk what was compiled before; a race with "
    "--survey has cold ones."
)


@settings()
def break_even_chart(field: Sequence[Course], where: str) -> Figure:
    """Time since the start against steps done: construction and compilation, then so much a step.

    Rings where the lead changes: from there on, the start is repaid.
    """
    figure, axes = canvas(
        "How many steps repay compilation",
        f"{where}; time since construction began; ringed: a new implementation is ahead",
        [] if all(course.cold for course in field) else [WARM],
    )
    if not field:
        nothing(axes, "nothing to draw: no start-up times are on record")
        return figure
    changes = leads(list(field))
    last = max(1e5, 10 * changes[-1].steps)
    steps = np.geomspace(1, last, 200)
    seconds_axis(axes, [float(value) for course in field for value in course.after(steps)[[0, -1]]])
    axes.set_xscale("log")
    axes.set_xlim(1, last)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    ends = []
    for course in field:
        colour, marker, dash = look(course.implementation)
        spent = course.after(steps)
        axes.plot(steps, spent, color=colour, ls=dash, lw=1.5, marker=marker, markevery=(0, 40), ms=5)
        ends.append((course.implementation, "", float(last), float(spent[-1])))
    texts = name_lines(axes, ends)
    each = {course.implementation: course for course in field}
    places = [
        (
            lead.steps,
            float(each[lead.implementation].after(np.array(lead.steps))),
            f"{digits(lead.steps, 2)} steps",
        )
        for lead in changes[1:]
    ]
    ring(axes, places, texts)
    return figure


@settings()
def training_chart(curves: Mapping[str, tuple[Floats, Floats]], where: str) -> Figure:
    """Loss against the seconds of training; the same losses, reached sooner or later."""
    figure, axes = canvas("Loss against time", f"{where}; seconds of the training steps alone")
    if not curves:
        nothing(axes, "nothing to draw: the record holds no losses; race the headline to have them")
        return figure
    decades(axes, [value for _, losses in curves.values() for value in losses])
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.text(0, 1.01, "loss J over all samples", transform=axes.transAxes, fontsize=8.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(SECONDS)
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("time spent training")
    longest, shortest = (
        choice([spent[k] for spent, _ in curves.values()]) for choice, k in ((max, -1), (min, 0))
    )
    air = max((longest / shortest) ** 0.03, 1.1)
    axes.set_xlim(shortest / air, longest * air)
    ends = []
    for name, (spent, losses) in curves.items():
        colour, marker, dash = look(name)
        every = max(1, len(spent) // 6)
        axes.plot(spent, losses, color=colour, ls=dash, lw=1.4, marker=marker, markevery=every, ms=5)
        ends.append((name, duration(spent[-1]), float(spent[-1]), float(losses[-1])))
    name_lines(axes, ends)
    return figure


@settings()
def headline_chart(found: Sequence[Total], steps: int, where: str) -> Figure:
    """The article's experiment: a bar an implementation, hours to seconds; hatched where projected."""
    figure, axes = canvas(
        f"{steps:,} steps of gradient descent",
        f"{where}; factors over the slowest; hatched: projected from a sample",
        size=(9.0, 1.6 + 0.34 * max(len(found), 2)),
        margins=(170.0, MARGIN),
    )
    if not found:
        nothing(axes, "nothing to draw: no implementation was measured")
        return figure
    slowest = found[0].seconds
    values, low, high = (np.array([total[k] for total in found]) for k in (1, 2, 3))
    least = float(np.nanmin([*low, *values])) / 3
    words = [f"{duration(total.seconds)}   {factor(slowest / total.seconds)}" for total in found]
    projected = [not total.in_full for total in found]
    bars(axes, [total.implementation for total in found], values, low, high, words, projected, origin=least)
    axes.xaxis.set_major_formatter(SECONDS)
    for k, total in enumerate(found):
        _, y = axes.transData.transform((least, k))
        name = total.implementation
        figure.text(
            MARGIN / figure.bbox.width,
            y / figure.bbox.height,
            plain(name, 22),
            va="center",
            color=darker(look(name).colour),
        )
    return figure
