"""The batch sizes at which lines cross."""

import pytest

from reports.tables.crossovers import notable_crossovers, three_sizes
from tests.reports.records import LADDER, cell, race, record, rows


def test_a_crossover_is_where_the_lines_cross_in_the_logarithms() -> None:
    # 1 + 0 m against m: they are equal at m = 10, for any measured sizes around it.
    made = record(
        [cell("numpy", size, seconds=(10.0,)) for size in (1, 100)]
        + [cell("loops", size, seconds=(float(size),)) for size in (1, 100)]
    )
    (found,) = notable_crossovers(rows(made), "loops")
    assert found.batch_size == pytest.approx(10.0)
    assert (found.passer, found.passed) == ("numpy", "loops")
    assert notable_crossovers(rows(made), "numpy") == notable_crossovers(rows(made), "jax") == [found]


def test_notable_crossovers_are_new_leaders_and_passings_of_the_baseline() -> None:
    made = race(LADDER, processes=1, noise=0.0)
    panel = rows(made)
    notable = notable_crossovers(panel, "loops")
    assert [(c.passer, c.passed) for c in notable] == [("numba-parallel", "numba")]
    over_jax = notable_crossovers(panel, "jax")
    assert all("jax" in (c.passer, c.passed) or c in notable for c in over_jax)
    assert len(over_jax) > 1


def test_three_sizes_are_a_small_a_middle_and_a_large_one() -> None:
    assert three_sizes(rows(race())) == [1, 64, 1024]
    assert three_sizes(rows(race(sizes=(4,)))) == [4]
    assert three_sizes(rows(record([cell("loops", 1, status="failed")]))) == []
