"""Pictures of training: break-even, loss against time, the article's experiment. Frame -> Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record.statistics import Total
from reports.charts.canvas import MARGIN, canvas, nothing, settings
from reports.charts.labels import name_lines, name_rows
from reports.charts.marks import Floats, bars, curve, ring
from reports.charts.scales import logarithmic, seconds_axis
from reports.style import digits, duration, factor, short_duration
from reports.tables.break_even import Course, leads

WARM = (
    "Start-up times are those of the race, where compiled code may have been on disk already; "
    "race with --survey to measure first starts."
)


@settings()
def break_even_chart(field: Sequence[Course], where: str) -> Figure:
    """Time since the start against steps done: construction and compilation, then so much a step.

    Rings where the lead changes: from there on, the start is repaid.
    """
    figure, axes = canvas(
        "How many steps repay compilation",
        f"{where}; ringed: another implementation takes the lead",
        [] if all(course.cold for course in field) else [WARM],
    )
    if not field:
        return nothing(axes, "no start-up times are on record")
    changes = leads(list(field))
    steps = np.geomspace(1, max(1e5, 10 * changes[-1].steps), 200)
    spent = {course.implementation: course.after(steps) for course in field}
    seconds_axis(axes, np.concatenate(list(spent.values())), "time since the start")
    logarithmic(axes, "x", steps, "steps done")
    name_lines(axes, [curve(axes, name, steps, line, every=40) for name, line in spent.items()])
    each = {course.implementation: course for course in field}
    places = [(n, each[name].after(np.array(n)).item(), f"{digits(n, 2)} steps") for n, name in changes[1:]]
    ring(axes, places)
    return figure


@settings()
def training_chart(curves: Mapping[str, tuple[Floats, Floats]], where: str) -> Figure:
    """Loss against the seconds of training; the same losses, reached sooner or later."""
    figure, axes = canvas("Loss against time", f"{where}; seconds of the training steps alone")
    if not curves:
        return nothing(axes, "the record holds no losses; race the headline to have them")
    times, values = (np.concatenate(each) for each in zip(*curves.values(), strict=True))
    logarithmic(axes, "x", times, "time spent training", short_duration)
    logarithmic(axes, "y", values, "loss J over all samples")
    ends = [
        curve(axes, name, spent, losses, duration(spent[-1]), max(1, len(spent) // 6))
        for name, (spent, losses) in curves.items()
    ]
    name_lines(axes, ends)
    return figure


@settings()
def headline_chart(found: Mapping[str, Total], steps: int, where: str) -> Figure:
    """The article's experiment: a bar an implementation, hours to seconds; hatched where projected."""
    figure, axes = canvas(
        f"{steps:,} steps of gradient descent",
        f"{where}; factors over the slowest; hatched: projected from a sample",
        size=(9.0, 1.7 + 0.34 * max(len(found), 2)),
        margins=(184.0, MARGIN),
    )
    if not found:
        return nothing(axes, "no implementation was measured")
    names = list(found)
    values, low, high = np.array([total[:3] for total in found.values()]).T
    words = [f"{duration(seconds)}   {factor(values[0] / seconds)}" for seconds in values]
    projected = [not total.in_full for total in found.values()]
    origin = float(np.nanmin([*low, *values])) / 3
    bars(axes, names, values, low, high, words, short_duration, projected, origin)
    axes.set_xlabel("time of all steps")
    name_rows(axes, names)
    return figure
