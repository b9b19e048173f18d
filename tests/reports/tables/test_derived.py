"""The ladder, break-evens, exponents, ceilings, totals."""

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.record.race_file import Process, Record, Workload
from reports.tables import derived, frames
from reports.tables.derived import Course
from tests.reports.records import LADDER, cell, race, record

PANEL = frames.Panel("digits", "gradients", "float64", 1)


def rows(made: Record) -> pd.DataFrame:
    return frames.of_panel(frames.speedups(made, "loops"), PANEL)


def test_a_rung_is_held_against_the_one_it_differs_from() -> None:
    made = record(
        [
            cell("loops", 1, 0, (8.0,)),
            cell("numpy-sample", 1, 0, (4.0,)),
            cell("numpy", 1, 0, (1.0,)),
            cell("jax", 1, 1, (1.0,)),  # in a process where its rung did not run
        ]
    )
    found = derived.ladder(made, PANEL).set_index("implementation")
    assert found["factor"].to_dict() == pytest.approx({"numpy-sample": 2.0, "numpy": 4.0})
    assert found.loc["numpy", "differs_from"] == "numpy-sample"


def test_three_sizes_are_a_small_a_middle_and_a_large_one() -> None:
    assert derived.three_sizes(rows(race())) == [1, 64, 1024]
    assert derived.three_sizes(rows(race(sizes=(4,)))) == [4]
    assert derived.three_sizes(rows(record([cell("loops", 1, status="failed")]))) == []


def test_compilation_is_repaid_after_its_length_over_what_a_step_gains() -> None:
    slow, fast = Course("numpy", 0.0, 2.0), Course("numba", 10.0, 1.0)
    assert derived.break_even(fast, slow) == 10.0
    assert derived.break_even(slow, fast) == math.inf
    assert derived.break_even(Course("a", 0.0, 1.0), slow) == 0.0
    assert derived.leads([slow, fast]) == [(1.0, "numpy"), (10.0, "numba")]


def test_the_lead_passes_from_implementation_to_implementation() -> None:
    field = [Course("a", 0.0, 9.0), Course("b", 8.0, 5.0), Course("c", 80.0, 1.0), Course("d", 500.0, 4.0)]
    found = derived.leads(field)
    assert [lead.implementation for lead in found] == ["a", "b", "c"]
    for before, after in itertools.pairwise(found):
        one, other = (
            next(c for c in field if c.implementation == lead.implementation) for lead in (before, after)
        )
        assert one.after(np.array(after.steps)) == pytest.approx(other.after(np.array(after.steps)))
    assert derived.leads([]) == []


def test_growth_tells_a_fixed_cost_from_a_proportional_one() -> None:
    sizes = (1, 4, 16, 64, 256, 1024)
    made = record(
        [cell("loops", m, k, (1e-3 * m,)) for m in sizes for k in range(2)]
        + [cell("torch", m, k, (max(1.0, m / 64),)) for m in sizes for k in range(2)]
    )
    found = derived.growth(made, PANEL)
    assert found["loops"][0].value == pytest.approx(1.0)
    assert found["torch"][0].value == pytest.approx(0.0)
    assert found["torch"][1].value == pytest.approx(1.0)
    assert derived.growth(race(sizes=(1, 2, 3)), PANEL) == {}


def test_growth_is_not_averaged_with_that_over_fewer_sizes() -> None:
    sizes = (1, 4, 16, 64)
    cells = [cell("torch", m, k, (max(1.0, m / 16),)) for m in sizes for k in range(2)]
    few = [cell("torch", m, 2, (max(1.0, m / 16),)) for m in (16, 64)]  # a process that was asked for these
    assert derived.growth(record([*cells, *few]), PANEL) == derived.growth(record(cells), PANEL)


def test_growth_with_width_needs_three_networks() -> None:
    widths = {"a": (10, 10), "b": (20, 20), "c": (40, 40)}
    shapes = {name: Workload(w, ("relu",), "mean_squared_error", "random") for name, w in widths.items()}
    cells = [cell("loops", 4, 0, (float(w[0] ** 2),), workload=name) for name, w in widths.items()]
    made = record(cells, workloads=tuple(widths))
    made = dataclasses.replace(made, workloads=shapes)
    size, found = derived.width_growth(made, PANEL._replace(workload="a"))
    assert size == 4
    assert found["loops"].value == pytest.approx(1.0)
    assert derived.width_growth(race(), PANEL) == (0, {})


def test_the_roof_is_the_median_of_the_processes_that_measured_it() -> None:
    processes = tuple(
        Process(0, "now", 1.0, calibration=c)
        for c in ({}, {"gemm_float64": 1e9, "triad": 2e9}, {"gemm_float64": 3e9, "triad": 4e9})
    )
    made = record([cell("loops", 1, k) for k in range(3)])
    made = dataclasses.replace(made, processes=processes)
    assert derived.roof(made, "float64", 1) == (2e9, 3e9)
    assert derived.roof(made, "float32", 1) is None
    assert derived.roof(made, "float64", 2) is None


def headline() -> Record:
    cells = [cell("numpy", 64, 0, (2.0, 2.0), phase="headline", iterations=50, losses=(0.9, 0.5))]
    cells += [
        cell("loops", 64, k, seconds, phase="headline", iterations=1)
        for k, seconds in enumerate(((1.0,), (1.2,)), 1)
    ]
    return record(cells, settings={"steps": 100})


def test_a_run_in_full_is_summed_and_a_sample_projected() -> None:
    found = {t.implementation: t for t in derived.totals(headline(), PANEL._replace(phase="headline"))}
    assert found["numpy"].in_full
    assert found["numpy"].seconds == pytest.approx(200.0)
    assert not found["loops"].in_full
    assert found["loops"].seconds == pytest.approx(100 * math.sqrt(1.2))
    assert found["loops"].low < 100 < found["loops"].high
    assert derived.totals(race(), PANEL) == []


def test_one_process_projects_without_an_interval_and_a_fault_is_not_averaged_away() -> None:
    panel = PANEL._replace(phase="headline")
    made = headline()
    alone = dataclasses.replace(made, measurements=made.measurements[:2])
    loops = derived.totals(alone, panel)[1]
    assert loops.implementation == "loops"
    assert math.isnan(loops.low)
    assert math.isnan(loops.high)
    crashed = cell("loops", 64, 2, phase="headline", status="failed")
    faulty = dataclasses.replace(made, measurements=(*made.measurements[:2], crashed))
    assert [total.implementation for total in derived.totals(faulty, panel)] == ["numpy"]


def test_losses_stand_beside_the_seconds_until_then() -> None:
    found = derived.losses(headline(), PANEL._replace(phase="headline"))
    spent, losses = found["numpy"]
    assert list(spent) == [100.0, 200.0]
    assert list(losses) == [0.9, 0.5]
    assert "loops" not in found


def test_a_cold_start_is_preferred_to_the_one_that_the_race_saw() -> None:
    warm = cell("numba", 1, 0, (1.0,), construct_seconds=0.5)
    alone = cell("numba", 1, 1, (), cold_construct_seconds=9.0)
    assert derived.courses(rows(record([warm])), 1) == [("numba", 0.5, 1.0, False)]
    assert derived.courses(rows(record([warm, alone])), 1) == [("numba", 9.0, 1.0, True)]


def test_every_implementation_of_a_race_has_a_course() -> None:
    field = derived.courses(rows(race(LADDER, processes=2)), 64)
    assert [course.implementation for course in field] == list(LADDER)
    assert len(derived.leads(field)) > 1
