"""Draws the pictures of a record into a folder, and writes a summary."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record import files
from reports import text
from reports.analysis import Analysis, Panel, of_panel
from reports.charts import heat, machine, scaling, speed, training
from reports.charts.canvas import picture
from reports.charts.scales import factor_axis, seconds_axis
from reports.charts.words import describe, whiskers
from reports.style import PARALLEL, duration, factor, plain
from reports.tables import trainings
from reports.tables.allreduce import models
from reports.tables.break_even import courses
from reports.tables.crossovers import three_sizes
from reports.tables.interpreters import interpreters
from reports.tables.scaling import ScalingKind, Workers, scalings

ARTICLE_STEPS, ARTICLE_SECONDS = 100_000, 9 * 3600.0
"""The time of the loops in the article that this project began with."""

TRAINED = ("headline", "train")
"""Phases with whole trainings as cells; their pictures show all workloads at once."""


def render(analysis: Analysis, panel: Panel, baseline: str, out: Path) -> list[Path]:
    """Draw `panel` over `baseline` into `out`, with summary.md; returns the files written, pictures first.

    Of the other workloads, the speedup is drawn for the same phase, dtype, threads and ranks.
    """
    written: list[Path] = []
    pictures = []
    for title, name, figure in figures(analysis, panel, baseline):
        written += picture(figure, out / name)
        pictures.append((title, f"{name}.svg"))
    workloads = list(analysis.record.workloads)
    for workload in workloads if panel.phase not in TRAINED else ():
        rows = analysis.rows(panel._replace(workload=workload), baseline)
        if workload != panel.workload and not rows.empty:
            chart = speed.speedup_chart(rows, rows["baseline"].iloc[0], analysis.shape(workload))
            written += picture(chart, out / f"speedup-{slug(workload, workloads)}")
    summary = text.markdown(analysis.record, trainings.story(analysis, panel, baseline), pictures)
    return [*written, files.write(out / "summary.md", summary.encode())]


def figures(analysis: Analysis, panel: Panel, baseline: str) -> Iterator[tuple[str, str, Figure]]:
    """Title, file name and figure of every picture of a panel for which the record has data."""
    table = analysis.speedups(baseline)
    rest = table[~table["implementation"].isin(PARALLEL)]
    if panel.threads == 1 and not of_panel(rest, panel).empty:
        table = rest
    rows = of_panel(table, panel)
    over = rows["baseline"].iloc[0]
    shape = analysis.shape(panel.workload)
    where = describe(rows, shape)
    if panel.phase in TRAINED:
        where += f", m = {', '.join(map(str, sorted(rows['batch_size'].unique())))}"
        yield from _of_training(analysis, panel, where)
        return
    yield "Time against batch size", "time", speed.time_chart(rows, over, shape)
    yield "Speedup against batch size", "speedup", speed.speedup_chart(rows, over, shape)
    yield "Table of speedups", "heat", heat.heat_chart(rows, over, shape)
    sizes = three_sizes(rows)
    rungs = analysis.ladder(panel)
    rungs = rungs[rungs["implementation"].isin(rows["implementation"])]
    if len(rungs) and sizes:
        yield "What each idea buys", "ladder", speed.ladder_chart(rungs, sizes, where)
    if not sizes:
        return
    if under := interpreters(analysis.record):
        chart = speed.interpreters_chart(rows, under, sizes[len(sizes) // 2], where)
        yield "Interpreters", "interpreters", chart
    yield from _of_steps(analysis, panel, sizes[len(sizes) // 2])
    steps = of_panel(table, panel._replace(phase="step"))
    steps = rows if steps.empty else steps
    if field := courses(steps, sizes[-1]):
        at = f"{describe(steps, shape)}, m = {sizes[-1]}"
        yield "Break-even", "break-even", training.break_even_chart(field, at)
    if rows["flops"].notna().any():
        roof = analysis.roof(panel.dtype, panel.threads, panel.ranks)
        yield "Roofline", "roofline", machine.roofline_chart(rows, roof, shape)
    alike = (table["workload"] == panel.workload) & (table["phase"] == panel.phase)
    alike &= (table["threads"] == panel.threads) & (table["ranks"] == panel.ranks)
    alike &= table["batch_size"] == sizes[-1]
    if table.loc[alike, "error_ulp"].notna().any():
        words = f"{plain(panel.workload)} {shape}, {plain(panel.phase)}, m = {sizes[-1]}"
        yield "Accuracy against speed", "accuracy", machine.accuracy_chart(table[alike], words)
    if np.nan_to_num(rows["peak_bytes"]).any():
        yield "Memory", "memory", machine.memory_chart(rows, shape)
    known = set(table["implementation"])
    batch = {name: both for name, both in analysis.growth(panel).items() if name in known}
    size, slopes = analysis.width_growth(panel)
    width = {name: slope for name, slope in slopes.items() if name in known}
    if batch or width:
        yield "Growth", "growth", machine.growth_chart(batch, width, where, f"m = {size}")
    yield from _of_workers(analysis, panel)


def _of_workers(analysis: Analysis, panel: Panel) -> Iterator[tuple[str, str, Figure]]:
    """The pictures of the gain of more threads or ranks, if cells were measured on one and on several."""
    where = f"{plain(panel.workload)} {analysis.shape(panel.workload)}, {panel.phase}, {panel.dtype}"
    for along, kind in itertools.product(get_args(Workers), get_args(ScalingKind)):
        if found := scalings(analysis, panel, kind, along):
            title = f"{kind.capitalize()} scaling over {along}"
            yield title, f"{kind}-{along}", scaling.scaling_chart(found, along, where)
    for model in models(analysis, panel):
        name = f"model-{slug(model.implementation, analysis.implementations)}"
        yield f"A model of {model.implementation} on many ranks", name, scaling.model_chart(model, where)


def _of_training(analysis: Analysis, panel: Panel, where: str) -> Iterator[tuple[str, str, Figure]]:
    """The pictures of a headline, and of all trainings of one network."""
    panels = trainings.alike(analysis, panel)
    names = trainings.labels(analysis.record, [each.workload for each in panels])
    steps = analysis.record.settings.get("steps")
    if panel.phase == "train":
        points = [
            training.Point(one.implementation, names[one.workload], *one.seconds)
            for one in trainings.reached(analysis, panel)
        ]
        title = f"Time to {trainings.percent(analysis)} of the held-out digits"
        scale = functools.partial(seconds_axis, label="time spent training")
        chart = training.trainings_chart(title, where, list(names.values()), points, scale, duration)
        yield "Time to accuracy", "target", chart
    elif isinstance(steps, int):
        known = analysis.record.workloads[panel.workload]
        article = ARTICLE_SECONDS if (steps, known.data) == (ARTICLE_STEPS, "digits") else None
        chart = training.headline_chart(analysis.totals(panel), steps, where, article)
        yield "The whole experiment", "headline", chart
    curves = []
    for each in panels:
        of_it = [training.Curve(name, "", *both) for name, both in analysis.losses(each).items()]
        if len(panels) > 1:  # the fastest and the slowest of each training: there is room for two names
            ranked = sorted(of_it, key=lambda curve: curve.seconds[-1])
            of_it = [
                curve._replace(words=names[each.workload]) for curve in ranked[:: max(len(ranked) - 1, 1)]
            ]
        curves += of_it
    if curves:
        yield "Loss against time", "training", training.training_chart(curves, where)


def _of_steps(analysis: Analysis, panel: Panel, size: int) -> Iterator[tuple[str, str, Figure]]:
    """The time of a step over its gradients, if more than one training was raced."""
    panels = trainings.alike(analysis, panel._replace(phase="step"))
    names = trainings.labels(analysis.record, [each.workload for each in panels])
    points = [
        training.Point(one.implementation, names[one.workload], *one.over_gradients[:3])
        for one in trainings.steps(analysis, panel)
        if one.batch_size == size and one.over_gradients and one.implementation not in PARALLEL
    ]
    if len(panels) < 2 or not points:
        return
    rows = of_panel(analysis.cells, panels[0])
    where = f"{describe(rows, analysis.shape(panels[0].workload))}, m = {size}; {whiskers(rows)}"
    chart = training.trainings_chart(
        "What a step takes over its gradients",
        where,
        list(names.values()),
        points,
        functools.partial(factor_axis, label="time of a step over that of its gradients"),
        factor,
    )
    yield "Steps", "steps", chart


def slug(name: str, names: list[str]) -> str:
    """`name` as a part of a file name; its index among `names` if none of its characters can be kept."""
    k = names.index(name)
    safe = [re.sub(r"[^A-Za-z0-9._-]+", "-", other).strip("-.")[:40] for other in names]
    return safe[k] if safe[k] and safe.count(safe[k]) == 1 else f"{safe[k]}-{k}".strip("-")
