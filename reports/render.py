"""From a record to a folder of pictures and a summary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.record import files
from reports import text
from reports.analysis import Analysis, Panel, of_panel
from reports.charts import heat, machine, speed, training
from reports.charts.canvas import picture
from reports.charts.words import describe
from reports.style import PARALLEL, plain
from reports.tables.break_even import courses
from reports.tables.crossovers import three_sizes


def render(analysis: Analysis, panel: Panel, baseline: str, out: Path) -> list[Path]:
    """Draw `panel` over `baseline` into `out`, with summary.md; the files written, pictures first.

    Of the other workloads, the speedup is drawn for the same phase, dtype and threads.
    """
    written: list[Path] = []
    pictures = []
    for title, name, figure in figures(analysis, panel, baseline):
        written += picture(figure, out / name)
        pictures.append((title, f"{name}.svg"))
    workloads = list(analysis.record.workloads)
    for workload in workloads:
        rows = analysis.rows(panel._replace(workload=workload), baseline)
        if workload != panel.workload and not rows.empty:
            chart = speed.speedup_chart(rows, rows["baseline"].iloc[0], analysis.shape(workload))
            written += picture(chart, out / f"speedup-{slug(workload, workloads)}")
    summary = text.markdown(analysis.record, text.story(analysis, panel, baseline), pictures)
    return [*written, files.write(out / "summary.md", summary.encode())]


def figures(analysis: Analysis, panel: Panel, baseline: str) -> Iterator[tuple[str, str, Figure]]:
    """Title, file name and figure of every picture of a panel that the record has something to draw for."""
    table = analysis.speedups(baseline)
    rest = table[~table["implementation"].isin(PARALLEL)]
    if panel.threads == 1 and not of_panel(rest, panel).empty:
        table = rest
    rows = of_panel(table, panel)
    over = rows["baseline"].iloc[0]
    shape = analysis.shape(panel.workload)
    where = describe(rows, shape)
    if panel.phase == "headline":
        totals = analysis.totals(panel)
        steps = analysis.record.settings.get("steps")
        if isinstance(steps, int):
            where += f", m = {', '.join(map(str, sorted(rows['batch_size'].unique())))}"
            yield "The whole experiment", "headline", training.headline_chart(totals, steps, where)
        curves = analysis.losses(panel)
        if curves:
            yield "Loss against time", "training", training.training_chart(curves, where)
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
    steps = of_panel(table, panel._replace(phase="step"))
    field = courses(steps if len(steps) else rows, sizes[-1])
    if field:
        at = f"{describe(steps if len(steps) else rows, shape)}, m = {sizes[-1]}"
        yield "Break-even", "break-even", training.break_even_chart(field, at)
    if rows["flops"].notna().any():
        roof = analysis.roof(panel.dtype, panel.threads)
        yield "Roofline", "roofline", machine.roofline_chart(rows, roof, shape)
    alike = (table["workload"] == panel.workload) & (table["phase"] == panel.phase)
    alike &= (table["threads"] == panel.threads) & (table["batch_size"] == sizes[-1])
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


def slug(name: str, names: list[str]) -> str:
    """`name` as a part of a file name; where nothing of it could stay, its place among `names`."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40]
    alike = [other for other in names if re.sub(r"[^A-Za-z0-9._-]+", "-", other).strip("-.")[:40] == safe]
    return safe if safe and alike == [name] else f"{safe}-{names.index(name)}".strip("-")
