"""The conformance test finds implementations that are right at first and wrong later."""

from __future__ import annotations

import pytest

import impls
from impls.referee import conformance, first_state, judge_forward, judge_gradients, judge_step, judge_train
from tests.impls.later import LATER
from tests.impls.mutants import Sound

LAWS = ("every call is right, from the state before it", "train(n) is n steps")


@pytest.mark.parametrize("mutant", LATER, ids=lambda mutant: mutant.__name__)
def test_what_is_wrong_only_later_is_found_out(mutant: type[Sound]) -> None:
    broken = []
    for law in LAWS:
        for _, holds in conformance.LAWS[law]:
            try:
                holds(mutant, "float64")
            except conformance.BrokenLawError as reason:
                broken.append(str(reason))
    assert broken


def test_there_are_at_least_15_of_them() -> None:
    assert len(LATER) >= 15


@pytest.mark.parametrize("dtype", Sound.dtypes)
def test_single_results_are_judged_from_the_state_before_them(dtype: str) -> None:
    problem = impls.Problem.random(conformance.SOFTMAX, 15, 5)
    race, state = Sound(problem, dtype), first_state(problem, dtype)
    for rate in conformance.RATES:
        assert judge_gradients(state, race.export()).passed
        race.forward()
        assert judge_forward(state, race.export()).passed
        race.step(rate)
        result = race.export()
        assert judge_step(state, result, rate).passed
        assert not judge_step(state, result, rate * 1.001).passed
        assert not judge_gradients(state, result).passed  # the parameters have moved
        state = state.after_step(result)
        race.gradients()


def test_a_result_of_another_batch_is_wrong() -> None:
    problem = impls.Problem.random(conformance.SOFTMAX, 15, 5)
    race, state = Sound(problem), first_state(problem, "float64")
    race.batch = 1
    race.gradients()
    found = judge_gradients(state, race.export())
    assert found.fault == "wrong"
    assert "in gradients" in found.message


def test_a_training_is_equal_to_its_steps_bit_for_bit() -> None:
    problem = impls.Problem.random(conformance.SOFTMAX, 15, 5)
    one, other = Sound(problem), Sound(problem)
    one.train(7, 0.1)
    for _ in range(7):
        other.step(0.1)
    assert judge_train(one.export(), other.export()).passed
    other.step(0.1)
    found = judge_train(one.export(), other.export())
    assert not found.passed
    assert "as the same number of steps leaves it" in found.message
