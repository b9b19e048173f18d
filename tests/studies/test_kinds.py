"""Nothing slips through: each kind of slowdown is named by its measure, and no change by none."""

import pytest

from tests.studies.kinds import KINDS, tally


def test_no_change_is_no_slowdown() -> None:
    found = tally(KINDS["nothing"], 30, seed=0)
    assert (found.named, found.alarms, found.passed) == (0, 0, 30)


@pytest.mark.parametrize(
    ("kind", "named_by"),
    [
        ("every call 10 % slower", "median"),
        ("every third call 5 times", "mean"),
        ("every tenth call 20 times", "mean"),
        ("every 20th call 50 times", "mean"),
        ("every tenth call 3 times", "tail"),
        ("one process in five 2 times", "processes"),
        ("first call 20 times", "first call"),
        ("memory 1.5 times", "memory"),
    ],
)
def test_each_kind_of_slowdown_is_named_by_its_measure(kind: str, named_by: str) -> None:
    found = tally(KINDS[kind], 10, seed=1)
    assert found.alarms == 0
    assert found.named >= 9
    assert found.measures[named_by] >= 9
