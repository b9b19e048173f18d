"""The steps that repay a start."""

import itertools
import math

import numpy as np
import pytest

from reports.tables.break_even import Course, break_even, courses, leads
from tests.reports.records import LADDER, cell, race, record, rows


def test_compilation_is_repaid_after_its_length_over_what_a_step_gains() -> None:
    slow, fast = Course("numpy", 0.0, 2.0), Course("numba", 10.0, 1.0)
    assert break_even(fast, slow) == 10.0
    assert break_even(slow, fast) == math.inf
    assert break_even(Course("a", 0.0, 1.0), slow) == 0.0
    assert leads([slow, fast]) == [(1.0, "numpy"), (10.0, "numba")]


def test_the_lead_passes_from_implementation_to_implementation() -> None:
    field = [Course("a", 0.0, 9.0), Course("b", 8.0, 5.0), Course("c", 80.0, 1.0), Course("d", 500.0, 4.0)]
    found = leads(field)
    assert [lead.implementation for lead in found] == ["a", "b", "c"]
    for before, after in itertools.pairwise(found):
        one, other = (
            next(c for c in field if c.implementation == lead.implementation) for lead in (before, after)
        )
        assert one.after(np.array(after.steps)) == pytest.approx(other.after(np.array(after.steps)))
    assert leads([]) == []


def test_a_cold_start_is_preferred_to_the_one_that_the_race_saw() -> None:
    warm = cell("numba", 1, 0, (1.0,), construct_seconds=0.5)
    alone = cell("numba", 1, 1, (), cold_construct_seconds=9.0)
    assert courses(rows(record([warm])), 1) == [("numba", 0.5, 1.0, False)]
    assert courses(rows(record([warm, alone])), 1) == [("numba", 9.0, 1.0, True)]


def test_a_start_that_compiles_nothing_is_as_cold_as_the_first() -> None:
    plain = cell("numpy", 1, 0, (1.0,), construct_seconds=0.5, compile_seconds=0.0)
    cached = cell("numba", 1, 0, (1.0,), construct_seconds=0.5, compile_seconds=0.1)
    assert courses(rows(record([plain, cached])), 1) == [
        ("numpy", 0.5, 1.0, True),
        ("numba", 0.5, 1.0, False),
    ]


def test_every_implementation_of_a_race_has_a_course() -> None:
    field = courses(rows(race(LADDER, processes=2)), 64)
    assert [course.implementation for course in field] == list(LADDER)
    assert len(leads(field)) > 1
