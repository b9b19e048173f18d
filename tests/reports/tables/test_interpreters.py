"""One file under several interpreters: known by its source, named by its interpreter."""

from __future__ import annotations

import dataclasses

from benchmarks.record.race_file import Record
from reports import render
from reports.analysis import Analysis
from reports.tables.interpreters import interpreters
from tests.reports import records


def of(*names: str, **under: dict[str, str]) -> Record:
    """A race in which the implementations `under` are the file of loops, under other interpreters."""
    race = records.race((*names, *under))
    facts = dict(race.implementations)
    for name, versions in under.items():
        facts[name] = dataclasses.replace(facts["loops"], versions=versions)
    return dataclasses.replace(race, implementations=facts)


def test_the_same_file_under_other_interpreters_is_named_by_them() -> None:
    race = of(
        "loops", "numpy", **{"loops-pypy": {"PyPy": "3.9.16"}, "loops@python3.13": {"CPython": "3.13.0"}}
    )
    assert interpreters(race) == {
        "loops": "Python 3.11",
        "loops-pypy": "PyPy 3.9.16",
        "loops@python3.13": "CPython 3.13.0",
    }


def test_another_file_is_no_interpreter_and_loops_alone_are_none() -> None:
    assert interpreters(of("loops", "numpy")) == {}
    assert interpreters(of("numpy", "numba")) == {}


def test_the_picture_is_drawn_where_there_are_several_and_names_them_all() -> None:
    def drawn(race: Record) -> dict[str, list[str]]:
        analysis = Analysis(race)
        panel = analysis.panel()
        return {
            name: [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
            for _, name, figure in render.figures(analysis, panel, analysis.baseline())
        }

    assert "interpreters" not in drawn(of("loops", "numpy"))
    labels = drawn(of("loops", "numpy", **{"loops-pypy": {"PyPy": "3.9.16"}}))["interpreters"]
    assert sorted(labels) == ["loops, PyPy 3.9.16", "loops, Python 3.11", "numpy"]
