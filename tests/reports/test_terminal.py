"""Tables in a terminal: every figure is whole, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reports import text
from reports.analysis import Analysis
from reports.tables.standings import grid, standings
from reports.terminal import print_table
from tests.reports.records import LADDER, cell, race, record


def printed(head: list[str], rows: list[list[str]], width: int) -> list[str]:
    """The lines of a table in a terminal of `width` columns."""
    out = Console(file=io.StringIO(), width=width)
    print_table(out, head, rows)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120, 200])
def test_no_figure_is_cut_and_none_is_lost(width: int) -> None:
    made = Analysis(race((*LADDER, "an implementation of a name that is long"), processes=2))
    head = [
        cell(name, 64, k % 3, (0.1 + k,), phase="headline", losses=(0.5,))
        for k, name in enumerate(("numpy", "loops", "loops", "loops"))
    ]
    steps = Analysis(record(head, settings={"steps": 1_000_000}))
    for table in (
        text.story(made, made.panel(), "loops")[1:3],
        text.story(steps, steps.panel(), "loops")[1:3],
        grid(standings(made, "loops")),
    ):
        lines = printed(*table, width)
        assert max(map(len, lines)) <= width
        words = " ".join(lines).split()
        for row in table[1]:
            for figure in row[1:]:
                assert all(word in words for word in figure.split()), (figure, lines)


def test_what_does_not_fit_stands_below_under_the_same_names() -> None:
    lines = printed(["", "m = 1", "m = 4"], [["loops", "1 ms" + " " * 20 + "x", "2 ms"]], 40)
    assert [line.split() for line in lines if "m =" in line] == [["m", "=", "1"], ["m", "=", "4"]]
    assert sum("loops" in line for line in lines) == 2
