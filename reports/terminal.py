"""The console, and the printing of tables to it."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 200
"""The columns of an output that is not a terminal; a log is scrolled, not wrapped."""


def console() -> Console:
    """The console to print to, without markup, so that a name in brackets is printed as it is."""
    found = Console(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = PLAIN_WIDTH
    return found


def print_table(out: Console, head: list[str], rows: list[list[str]]) -> None:
    """Print a table, names in the first column, figures in the others: those that fit, then the rest below.

    No figure is cut: if not even one column fits, names and words are wrapped.
    """
    left = list(range(1, len(head)))
    while left:
        shown = left
        while len(shown) > 1 and _width(_table(head, rows, shown), out) > out.width:
            shown = shown[:-1]
        out.print(_table(head, rows, shown))
        left = left[len(shown) :]


def _table(head: list[str], rows: list[list[str]], shown: list[int]) -> Table:
    """The names, and the columns `shown`."""
    table = Table(box=box.SIMPLE)
    table.add_column(Text(head[0]), overflow="fold")
    for k in shown:
        table.add_column(Text(head[k]), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[k]) for k in (0, *shown)))
    return table


def _width(table: Table, out: Console) -> int:
    """The columns of a terminal that a table takes without a limit."""
    return out.measure(table, options=out.options.update(width=10_000)).maximum
