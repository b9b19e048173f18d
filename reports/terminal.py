"""The summary in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.results import Record
from reports import summary
from reports.tables import Panel, of_panel, speedups

PLAIN_WIDTH = 200
"""Columns where the output is no terminal: a log is scrolled, not wrapped."""


def show(record: Record, panel: Panel, baseline: str) -> None:
    """Print the sentence, the table, what to know beside it, and the record's warnings."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=PLAIN_WIDTH)
    rows = of_panel(speedups(record, baseline), panel)
    console.print(summary.answer(rows, baseline, summary.shape_of(record, panel.workload)))
    head, body = summary.grid(rows, baseline)
    table = Table(box=box.SIMPLE)
    for k, name in enumerate(head):
        table.add_column(name, justify="right" if k else "left", no_wrap=True)
    for row in body:
        table.add_row(*(Text(words) for words in row))
    console.print(table)
    for words in summary.remarks(rows, baseline):
        console.print(words)
    for words in summary.warnings(record):
        console.print(f"warning: {words}", style="yellow")
