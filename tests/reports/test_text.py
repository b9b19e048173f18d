"""The sentences of reports."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.record.race_file import Record
from reports import text
from reports.analysis import Analysis
from tests.reports.records import cell, race, record, rows


def words(made: Record) -> list[str]:
    analysis = Analysis(made)
    return text.story(analysis, analysis.panel(), "loops").remarks


def test_speedups_that_are_not_known_to_the_target_are_named_the_widest_first() -> None:
    spread = {"numpy": 0.1, "numba": 0.3, "jax": 0.001}
    cells = [cell("loops", 1, k, (1.0,)) for k in range(3)]
    for name, width in spread.items():
        cells += [cell(name, 1, k, (float(np.exp(width * (k - 1))),)) for k in range(3)]
    made = record(cells, settings={"target": 0.05})
    found = [each for each in words(made) if each.startswith("Not known to ±5%")]
    assert len(found) == 1
    assert found[0].index("numba at m = 1") < found[0].index("numpy at m = 1")
    assert "jax" not in found[0]
    assert not any("Not known" in each for each in words(dataclasses.replace(made, settings={})))


def test_of_many_such_speedups_only_the_widest_are_named() -> None:
    made = dataclasses.replace(race(processes=3, noise=0.5), settings={"target": 0.01})
    found = next(each for each in words(made) if each.startswith("Not known"))
    assert found.count(" at m = ") == text.LONGEST
    assert "more." in found


def test_the_answer_rests_on_what_was_measured_where_it_can() -> None:
    made = [
        cell("loops", 1, seconds=(8.0,)),
        cell("numpy", 1, seconds=(1.0,)),
        cell("numpy", 4, seconds=(1.0,)),
    ]
    made.append(cell("loops", 4, status="skipped", predicted_seconds=32.0))

    def answer(shown: Record) -> str:
        return text.answer(rows(shown), "loops")

    assert answer(record(made)).startswith("numpy is 8.00x as fast as loops at m = 1, rounds of one process")
    assert answer(record(made[2:])).startswith("numpy is 32.0x as fast as loops (projected) at m = 4 ")


def test_a_headline_of_one_implementation_is_compared_with_nothing() -> None:
    steps = cell("numpy", 64, phase="headline", seconds=(1e-3,), iterations=100)
    analysis = Analysis(record([steps], settings={"steps": 100}))
    found = text.story(analysis, analysis.panel(), "numpy").answer
    assert found.startswith("100 steps of 64 samples take numpy 100 ms (")


def test_cells_whose_bound_does_not_discriminate_are_counted_with_the_largest_ratio() -> None:
    cells = [
        cell("loops", m, process, (1.0,), error_of_bound=0.1, bound_of_norm=m * text.DISCRIMINATING / 2)
        for m in (1, 4, 16)
        for process in range(2)
    ]
    cells.append(cell("loops", 64, 0, (1.0,)))  # of an older record, which has no ratio
    found = words(record(cells, ("loops",)))
    assert (
        "The elementwise bound does not discriminate in 2 of 3 cells: it has up to 0.0800 of the norm of "
        "what it bounds; there the error of each array as a whole is what counts."
    ) in found
    assert not any("discriminate" in each for each in words(record(cells[:2], ("loops",))))


def test_the_fallback_baseline_is_named() -> None:
    made = [
        cell("numpy", 1, seconds=(4.0,), dtype="float32"),
        cell("numba", 1, seconds=(1.0,), dtype="float32"),
    ]
    made.append(cell("loops", 1, status="unsupported", dtype="float32"))
    analysis = Analysis(record(made))
    found = text.story(analysis, analysis.panel(), "loops")
    assert found.answer.startswith("numba is 4.00x as fast as numpy at m = 1")
    assert found.remarks[0] == (
        "loops was not measured here: speedups are over the fallback baseline, numpy (float32, 1 thread)."
    )
    assert text.story(analysis, analysis.panel(), "numpy").remarks[0].startswith("numpy: time of one call")
