"""How the referee judges training: its own masks, the equations of a step, their bounds, what it reports."""

from __future__ import annotations

import dataclasses
import decimal
import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from impls import Network, Problem, Training, load
from impls.interface import OPTIMIZERS
from impls.kernels import masks as kernel
from impls.referee import Verdict, check, first_state, judge_forward, judge_gradients, judge_step
from impls.referee.double_double import DoubleDouble, sqrt
from impls.referee.judgement import learning_rate, reference_of
from impls.referee.masks import kept
from impls.referee.oracle import Oracle
from impls.referee.structure import STATES, asked
from impls.referee.update import Update
from tests.impls.mutants import Sound
from tests.impls.problems import random_trained_problem, trained_problems, training
from tests.impls.trained import ACCEPTED, SoundTraining, WiderRegisters
from tests.impls.training_mutants import BiasCorrectionInSinglePrecision, OneUnitKept
from tests.studies.referee import trained

NETWORK = Network((4, 6, 5, 3), ("tanh", "sigmoid", "softmax"), "softmax_cross_entropy")

RATES = (0.1, 2.0, 0.003)

trainings = st.builds(
    lambda data: training(lambda options: data.draw(st.sampled_from(options)), NETWORK), st.data()
)


def problem(given: Training, network: Network = NETWORK) -> Problem:
    return Problem.random(network, 14, 7, seed=3, training=given)


def steps(implementation: type[SoundTraining], given: Problem, dtype: str) -> list[Verdict]:
    """The verdicts on gradients, a step for each of RATES, and a forward pass at the end."""
    race, state = implementation(given, dtype), first_state(given, dtype)
    found = [judge_gradients(state, race.export())]
    for rate in RATES:
        race.step(rate)
        result = race.export()
        found.append(judge_step(state, result, rate))
        state = state.after_step(result)
    race.forward()
    return [*found, judge_forward(state, race.export())]


# Masks


@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**40),
    dropout=st.floats(0, 1, exclude_max=True),
    m=st.integers(1, 40),
)
def test_masks_are_those_of_the_definition_to_the_bit(seed: int, step: int, dropout: float, m: int) -> None:
    given = Problem.random(NETWORK, m, m, training=Training(dropout=dropout, seed=seed))
    *hidden, last = kept(given, "float64", step)
    assert last is None
    for layer, mask in enumerate(hidden):
        key, least = kernel.key(seed, step, layer), kernel.threshold(dropout)
        n = given.network.widths[layer + 1]
        want = [kernel.lowbias32(kernel.lowbias32(i) ^ key) >= least for i in range(n * m)]
        if mask is None:
            assert dropout == 0
            continue
        assert np.array_equal(mask > 0, np.reshape(want, (n, m)))
        assert set(np.unique(mask)) <= {0.0, 1 / (1 - dropout)}


def test_the_scale_is_a_number_of_the_dtype() -> None:
    mask = kept(problem(Training(dropout=0.1)), "float32", 0)[0]
    assert mask is not None
    assert mask.max() == float(np.float32(1 / 0.9))


def test_a_single_wrong_number_of_a_mask_is_found() -> None:
    given = problem(Training(dropout=0.5))
    for dtype in SoundTraining.dtypes:
        assert not steps(OneUnitKept, given, dtype)[0].passed


def test_gradients_with_dropout_are_the_derivative_of_the_cost_with_the_same_masks() -> None:
    given = problem(Training(dropout=(0.5, 0.3), seed=5))
    drop = kept(given, "float64", 4)
    rng = np.random.default_rng(0)
    ways = [rng.standard_normal(w.shape) for w in given.weights]
    Y = given.Y[:, :7]

    def cost(far: float) -> float:
        weights = tuple(w + far * way for w, way in zip(given.weights, ways, strict=True))
        found = Oracle(NETWORK, weights, given.biases, True).propagate(given.X[:, :7], Y, drop)
        return float(found.cost.hi[0, 0])

    exact = Oracle(NETWORK, given.weights, given.biases, True).propagate(given.X[:, :7], Y, drop)
    slope = sum(float((dw.hi * way).sum()) for dw, way in zip(exact.dw, ways, strict=True))
    assert (cost(1e-5) - cost(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-8)


# The equations of a step


def decimals(array: Any) -> Any:
    return np.vectorize(decimal.Decimal, otypes=[object])(array)


def equations(given: Training, p: Any, d: Any, state: list[Any], t: int, rate: float, weights: bool) -> Any:
    """A step in decimals, as the docstring of `Training` has it: parameters, and the optimizer's arrays."""
    D, one = decimal.Decimal, decimal.Decimal(1)
    root = np.vectorize(lambda x: x.sqrt(), otypes=[object])
    mu, rho, eps, lr = D(given.mu), D(given.rho), D(given.eps), D(rate)
    b1, b2 = D(given.b1), D(given.b2)
    of_rho, of_b1, of_b2 = D(1 - given.rho), D(1 - given.b1), D(1 - given.b2)
    p = decimals(p)
    g = decimals(d) + (D(given.l2) * p if weights else 0)
    state = [decimals(array) for array in state]
    if given.optimizer == "gradient_descent":
        return [p - lr * g]
    if given.optimizer in ("momentum", "nesterov"):
        v = mu * state[0] + g
        return [p - lr * (v if given.optimizer == "momentum" else g + mu * v), v]
    if given.optimizer == "rmsprop":
        v = rho * state[0] + of_rho * g * g
        return [p - lr * g / (root(v) + eps), v]
    m, v = b1 * state[0] + of_b1 * g, b2 * state[1] + of_b2 * g * g
    change = lr * (m / (one - b1**t)) / (root(v / (one - b2**t)) + eps)
    if given.optimizer == "adamw" and weights:
        change = change + lr * D(given.weight_decay) * p
    return [p - change, m, v]


@hypothesis.given(
    given=trainings,
    t=st.sampled_from((1, 2, 3, 10, 1000, 100_000)),
    rate=st.sampled_from(RATES),
    weights=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@hypothesis.settings(max_examples=60)
def test_the_exact_step_is_that_of_the_equations(
    given: Training, t: int, rate: float, weights: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    p, d = rng.standard_normal((2, 3, 4))
    d *= 10.0 ** rng.integers(-9, 3)
    state = [rng.standard_normal((3, 4)) ** 2 * (t > 1) for _ in STATES[given.optimizer]]
    parameters, arrays = Update(given, "float64", t, rate)(p, d, state, weights)
    with decimal.localcontext() as context:
        context.prec = 60
        wanted = equations(given, p, d, state, t, rate, weights)
        for exact, want in zip([parameters, *arrays], wanted, strict=True):
            error = np.abs(decimals(exact.hi) + decimals(exact.lo) - want).astype(np.float64)
            assert (error <= 2.0**-30 * exact.bound).all()


def test_the_root_of_a_doubled_number_is_right_to_100_bits() -> None:
    x = DoubleDouble(np.array([2.0, 1e-300, 0.0, 3e10]), np.array([1e-17, 0.0, 0.0, -1e-7]))
    y = sqrt(x)
    with decimal.localcontext() as context:
        context.prec = 60
        for k in range(4):
            want = (decimal.Decimal(x.hi[k]) + decimal.Decimal(x.lo[k])).sqrt()
            got = decimal.Decimal(y.hi[k]) + decimal.Decimal(y.lo[k])
            assert abs(got - want) <= want * decimal.Decimal(2) ** (-53 if k == 1 else -100)


def changes(given: Training, d: Any) -> Any:
    p = np.zeros_like(d)
    return Update(given, "float64", 1, 0.5)(p, d, [p] * len(STATES[given.optimizer]), True)[0].hi


def test_momentum_without_momentum_is_gradient_descent() -> None:
    d = np.random.default_rng(0).standard_normal((3, 4))
    for optimizer in ("momentum", "nesterov"):
        assert np.array_equal(changes(Training(optimizer, mu=0.0), d), changes(Training(), d))


def test_adam_without_memory_and_with_a_tiny_epsilon_is_signed_descent() -> None:
    d = np.random.default_rng(0).standard_normal((3, 4))
    found = changes(Training("adam", b1=0.0, b2=0.0, eps=1e-300), d)
    assert np.array_equal(found, -0.5 * np.sign(d))


# The bound


@pytest.mark.parametrize("dtype", SoundTraining.dtypes)
@pytest.mark.parametrize("implementation", ACCEPTED, ids=lambda accepted: accepted.__name__)
def test_the_bound_holds_for_any_training_and_right_formula(
    implementation: type[SoundTraining], dtype: str
) -> None:
    @hypothesis.given(trained_problems())
    def holds(given: Problem) -> None:
        for verdict in steps(implementation, given, dtype):
            assert verdict.passed, verdict.message

    holds()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bound_of_an_update_is_a_few_roundings(optimizer: str) -> None:
    """Arithmetic of 11 bits anywhere in it is then beyond the bound, so that it needs no second test."""
    rng = np.random.default_rng(0)
    d = rng.random((30, 20)) + 0.01  # of one sign, lest anything cancels
    state = [rng.random((30, 20)) for _ in STATES[optimizer]]
    parameters, arrays = Update(Training(optimizer), "float32", 3, 0.1)(0 * d, d, state, False)
    for exact in (parameters, *arrays):
        assert (exact.bound < 2.0**-18 * np.abs(exact.hi)).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_whose_squares_underflow_are_no_reason_to_reject(optimizer: str) -> None:
    """g / (sqrt(v) + eps) where v is 0, or next to it, in float32."""
    network = Network((4, 5, 3), ("identity", "identity"), "mean_squared_error")
    for size in (1e-12, 1e-18, 1e-21, 1e-25):
        for eps in (1e-8, 1e-20, 1e-30):
            given = Problem.random(network, 14, 7, training=Training(optimizer, eps=eps))
            tiny = dataclasses.replace(
                given, X=given.X * size, Y=given.Y * size, biases=tuple(b * size for b in given.biases)
            )
            for verdict in steps(SoundTraining, tiny, "float32"):
                assert verdict.passed, (size, eps, verdict.message)


def test_a_gradient_of_0_and_a_state_of_0_leave_the_parameters_as_they_are() -> None:
    zero, p = np.zeros((2, 3)), np.ones((2, 3))
    for optimizer, kinds in STATES.items():
        parameters, arrays = Update(Training(optimizer), "float32", 1, 0.1)(
            p, zero, [zero] * len(kinds), True
        )
        if optimizer != "adamw":
            assert np.array_equal(parameters.hi, p)
        assert all((array.hi == 0).all() and (array.bound == 0).all() for array in arrays)


@pytest.mark.parametrize("b", [0.9, 0.999, 0.99999])
@pytest.mark.parametrize("t", [1, 2, 50, 10_000])
def test_the_correction_is_granted_what_float64_loses_in_it(b: float, t: int) -> None:
    found = Update(Training("adam", b1=b, b2=b), "float64", t, 0.1).c1
    product = 1.0
    for _ in range(t):
        product *= b
    for c in (1 - b**t, 1 - product, -math.expm1(t * math.log(b))):
        assert abs(c - float(found.exact.hi)) <= found.error * float(found.exact.hi)
    assert found.error < 2.0**-53 * (1 / (1 - b) + 10) * 10


def test_a_correction_computed_in_float32_is_coarse() -> None:
    given = problem(Training("adam"))
    found = next(v for v in steps(BiasCorrectionInSinglePrecision, given, "float32") if not v.passed)
    assert found.fault == "coarse"
    assert found.message.startswith("coarser than float32: weights[")


def test_a_sample_whose_units_are_saturated_but_for_one_is_no_reason_to_reject() -> None:
    """Its error is a single number, and not as many as the layer has units; the last layer is one of tanh."""
    given = random_trained_problem(4167)
    race, state = SoundTraining(given, "float32"), first_state(given, "float32")
    rate = learning_rate(state.weights, reference_of(state))
    race.step(rate)
    assert judge_step(state, race.export(), rate).message == ""


# What is reported


def test_a_step_of_another_training_is_wrong_and_the_asked_one_is_named() -> None:
    given = problem(Training(l2=0.01))
    found = check(Sound(given), given, "float64")
    assert found.fault == "wrong"
    assert found.message.startswith("weights[")
    assert found.message.endswith("(training: gradient_descent, l2=0.01)")


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            Training("adam", dropout=0.5),
            "state: expected 12 arrays, m and v of all weights and then of all biases, and t, got (): is "
            "problem.training ignored? (after construction) (training: adam, dropout=0.5)",
        ),
        (
            Training(dropout=(0.5, 0.0)),
            "state: expected (t,), t being the number of steps made, got (): is problem.training ignored? "
            "(after construction) (training: gradient_descent, dropout=(0.5, 0.0))",
        ),
    ],
)
def test_a_class_that_ignores_the_training_is_told_what_was_asked(training: Training, message: str) -> None:
    given = problem(training)
    assert check(Sound(given), given, "float64").message == message


def test_a_class_that_returns_no_state_is_right_for_plain_descent() -> None:
    given = problem(Training(mu=0.5))
    assert check(Sound(given), given, "float64").passed


def test_the_structure_of_a_state_is_judged_before_its_values() -> None:
    given = problem(Training("momentum"))
    state = SoundTraining(given).export().state
    cases: tuple[tuple[Any, str], ...] = (
        (list(state), "state: expected a tuple of 6 arrays, v of all weights"),
        (state[:-1], "state: expected 6 arrays, v of all weights and then of all biases, and t, got 6 items"),
        ((*state[:-1], 0.0), "state[-1]: expected t as an int, got float"),
        ((*state[:-1], True), "state[-1]: expected t as an int, got bool"),
        ((*state[:-1], 1), "state[-1]: expected t = 0, the number of steps made, got 1"),
        ((state[0].T, *state[1:]), "state[0], v of weights[0]: expected shape (6, 4), got (4, 6)"),
        ((*state[:5], state[5].astype("f4"), state[6]), "state[5], v of biases[2]: expected a float64 NumPy"),
        ((state[0] + np.inf, *state[1:]), "state[0], v of weights[0]: expected finite numbers, got inf"),
        ((state[0] + 1e-9, *state[1:]), "state[0] at [0, 0], in gradients: the error 1e-09"),
    )
    for changed, message in cases:
        result = dataclasses.replace(SoundTraining(given).export(), state=changed)
        found = judge_gradients(first_state(given, "float64"), result)
        assert not found.passed
        assert found.message.startswith(message), found.message


def test_an_infinite_state_is_wrong_also_where_an_output_saturates() -> None:
    given = Problem.random(NETWORK, 14, 7, scale=1000.0, training=Training("momentum"))
    result = SoundTraining(given).export()
    assert (result.output == 0).any()
    result.state[0][0, 0] = np.inf
    found = judge_gradients(first_state(given, "float64"), result)
    assert found.fault == "wrong"
    assert found.message.startswith("state[0], v of weights[0]: expected finite numbers, got inf at [0, 0] (")


def test_a_wrong_array_of_the_state_is_named() -> None:
    given = problem(Training("adam"))
    race, state = SoundTraining(given), first_state(given, "float64")
    race.step(0.1)
    result = race.export()
    result.state[11][1, 0] *= 1.5
    found = judge_step(state, result, 0.1)
    assert found.message.startswith("state[11], v of biases[2], at [1, 0], in a step: the error ")


@pytest.mark.parametrize("dtype", SoundTraining.dtypes)
def test_an_epsilon_below_the_normal_numbers_is_refused(dtype: str) -> None:
    eps = float(np.finfo(dtype).smallest_normal) / 2
    with pytest.raises(ValueError, match=f"eps: expected .* where the normal numbers of {dtype} begin, got"):
        first_state(problem(Training("adam", eps=eps)), dtype)
    first_state(problem(Training("momentum", eps=eps)), dtype)


def test_a_training_is_shown_with_what_is_no_default_of_its_optimizer() -> None:
    assert asked(Training()) == asked(Training(mu=0.5, seed=3)) == ""
    assert asked(Training("momentum", b1=0.5)) == "momentum"
    assert asked(Training("adamw", dropout=0.5, seed=3, b1=0.5, weight_decay=0.1)) == (
        "adamw, dropout=0.5, seed=3, b1=0.5, weight_decay=0.1"
    )


def test_who_claims_the_order_of_loops_trains_with_its_bits() -> None:
    class ClaimsTrainingOrder(SoundTraining):
        same_order = True

    given = problem(Training("adam", dropout=0.5, l2=0.01))
    assert "bit for bit as in loops" in check(ClaimsTrainingOrder(given), given, "float64").message
    assert check(load("loops")(given), given, "float64").passed


@pytest.mark.parametrize(
    ("implementation", "seed", "dtype"), [(SoundTraining, 1311, "float64"), (WiderRegisters, 815, "float32")]
)
def test_errors_that_a_few_unsaturated_units_carry_accuse_nobody(
    implementation: type[SoundTraining], seed: int, dtype: str
) -> None:
    # nearly all units are saturated: how large an error gets is a matter of two or three roundings
    verdicts = trained(implementation, random_trained_problem(seed), dtype)
    assert [verdict.message for verdict in verdicts if not verdict.passed] == []
