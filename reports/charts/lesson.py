"""Pictures of the lesson: the time of its blocks, a network that learns, the shapes of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.record.lesson_file import Lesson
from reports.charts.canvas import FAINT, INK, canvas, settings
from reports.charts.labels import name_lines
from reports.charts.marks import curve
from reports.charts.scales import batch_axis, seconds_axis
from reports.style import darker, duration, look

IMPLEMENTATIONS = {
    "loops": "loops",
    "loops_on_arrays": "loops-ndarray",
    "numpy_sample": "numpy-sample",
    "numpy_batch": "numpy",
    "numba_loops": "numba-loops",
    "numba_arrays": "numba",
}
"""The implementation that a block of the lesson is the heart of; it has that one's colour."""

STARTS = {
    "zeros": ("zeros", "loops"),
    "small": ("randn * 0.01", "numpy"),
    "scaled": ("randn / sqrt(n)", "numba"),
}
"""How the weights of a training begin, and the implementation whose colour the line has."""


@settings()
def blocks_chart(lesson: Lesson) -> Figure:
    """Time of the lesson's blocks for one sample, against batch size."""
    figure, axes = canvas(
        "Each idea needs its batch",
        "time of one sample, forward and back, by the blocks of the lesson, each named after "
        "the implementation that it is the heart of; 64-32-10, float64",
    )
    each = {}
    for name, by_size in lesson.seconds.items():
        sizes = np.array(sorted(by_size))
        each[name] = sizes, np.array([by_size[m] for m in sizes]) / sizes
    seconds_axis(axes, np.concatenate([seconds for _, seconds in each.values()]), "time of one sample")
    batch_axis(axes, np.concatenate([sizes for sizes, _ in each.values()]))
    name_lines(
        axes,
        [
            curve(axes, IMPLEMENTATIONS[name], sizes, seconds, duration(seconds[-1]))
            for name, (sizes, seconds) in each.items()
        ],
    )
    return figure


@settings()
def learning_chart(lesson: Lesson) -> Figure:
    """Cost of the lesson's trainings, against steps."""
    figure, axes = canvas(
        "Zeros never learn",
        "cost J over 1,442 digits while a network of 64-32-10 learns, by what its weights begin as",
        size=(9.0, 4.4),
        margins=(64.0, 190.0),
    )
    axes.set(xlabel="steps of gradient descent, 64 digits each", ylabel="cost J", ylim=(0, 1.4))
    for start, costs in lesson.costs.items():
        words, alike = STARTS[start]
        steps = lesson.every * np.arange(len(costs))
        colour = look(alike).colour
        axes.plot(steps, costs, color=colour, lw=1.8)
        label = f"{words}: {lesson.accuracy[start]:.1%} right"
        # zeros stay far above the other two, which end together: one name above its line, one below
        offset = {"zeros": 0, "small": 7, "scaled": -7}[start]
        axes.annotate(
            label,
            (steps[-1], costs[-1]),
            xytext=(8, offset),
            textcoords="offset points",
            va="center",
            color=darker(colour),
            annotation_clip=False,
        )
    axes.set_xlim(0, steps[-1])
    return figure


@settings()
def shapes_chart() -> Figure:
    """The shapes of one layer's arrays, forward and back."""
    figure, axes = canvas(
        "Samples stand in columns",
        "a layer of n_l neurons on n_(l-1) inputs, for a batch of m samples",
        size=(9.0, 3.9),
        margins=(14.0, 14.0),
        above=10.0,
        below=0.0,
    )
    axes.set_axis_off()
    axes.set(xlim=(0, 88), ylim=(0, 34))
    n, before, m = 5.0, 7.0, 12.0
    Part = str | tuple[str, float, float]
    rows: list[tuple[float, list[Part]]] = [
        (22.5, [("w", n, before), "@", ("x", before, m), "+", ("b", n, 1.2), "=", ("z", n, m)]),
        (6.0, [("dz", n, m), "@", ("xᵀ", m, before), "/ m  =", ("dw", n, before)]),
    ]
    sides = {n: "n_l", before: "n_(l-1)", m: "m", 1.2: "1"}
    small: dict[str, Any] = {"fontsize": 8, "color": FAINT}
    for bottom, parts in rows:
        left = 6.0
        for part in parts:
            if isinstance(part, str):
                axes.text(left + len(part) / 2, bottom + n / 2, part, ha="center", va="center", fontsize=13)
                left += 6.0 + len(part)
                continue
            name, tall, wide = part
            low = bottom + (n - tall) / 2
            axes.add_patch(
                Rectangle((left, low), wide, tall, facecolor="#e8eef7", edgecolor="#4c72b0", lw=1.4)
            )
            axes.text(left + wide / 2, low + tall / 2, name, ha="center", va="center", fontsize=12, color=INK)
            axes.text(left + wide / 2, low + tall + 0.3, sides[wide], ha="center", va="bottom", **small)
            axes.text(left - 0.4, low + tall / 2, sides[tall], ha="right", va="center", **small)
            left += wide + 2.0
    return figure
