"""Mutation testing of the referee's training: wrong trainings are caught, right ones in any formula pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from impls.referee import conformance
from tests.impls.trained import ACCEPTED, SoundTraining
from tests.impls.training_mutants import MUTANTS

TRAININGS, TRAIN = "every optimizer, L2 and dropout", "train(n) is n steps, with every optimizer"

LAST = conformance.LAWS[TRAININGS][::-1]
"""The last trainings of an optimizer have the most to get wrong; there are four of each."""

CASES = (*(case for k in range(4) for case in LAST[k::4]), *conformance.LAWS[TRAIN])
"""Every optimizer once, then again: a mistake is in one of them, as a rule."""

PAIRS = [(mutant, dtype) for mutant in MUTANTS for dtype in mutant.dtypes]


def broken(
    implementation: type[SoundTraining], dtype: str, cases: Sequence[conformance.Case] = CASES
) -> list[str]:
    """The first reason for which an implementation breaks a law, if any."""
    for _, holds in cases:
        try:
            holds(implementation, dtype)
        except conformance.BrokenLawError as reason:
            return [str(reason)]
    return []


def test_every_case_is_there_once() -> None:
    assert sorted(name for name, _ in CASES) == sorted(
        name for law in (TRAININGS, TRAIN) for name, _ in conformance.LAWS[law]
    )


@pytest.mark.parametrize("dtype", SoundTraining.dtypes)
@pytest.mark.parametrize("accepted", ACCEPTED, ids=lambda accepted: accepted.__name__)
def test_right_formulas_that_people_use_pass(accepted: type[SoundTraining], dtype: str) -> None:
    # the others have one training of each optimizer, with everything in it, and random ones in test_training
    cases = CASES if accepted is SoundTraining else LAST[::4]
    assert broken(accepted, dtype, cases) == []


@pytest.mark.parametrize(
    ("mutant", "dtype"), PAIRS, ids=[f"{mutant.__name__}-{dtype}" for mutant, dtype in PAIRS]
)
def test_the_mutant_is_killed(mutant: type[SoundTraining], dtype: str) -> None:
    assert broken(mutant, dtype)


def test_there_are_at_least_30_of_them() -> None:
    assert len(MUTANTS) >= 30
