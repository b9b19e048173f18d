"""Mutation testing of the referee's training: wrong trainings are caught, right ones in any formula pass."""

from __future__ import annotations

import pytest

from impls.referee import conformance
from tests.impls.trained import ACCEPTED, SoundTraining
from tests.impls.training_mutants import MUTANTS

LAWS = ("every optimizer, L2 and dropout", "train(n) is n steps, with every optimizer")

PAIRS = [(mutant, dtype) for mutant in MUTANTS for dtype in mutant.dtypes]


def broken(implementation: type[SoundTraining], dtype: str) -> list[str]:
    """The first reason for which an implementation breaks a law, if any."""
    for law in LAWS:
        for _, holds in reversed(conformance.LAWS[law]):  # the last trainings have the most to get wrong
            try:
                holds(implementation, dtype)
            except conformance.BrokenLawError as reason:
                return [str(reason)]
    return []


@pytest.mark.parametrize("dtype", SoundTraining.dtypes)
@pytest.mark.parametrize("accepted", ACCEPTED, ids=lambda accepted: accepted.__name__)
def test_right_formulas_that_people_use_pass(accepted: type[SoundTraining], dtype: str) -> None:
    assert broken(accepted, dtype) == []


@pytest.mark.parametrize(
    ("mutant", "dtype"), PAIRS, ids=[f"{mutant.__name__}-{dtype}" for mutant, dtype in PAIRS]
)
def test_the_mutant_is_killed(mutant: type[SoundTraining], dtype: str) -> None:
    assert broken(mutant, dtype)


def test_there_are_at_least_30_of_them() -> None:
    assert len(MUTANTS) >= 30
