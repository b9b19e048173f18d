"""Pictures of several workers, threads or ranks, beside one, measured and modelled. Rows -> Figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from reports.charts.canvas import FAINT, INK, canvas, columns, settings
from reports.charts.labels import LineEnd, name_lines
from reports.charts.marks import curve, line
from reports.charts.scales import batch_axis, factor_axis, logarithmic, seconds_axis
from reports.style import duration, look, plain, size
from reports.tables.allreduce import (
    ETHERNET,
    INFINIBAND,
    MODELLED,
    ScalingModel,
    best_ranks,
    hidden_from,
    step,
)
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

    `rows`, one or more, are of one kind; `along` is what the workers are: threads or ranks.
    """
    kind = rows[0].kind
    notes = ["dashed: the ideal; in brackets the share of it that is reached at the largest batch"]
    notes += [f"one of the {along} is another implementation: {name}" for name in stand_ins(rows)]
    counts = sorted({one.workers for one in rows})[-MOST:]
    most = [one for one in rows if one.workers == counts[-1]]
    largest = {one.implementation: one for one in most}  # the last of each, at its largest batch
    communicating = [
        f"{plain(one.implementation)} {100 * one.communication:.3g} %"
        for one in largest.values()
        if one.communication is not None
    ]
    if communicating:
        notes.append(
            f"{counts[-1]} {along} communicate at the largest batch for this share of a call: "
            f"{', '.join(communicating)}"
        )
    figure, axes = canvas(
        TITLES[kind].format(along),
        f"{where}; whiskers: 95 % interval over processes",
        notes,
        size=(9.0, 4.6),
        margins=(84.0, 190.0),
        above=30.0,
    )
    sides = columns(axes, 1 + len(counts), 44)
    sides[0].set_title(f"time on {counts[-1]} {along}; dotted: on one")
    seconds_axis(sides[0], [end for one in most for end in (*one.seconds, *one.alone)], "")
    for name in dict.fromkeys(one.implementation for one in most):
        own = [one for one in most if one.implementation == name]
        x = np.array([one.batch_size for one in own], dtype=float)
        mean, low, high = np.array([one.seconds for one in own]).T
        line(sides[0], name, x, mean, low, high)
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
            ends.append(line(side, name, x, mean, low, high, words=words))
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


@settings()
def model_chart(model: ScalingModel, where: str) -> Figure:
    """What the model has of up to 8,192 ranks on three links: the speedup at the largest batch that was
    measured, with what was measured, and the samples of a rank from which computing could hide the allreduce.
    """
    links = (model.link, ETHERNET, INFINIBAND)
    samples = max(batch for _, batch, *_ in model.measured)
    figure, axes = canvas(
        f"How far {plain(model.implementation)} could be spread: a model",
        f"{where}; within 25 % of the measured time in {model.within(0.25)} of {len(model.measured)} cells",
        [
            f"assumed: {'; '.join(link.words for link in links)}; every rank computes as one did here: "
            f"{duration(model.compute.call)} and {duration(model.compute.sample)} a sample; "
            f"{size(model.size)} of gradients, an allreduce a step, nothing hidden, no other traffic",
            "time of a message: Hockney; of an allreduce: Thakur, Rabenseifner and Gropp 2005",
        ],
        size=(9.0, 4.9),
        margins=(84.0, 190.0),
        above=30.0,
    )
    left, right = columns(axes, 2, 66)
    ranks = np.array([p for p in MODELLED if p <= samples])
    alone = model.compute.seconds(samples)
    left.set_title(f"speedup at m = {samples:,}; circles: measured")
    right.set_title("samples a rank that could hide it")
    lines = {
        link: (
            np.array([alone / step(model.compute, link, int(p), samples, model.size) for p in ranks]),
            np.array([max(1.0, hidden_from(model.compute, link, p, model.size)) for p in MODELLED[1:]]),
        )
        for link in links
    }
    factor_axis(left, [*np.concatenate([faster for faster, _ in lines.values()]), ranks[-1]], "")
    logarithmic(right, "y", np.concatenate([least for _, least in lines.values()]), "")
    left.plot(ranks, ranks, color=INK, lw=1.0, ls="--", zorder=2)
    ends = []
    for link, (faster, least) in lines.items():
        curve(left, link.name, ranks, faster)
        most = best_ranks(model.compute, link, samples, model.size)
        ends.append(curve(right, link.name, np.array(MODELLED[1:]), least, f"best on {most:,}"))
    here = [(p, alone / seconds) for p, batch, seconds, _ in model.measured if batch == samples]
    left.plot(*np.array(here).T, marker="o", ms=9, mfc="none", mec=INK, mew=1.2, ls="", zorder=5)
    for side, known in ((left, ranks), (right, MODELLED[1:])):
        logarithmic(side, "x", known, "ranks", "{:,g}".format, ticker.LogLocator(base=8.0))
    name_lines(right, ends)
    return figure
