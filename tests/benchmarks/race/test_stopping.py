"""When a race has seen enough."""

from __future__ import annotations

import dataclasses

from benchmarks.race import stopping
from benchmarks.race.questions import Ranking, Speedups
from benchmarks.race.stopping import Gathered
from benchmarks.record import race_file
from benchmarks.record.cells import Cell


def measurement(name: str, process: int, seconds: float = 1.0) -> race_file.Measurement:
    return race_file.Measurement(
        "digits", "gradients", name, 1, "float64", 1, process, "measured", seconds=(seconds,), iterations=1
    )


def cell(name: str, m: int = 1, dtype: str = "float64") -> Cell:
    return Cell("digits", "gradients", m, dtype, 1, name)


def next_cells(
    cells: list[Cell],
    measurements: list[race_file.Measurement],
    costs: dict[Cell, float],
    budget: float,
    question: stopping.Question = Speedups("loops", 0.05),  # noqa: B008 - it is frozen
) -> list[Cell]:
    return stopping.next_cells(cells, Gathered(measurements, {}, costs), question, budget)


def test_first_everything_then_what_is_wide_then_nothing() -> None:
    cells = [cell("loops"), cell("numpy"), cell("numba")]
    steady = [measurement(c.implementation, k) for k in range(5) for c in cells]
    assert next_cells(cells, [], {}, 1.0) == cells
    assert next_cells(cells, steady[:9], {}, 1.0) == cells
    assert next_cells(cells, steady, {}, 1.0) == []
    wide = [
        m if m.implementation != "numba" else measurement("numba", m.process, 1 + m.process) for m in steady
    ]
    assert next_cells(cells, wide, {}, 1.0) == [cell("loops"), cell("numba")]


def test_a_lost_cell_is_not_tried_again() -> None:
    cells = [cell("loops"), cell("numpy")]
    gone = dataclasses.replace(measurement("numpy", 0), status="timed out", seconds=())
    lost = [measurement("loops", 0), gone]
    assert next_cells(cells, lost, {}, 1.0) == [cell("loops")]


def test_the_budget_buys_the_widest_first() -> None:
    cells = [cell("loops"), cell("numpy"), cell("numba")]
    found = [measurement("loops", k) for k in range(5)]
    found += [measurement("numpy", k, 1 + k) for k in range(5)]
    found += [measurement("numba", k, 1 + 10 * k) for k in range(5)]
    costs = {cell("loops"): 3.0, cell("numpy"): 1.0, cell("numba"): 1.0}
    assert next_cells(cells, found, costs, 4.5) == [cell("loops"), cell("numba")]
    assert next_cells(cells, found, costs, 5.5) == cells
    assert next_cells(cells, found, costs, 3.5) == []


def test_a_small_budget_buys_the_cheapest_at_first() -> None:
    cells = [cell("loops"), cell("numpy"), cell("numba"), cell("loops", m=16), cell("numpy", m=16)]
    found = [dataclasses.replace(measurement(c.implementation, 0), batch_size=c.batch_size) for c in cells]
    costs = {cells[0]: 0.1, cells[1]: 1.0, cells[2]: 5.0, cells[3]: 9.0, cells[4]: 2.0}
    assert next_cells(cells, found, costs, 1.5) == cells[:2]
    assert next_cells(cells, found, costs, 17.1) == cells
    assert next_cells(cells, found, costs, 0.05) == []


def test_what_one_process_timed_and_another_predicted_to_be_too_slow_is_tried_again() -> None:
    skipped = dataclasses.replace(measurement("loops", 1), status="skipped", seconds=())
    assert stopping.lost([measurement("loops", 0), skipped]) == set()
    assert stopping.lost([skipped]) == {cell("loops")}
    hung = dataclasses.replace(skipped, status="timed out")
    assert stopping.lost([measurement("loops", 0), hung]) == {cell("loops")}


def test_without_a_baseline_to_pair_with_a_cell_is_not_raced_on() -> None:
    cells = [cell("loops"), cell("numpy")]
    found = [
        measurement("loops", 0),
        dataclasses.replace(measurement("loops", 1), status="failed", seconds=()),
    ]
    found += [measurement("numpy", k, 1 + k) for k in range(5)]
    assert next_cells(cells, found, {}, 1.0) == []


def test_a_narrow_interval_of_few_pairs_is_not_believed() -> None:
    cells = [cell("loops"), cell("numpy")]
    found = [measurement("loops", k) for k in range(5)] + [measurement("numpy", k) for k in (0, 1)]
    assert next_cells(cells, found, {}, 1.0) == cells
    found += [measurement("numpy", k) for k in (2, 3, 4)]
    assert next_cells(cells, found, {}, 1.0) == []


def test_a_cell_that_no_process_has_come_to_is_wanted_however_many_there_were() -> None:
    cells = [cell("loops"), cell("numpy"), cell("numba")]
    found = [measurement(name, k) for k in range(7) for name in ("loops", "numpy")]
    assert next_cells(cells, found, {}, 1.0) == [cell("loops"), cell("numba")]


def test_what_is_left_of_the_budget_buys_pairs_for_the_ranking_and_no_cell_alone() -> None:
    cells = [cell("loops"), cell("numpy"), cell("numba")]
    found = [
        measurement(name, 0, seconds) for name, seconds in (("loops", 2.0), ("numpy", 1.1), ("numba", 1.0))
    ]
    costs = dict.fromkeys(cells, 1.0)
    for budget, wanted in (
        (0.5, []),
        (1.5, []),
        (2.5, ["numpy", "numba"]),
        (3.5, ["loops", "numpy", "numba"]),
    ):
        chosen = next_cells(cells, found, costs, budget, Ranking())
        assert [one.implementation for one in chosen] == wanted


def test_a_ranking_of_one_is_raced_all_the_same() -> None:
    found = [measurement("numpy", 0)]
    assert next_cells([cell("numpy")], found, {}, 1.0, Ranking()) == [cell("numpy")]


def test_who_was_not_timed_yet_races_beside_the_first_of_the_ranking() -> None:
    cells = [cell("numpy"), cell("numba"), cell("torch")]
    times = [("numpy", 2.0), ("numba", 1.0)]
    found = [measurement(name, k, seconds) for k in range(5) for name, seconds in times]
    assert next_cells(cells, found, {}, 1.0, Ranking()) == [cell("numba"), cell("torch")]
