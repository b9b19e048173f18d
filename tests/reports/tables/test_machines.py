"""Several machines: rankings beside each other, and a difference only where both orders are known."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from benchmarks.record.race_file import Record
from reports.analysis import Analysis
from reports.tables import compare, machines
from tests.reports.records import LADDER, cell, race, record

NAMES = LADDER[:4]


def analyses(**records: Record) -> dict[str, Analysis]:
    return {name: Analysis(each) for name, each in records.items()}


def swapped(made: Record, one: str, other: str) -> Record:
    """The record of a machine on which the two have each other's times."""
    names = {one: other, other: one}
    cells = tuple(
        dataclasses.replace(m, implementation=names.get(m.implementation, m.implementation))
        for m in made.measurements
    )
    return dataclasses.replace(made, measurements=cells, machine={"cpu": "another", "cores": 4})


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_machines_of_any_speed_have_one_ranking_where_all_ratios_are_the_same(scale: float) -> None:
    found = analyses(a=race(NAMES), b=race(NAMES, scale=scale))
    panel = found["a"].panel()
    assert list(machines.reversals(found, panel)) == []
    _, rows = machines.rankings(found, panel)
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert [each.split()[0] for each in one[1:]] == [each.split()[0] for each in other[1:]]


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(NAMES, 2)])
def test_two_that_change_places_are_named_with_their_machines(one: str, other: str) -> None:
    base = race(NAMES, noise=0.001)
    found = analyses(a=base, b=swapped(base, one, other), c=race(NAMES, scale=2.0, noise=0.001))
    every = list(machines.reversals(found, found["a"].panel()))
    pairs = [each for each in every if {each.one, each.other} == {one, other}]
    assert [each.batch_size for each in pairs] == [1, 4, 16, 64, 256, 1024]
    for each in pairs:
        assert {frozenset(each.faster), frozenset(each.slower)} == {frozenset({"a", "c"}), frozenset({"b"})}
        assert all(found.mean > 1 for found in each.faster.values())
        assert all(found.mean < 1 for found in each.slower.values())
    assert any(one in words and other in words for words in machines.remarks(found, found["a"].panel()))


def test_what_is_no_more_than_a_tie_changes_no_place() -> None:
    def machine(seconds: float) -> Record:
        return record([cell(n, 1, k, (s,)) for k in range(5) for n, s in (("numpy", 1.0), ("jax", seconds))])

    close, apart = analyses(a=machine(1.02), b=machine(0.98)), analyses(a=machine(1.1), b=machine(0.9))
    assert list(machines.reversals(close, close["a"].panel())) == []
    assert len(list(machines.reversals(apart, apart["a"].panel()))) == 1


def test_one_process_knows_no_order() -> None:
    base = race(NAMES, processes=1)
    found = analyses(a=base, b=swapped(base, "loops", "numpy"))
    assert list(machines.reversals(found, found["a"].panel())) == []


def test_what_one_machine_lacks_is_compared_on_the_others() -> None:
    base = race(NAMES, noise=0.001)
    found = analyses(a=base, b=swapped(base, "loops", "numpy"), c=race(NAMES[:1], (1,)))
    panel = found["a"].panel()
    assert all("c" not in {**each.faster, **each.slower} for each in machines.reversals(found, panel))
    sections, remarks = compare.side_by_side(found, panel, "loops")
    assert [section.title for section in sections][2:] == ["b against a", "c against a"]
    assert remarks[-1] == compare.NOTE
    assert all(len(row) == len(section.head) for section in sections for row in section.rows)
