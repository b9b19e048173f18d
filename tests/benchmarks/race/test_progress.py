"""How a race is shown while it runs."""

from __future__ import annotations

import io
import threading

import pytest
import rich.console

from benchmarks.race.progress import Progress, RaceProgress

STANDINGS = [
    RaceProgress(process=1, done=0, cells=2, state="no speedup yet", left=9.0, took=0.0),
    RaceProgress(process=1, done=1, cells=2, state="no speedup yet", left=8.0, took=0.0),
    RaceProgress(process=1, done=2, cells=2, state="1 speedup", left=7.0, took=2.04),
]


def shown(terminal: bool, quiet: bool = False) -> str:
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=terminal, width=100)
    with Progress(quiet, console) as progress:
        for now in STANDINGS:
            progress(now)
    return file.getvalue()


def test_elsewhere_than_in_a_terminal_a_process_is_a_line() -> None:
    assert shown(terminal=False) == "process 1: 2 cells in 2.0 s; 1 speedup\n"


def test_in_a_terminal_every_cell_is_shown() -> None:
    text = shown(terminal=True)
    for words in ("cell 0/2", "cell 1/2", "cell 2/2", "7 s left at most"):
        assert words in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_race_shows_nothing(terminal: bool) -> None:
    assert shown(terminal, quiet=True) == ""


def test_nothing_is_drawn_between_two_calls() -> None:
    before = threading.active_count()
    console = rich.console.Console(file=io.StringIO(), force_terminal=True)
    with Progress(quiet=False, console=console) as progress:
        progress(STANDINGS[0])
        assert threading.active_count() == before
