"""Mutation testing of the referee: every wrong implementation is caught, and the right one passes."""

from __future__ import annotations

import pytest

from impls import referee
from tests.impls.mutants import MUTANTS, Sound, battery

BATTERY = battery()
PAIRS = [(mutant, dtype) for mutant in MUTANTS for dtype in mutant.dtypes]


def killed(mutant: type[Sound], dtype: str) -> bool:
    """Whether the referee rejects a mutant at any of the problems."""
    return any(not referee.check(mutant(problem, dtype), problem, dtype).passed for problem in BATTERY)


@pytest.mark.parametrize("dtype", Sound.dtypes)
def test_the_right_implementation_passes(dtype: str) -> None:
    for problem in BATTERY:
        assert referee.check(Sound(problem, dtype), problem, dtype).message == ""


@pytest.mark.parametrize(
    ("mutant", "dtype"), PAIRS, ids=[f"{mutant.__name__}-{dtype}" for mutant, dtype in PAIRS]
)
def test_the_mutant_is_killed(mutant: type[Sound], dtype: str) -> None:
    assert killed(mutant, dtype)


def test_none_of_at_least_25_mutants_survives(capsys: pytest.CaptureFixture[str]) -> None:
    dead = sum(all(killed(mutant, dtype) for dtype in mutant.dtypes) for mutant in MUTANTS)
    with capsys.disabled():
        print(f"\nmutants killed: {dead} of {len(MUTANTS)}, in each of their dtypes")
    assert dead == len(MUTANTS) >= 25
