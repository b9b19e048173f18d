"""From a record to a folder of pictures and a summary."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.results import Record
from reports import charts, files, summary
from reports.tables import Panel, of_panel, speedups


def render(record: Record, panel: Panel, baseline: str, out: Path) -> list[Path]:
    """Draw `panel` of `record` into `out`, with summary.md; the files written, pictures first.

    Of the other workloads, the two charts against batch size are drawn for the same phase, dtype and threads.
    """
    table = speedups(record, baseline)
    written: list[Path] = []
    pictures = []
    for title, name, chart in CHARTS:
        figure = chart(of_panel(table, panel), baseline, summary.shape_of(record, panel.workload))
        written += files.picture(figure, out / name)
        pictures.append((title, f"{name}.svg"))
    for workload in record.workloads:
        rows = of_panel(table, panel._replace(workload=workload))
        if workload == panel.workload or rows.empty:
            continue
        for _, name, chart in CHARTS[:2]:
            figure = chart(rows, baseline, summary.shape_of(record, workload))
            written += files.picture(figure, out / f"{name}-{slug(workload, list(record.workloads))}")
    text = summary.markdown(record, of_panel(table, panel), baseline, pictures)
    written.append(files.write(out / "summary.md", text.encode()))
    return written


CHARTS = (
    ("Time against batch size", "time", charts.time_chart),
    ("Speedup against batch size", "speedup", charts.speedup_chart),
)


def slug(name: str, names: list[str]) -> str:
    """`name` as a part of a file name; where nothing of it could stay, its place among `names`."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40]
    alike = [other for other in names if re.sub(r"[^A-Za-z0-9._-]+", "-", other).strip("-.")[:40] == safe]
    return safe if safe and alike == [name] else f"{safe}-{names.index(name)}".strip("-")
