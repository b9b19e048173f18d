"""The summary in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.record.race_file import Record
from reports import text
from reports.style import plain
from reports.tables import compare
from reports.tables.frames import Panel, of_panel, speedups

PLAIN_WIDTH = 200
"""Columns where the output is no terminal: a log is scrolled, not wrapped."""


def console() -> Console:
    """Where to print: no markup, so that a name in brackets is a name."""
    found = Console(highlight=False, markup=False)
    return found if found.is_terminal else Console(highlight=False, markup=False, width=PLAIN_WIDTH)


def print_table(out: Console, head: list[str], body: list[list[str]]) -> None:
    """A table whose first column holds names, the others figures."""
    table = Table(box=box.SIMPLE)
    for k, name in enumerate(head):
        table.add_column(Text(name), justify="right" if k else "left", no_wrap=True)
    for row in body:
        table.add_row(*(Text(words) for words in row))
    out.print(table)


def show(record: Record, panel: Panel, baseline: str) -> None:
    """Print the sentence, the table, what to know beside it, and the record's warnings."""
    out = console()
    rows = of_panel(speedups(record, baseline), panel)
    told = text.story(record, rows, baseline)
    out.print(told.answer)
    print_table(out, told.head, told.rows)
    for words in told.remarks:
        out.print(words)
    for words in text.warnings(record):
        out.print(f"warning: {words}", style="yellow")


def show_comparison(records: Mapping[str, Record], tables: Mapping[str, pd.DataFrame]) -> None:
    """Print what differs between records, each one's factors over the first, and the note."""
    out = console()
    first, *_ = records
    print_table(out, ["", *records], [[name, *values] for name, values in compare.differences(records)])
    for name, table in tables.items():
        out.print(f"times as fast in {plain(name, 60)} as in {plain(first, 60)}")
        print_table(out, *compare.grid(table))
    out.print(compare.NOTE)
