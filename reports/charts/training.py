"""Pictures of training: break-even, loss against time, the article's experiment, trainings side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record.statistics import Total
from reports.charts.canvas import MARGIN, canvas, nothing, settings
from reports.charts.labels import name_lines, name_rows
from reports.charts.marks import Floats, bars, curve, line, ring
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


class Curve(NamedTuple):
    """The losses of one training by one implementation, and the seconds that had been spent by then."""

    implementation: str
    words: str
    seconds: Floats
    losses: Floats


@settings()
def training_chart(curves: Sequence[Curve], where: str) -> Figure:
    """Loss against the seconds of training; the same losses, reached sooner or later."""
    size = (9.0, max(5.6, 2.0 + 0.16 * len(curves)))
    figure, axes = canvas("Loss against time", f"{where}; seconds of the training steps alone", size=size)
    if not curves:
        return nothing(axes, "the record holds no losses; race the headline to have them")
    times = np.concatenate([each.seconds for each in curves])
    logarithmic(axes, "x", times, "time spent training", short_duration)
    values = np.concatenate([each.losses for each in curves])
    logarithmic(axes, "y", values, "loss J over all samples")
    ends = []
    for name, words, spent, losses in curves:
        words = f"{words}  {duration(spent[-1])}".strip()
        ends.append(curve(axes, name, spent, losses, words, max(1, len(spent) // 6)))
    name_lines(axes, ends)
    return figure


class Point(NamedTuple):
    """A figure of one implementation in one training, with the ends of its interval."""

    implementation: str
    training: str
    value: float
    low: float
    high: float


@settings()
def trainings_chart(
    title: str,
    where: str,
    names: Sequence[str],
    points: Sequence[Point],
    scale: Callable[[Axes, list[float]], None],
    words: Callable[[float], str],
) -> Figure:
    """A figure against the training, of which there are `names`, a line an implementation with whiskers.

    `scale` makes the y axis.
    """
    figure, axes = canvas(title, where, below=60.0)
    drawn = [point for point in points if np.isfinite(point.value)]
    if not drawn:
        return nothing(axes, "no training was measured")
    scale(axes, [value for point in drawn for value in point[2:] if np.isfinite(value)])
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xticks(range(len(names)), ["\n".join(name.replace("_", "_ ").split()) for name in names])
    ends = []
    for implementation in dict.fromkeys(point.implementation for point in drawn):
        own = [point for point in drawn if point.implementation == implementation]
        x = np.array([float(names.index(point.training)) for point in own])
        y, low, high = np.array([point[2:] for point in own]).T
        solid = np.zeros(len(own), dtype=bool)
        ends.append(line(axes, implementation, x, y, low, high, solid, words(y[-1])))
    name_lines(axes, ends)
    return figure


@settings()
def headline_chart(found: Mapping[str, Total], steps: int, where: str) -> Figure:
    """The article's experiment: a bar an implementation, hours to seconds; hatched where projected."""
    figure, axes = canvas(
        f"{steps:,} steps of training",
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
