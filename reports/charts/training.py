"""Pictures of training: break-even, loss against time, the article's experiment, trainings side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record.statistics import Total
from reports.charts.canvas import MARGIN, canvas, columns, nothing, settings
from reports.charts.labels import name_lines, name_rows
from reports.charts.marks import Floats, bars_to_scale, curve, line, mark, ring
from reports.charts.scales import logarithmic, seconds_axis
from reports.style import digits, duration, factor, short_duration
from reports.tables.break_even import Course, leads

WARM = (
    "Start-up times are those of the race, where compiled code may have been on disk already; "
    "race with --survey to measure first starts."
)


@settings()
def break_even_chart(field: Sequence[Course], where: str) -> Figure:
    """Time since the start against steps done: construction and compilation, then the time of each step.

    Rings mark where the lead changes, and the start of the later leader is repaid.
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
    """A figure for each of the trainings `names`, one line with whiskers per implementation.

    `scale` makes the y axis.
    """
    figure, axes = canvas(title, where, below=60.0)
    drawn = [point for point in points if np.isfinite(point.value)]
    if not drawn:
        return nothing(axes, "no training was measured")
    scale(axes, [value for point in drawn for value in point[2:] if np.isfinite(value)])
    axes.set_xlim(-0.4, len(names) - 0.6)
    labels = ["\n".join(name.replace("_", "_ ").split()) for name in names]
    axes.set_xticks(range(len(names)), labels, fontsize=9.0 if len(names) < 8 else 7.5)
    ends = []
    for implementation in dict.fromkeys(point.implementation for point in drawn):
        own = [point for point in drawn if point.implementation == implementation]
        own.sort(key=lambda point: names.index(point.training))
        x = np.array([float(names.index(point.training)) for point in own])
        y, low, high = np.array([point[2:] for point in own]).T
        ends.append(line(axes, implementation, x, y, low, high, words=words(y[-1])))
    name_lines(axes, ends)
    return figure


VISIBLE = 40
"""The factor by which a bar may be shorter than the longest one and still be visible."""


@settings()
def headline_chart(
    found: Mapping[str, Total], steps: int, where: str, article: float | None = None
) -> Figure:
    """The article's experiment, to scale: one bar per implementation, hatched where projected.

    Beside it the same bars magnified, where the fast ones are too short to be seen. `article`: the seconds
    that the article reports for its loops, where this is its experiment.
    """
    figure, axes = canvas(
        f"{steps:,} steps of training",
        f"{where}; to scale; factors over the slowest; hatched: projected",
        size=(9.0, 2.1 + 0.34 * max(len(found), 2)),
        margins=(184.0, MARGIN + 10),
    )
    if not found:
        return nothing(axes, "no implementation was measured")
    names = list(found)
    values, low, high = np.array([total[:3] for total in found.values()]).T
    longest = max(values.max(), article or 0.0)
    short = values[values < longest / VISIBLE]
    words = [f"{duration(seconds)}   {factor(values[0] / seconds)}" for seconds in values]
    projected = [not total.in_full for total in found.values()]
    sides = columns(axes, 1 + bool(len(short)), 24)
    for side, most in zip(sides, [longest, *short[:1]], strict=True):
        whole = side is sides[0]
        shown = words if whole else [""] * len(names)
        bars_to_scale(side, names, values, low, high, shown, projected, most)
        name_rows(side, names if whole else [""] * len(names))
    if article is not None:
        mark(sides[0], article, f"the article's loops: {short_duration(article)}")
    if len(short):
        ratio = sides[0].get_xlim()[1] / sides[1].get_xlim()[1]
        sides[1].set_title(f"magnified {digits(ratio, 2)} times")
    sides[0].set_xlabel("time of all steps")
    return figure
