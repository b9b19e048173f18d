"""From a record to a folder of pictures and a summary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.record.race_file import Record
from reports import files, text
from reports.charts import heat, machine, speed, training
from reports.charts.words import describe
from reports.style import PARALLEL, plain
from reports.tables import derived
from reports.tables.frames import Panel, of_panel, speedups


def render(record: Record, panel: Panel, baseline: str, out: Path) -> list[Path]:
    """Draw `panel` of `record` into `out`, with summary.md; the files written, pictures first.

    Of the other workloads, the speedup is drawn for the same phase, dtype and threads.
    """
    table = speedups(record, baseline)
    written: list[Path] = []
    pictures = []
    for title, name, figure in figures(record, table, panel, baseline):
        written += files.picture(figure, out / name)
        pictures.append((title, f"{name}.svg"))
    for workload in record.workloads:
        rows = of_panel(table, panel._replace(workload=workload))
        if workload == panel.workload or rows.empty:
            continue
        shape = text.shape_of(record, workload)
        end = slug(workload, list(record.workloads))
        written += files.picture(speed.speedup_chart(rows, baseline, shape), out / f"speedup-{end}")
    summary = text.markdown(record, of_panel(table, panel), baseline, pictures)
    written.append(files.write(out / "summary.md", summary.encode()))
    return written


def figures(
    record: Record, table: pd.DataFrame, panel: Panel, baseline: str
) -> Iterator[tuple[str, str, Figure]]:
    """Title, file name and figure of every picture of a panel that the record has something to draw for."""
    if panel.threads == 1:
        table = table[~table["implementation"].isin(PARALLEL)]
    rows = of_panel(table, panel)
    shape = text.shape_of(record, panel.workload)
    where = describe(rows, shape)
    if panel.phase == "headline":
        totals = derived.totals(record, panel)
        steps = record.settings.get("steps")
        if isinstance(steps, int):
            where += f", m = {', '.join(map(str, sorted(rows['batch_size'].unique())))}"
            yield "The whole experiment", "headline", training.headline_chart(totals, steps, where)
        curves = derived.losses(record, panel)
        if curves:
            yield "Loss against time", "training", training.training_chart(curves, where)
        return
    yield "Time against batch size", "time", speed.time_chart(rows, baseline, shape)
    yield "Speedup against batch size", "speedup", speed.speedup_chart(rows, baseline, shape)
    yield "Table of speedups", "heat", heat.heat_chart(rows, baseline, shape)
    sizes = derived.three_sizes(rows)
    rungs = derived.ladder(record, panel)
    rungs = rungs[rungs["implementation"].isin(rows["implementation"])]
    if len(rungs) and sizes:
        yield "What each idea buys", "ladder", speed.ladder_chart(rungs, sizes, where)
    if not sizes:
        return
    steps = of_panel(table, panel._replace(phase="step"))
    field = derived.courses(steps if len(steps) else rows, sizes[-1])
    if field:
        at = f"{describe(steps if len(steps) else rows, shape)}, m = {sizes[-1]}"
        yield "Break-even", "break-even", training.break_even_chart(field, at)
    if rows["flops"].notna().any():
        roof = derived.roof(record, panel.dtype, panel.threads)
        yield "Roofline", "roofline", machine.roofline_chart(rows, roof, shape)
    alike = (table["workload"] == panel.workload) & (table["phase"] == panel.phase)
    alike &= (table["threads"] == panel.threads) & (table["batch_size"] == sizes[-1])
    if table.loc[alike, "error_ulp"].notna().any():
        words = f"{plain(panel.workload)} {shape}, {plain(panel.phase)}, m = {sizes[-1]}"
        yield "Accuracy against speed", "accuracy", machine.accuracy_chart(table[alike], words)
    if np.nan_to_num(rows["peak_bytes"]).any():
        yield "Memory", "memory", machine.memory_chart(rows, shape)
    known = set(table["implementation"])
    batch = {name: both for name, both in derived.growth(record, panel).items() if name in known}
    size, slopes = derived.width_growth(record, panel)
    width = {name: slope for name, slope in slopes.items() if name in known}
    if batch or width:
        yield "Growth", "growth", machine.growth_chart(batch, width, where, f"m = {size}")


def slug(name: str, names: list[str]) -> str:
    """`name` as a part of a file name; where nothing of it could stay, its place among `names`."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40]
    alike = [other for other in names if re.sub(r"[^A-Za-z0-9._-]+", "-", other).strip("-.")[:40] == safe]
    return safe if safe and alike == [name] else f"{safe}-{names.index(name)}".strip("-")
