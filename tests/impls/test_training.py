"""The laws of training, over the implementations of this project, with hypothesis choosing the problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import impls
from impls import Implementation, Network, Problem, Result, Training
from impls.interface import OPTIMIZERS
from impls.kernels import masks
from tests.impls.problems import Sizes, problems

OWN = (
    "loops",
    "loops-ndarray",
    "numpy-sample",
    "numpy",
    "numpy-inplace",
    "numba-loops",
    "numba",
    "numba-blocked",
    "numba-parallel",
)

SIZES = Sizes(layers=3, width=9, batch=11)

ONE_DEPTH = dataclasses.replace(SIZES, layers=2, fewest=2)
"""The problems for `numba-loops`, which compiles for seconds at every depth, and has one loop over layers."""

RATE = 0.01

SMALLEST = 1e-30
"""An epsilon that nothing is to be seen of, in either dtype."""

Law = Callable[[type[Implementation], Problem, str], None]


@pytest.fixture(params=OWN, scope="module")
def implementation(request: pytest.FixtureRequest) -> type[Implementation]:
    return impls.load(request.param)


@st.composite
def trainings(draw: st.DrawFn, problem: Problem) -> Training:
    """Any training of a problem's network."""
    rates = st.sampled_from((0.0, 0.2, 0.5, 0.9))
    hidden = problem.network.layers - 1
    return Training(
        optimizer=draw(st.sampled_from(tuple(OPTIMIZERS))),
        l2=draw(st.sampled_from((0.0, 1e-3, 0.5))),
        dropout=draw(st.one_of(rates, st.tuples(*[rates] * hidden))),
        seed=draw(st.integers(0, 2**32 - 1)),
        mu=draw(st.sampled_from((0.9, 0.5))),
        rho=draw(st.sampled_from((0.9, 0.99))),
        b1=draw(st.sampled_from((0.9, 0.5))),
        b2=draw(st.sampled_from((0.999, 0.9))),
    )


@st.composite
def trained(draw: st.DrawFn, implementation: type[Implementation]) -> Problem:
    """Problems with any training."""
    problem = draw(problems(ONE_DEPTH if implementation is impls.load("numba-loops") else SIZES))
    return dataclasses.replace(problem, training=draw(trainings(problem)))


def hold(law: Law, implementation: type[Implementation]) -> None:
    """Let hypothesis look for a problem at which an implementation breaks a law, in each of its dtypes."""

    @hypothesis.given(trained(implementation), st.sampled_from(implementation.dtypes))
    def holds(problem: Problem, dtype: str) -> None:
        law(implementation, problem, dtype)

    holds()


def with_training(problem: Problem, **changes: Any) -> Problem:
    return dataclasses.replace(problem, training=dataclasses.replace(problem.training, **changes))


def arrays(result: Result) -> list[Any]:
    parts = (result.output, *result.dw, *result.db, *result.weights, *result.biases)
    return [np.float64(result.loss), *parts, *result.state]


def same_bits(one: Result, other: Result) -> bool:
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def stepped(race: Implementation, steps: int, rate: float = RATE) -> Result:
    for _ in range(steps):
        race.step(rate)
    return race.export()


def test_the_state_is_in_the_order_and_the_shapes_of_the_contract(
    implementation: type[Implementation],
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race = implementation(problem, dtype)
        shapes = [array.shape for array in (*problem.weights, *problem.biases)]
        shapes *= OPTIMIZERS[problem.training.optimizer]
        for steps in range(3):
            state = race.export().state
            kept, t = state[:-1], state[-1] if state else 0
            assert [array.shape for array in kept] == shapes
            assert all(array.dtype == np.float64 for array in kept)
            assert steps or not any(array.any() for array in kept)
            assert type(t) is int
            if state:
                assert t == steps
            else:
                assert not shapes
                assert not any(problem.dropout)
            race.step(RATE)

    hold(law, implementation)


def test_train_is_as_many_steps_bit_for_bit(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        one, other = implementation(problem, dtype), implementation(problem, dtype)
        steps = problem.batches + 1
        one.train(steps, RATE)
        assert same_bits(one.export(), stepped(other, steps))

    hold(law, implementation)


def test_gradients_are_of_the_current_step_and_do_not_advance_it(
    implementation: type[Implementation],
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race = implementation(problem, dtype)
        for _ in range(2):
            first = race.export()
            race.gradients()
            race.forward()
            race.gradients()
            assert same_bits(first, race.export())
            race.step(0.0)
            race.gradients()

    hold(law, implementation)


def test_forward_has_no_dropout(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race, plain = (
            implementation(problem, dtype),
            implementation(with_training(problem, dropout=0.0), dtype),
        )
        race.forward()
        plain.forward()
        one, other = race.export(), plain.export()
        assert one.output.tobytes() == other.output.tobytes()
        assert one.loss == other.loss

    hold(law, implementation)


def test_dropout_of_0_is_none(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        hidden = problem.network.layers - 1
        none, zero = with_training(problem, dropout=0.0), with_training(problem, dropout=(0.0,) * hidden)
        assert same_bits(stepped(implementation(none, dtype), 2), stepped(implementation(zero, dtype), 2))

    hold(law, implementation)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_momentum_of_0_is_gradient_descent(implementation: type[Implementation], optimizer: str) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        plain = with_training(problem, optimizer="gradient_descent")
        momentum = with_training(problem, optimizer=optimizer, mu=0.0)
        one, other = (stepped(implementation(p, dtype), 2) for p in (plain, momentum))
        for a, b in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
            assert np.array_equal(a, b)

    hold(law, implementation)


@pytest.mark.parametrize(
    "training", [Training("adam", b1=0.0, b2=0.0, eps=SMALLEST), Training("rmsprop", rho=0.0, eps=SMALLEST)]
)
def test_without_memory_a_step_follows_the_sign_alone(
    implementation: type[Implementation], training: Training
) -> None:
    for dtype in implementation.dtypes:
        problem = Problem.random(
            Network((5, 4, 3), ("tanh", "identity"), "mean_squared_error"), 6, 3, training=training
        )
        race = implementation(problem, dtype)
        before = race.export()
        after = stepped(race, 1)
        old, new = (*before.weights, *before.biases), (*after.weights, *after.biases)
        for p, q, dp in zip(old, new, (*after.dw, *after.db), strict=True):
            assert (np.abs(dp) > 1e-9).all()
            np.testing.assert_allclose(q, p - RATE * np.sign(dp), rtol=1e-6, atol=1e-8)


def test_adam_without_weight_decay_is_adamw(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        adam = with_training(problem, optimizer="adam")
        adamw = with_training(problem, optimizer="adamw", weight_decay=0.0)
        one, other = (stepped(implementation(p, dtype), 2) for p in (adam, adamw))
        for a, b in zip(arrays(one), arrays(other), strict=True):
            assert np.array_equal(a, b)

    hold(law, implementation)


def test_weight_decay_and_l2_are_for_weights_alone(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        for plain, changed in (
            ({"l2": 0.0}, {"l2": 0.5}),
            (
                {"optimizer": "adamw", "weight_decay": 0.0},
                {"optimizer": "adamw", "weight_decay": 0.5},
            ),
        ):
            one, other = (
                stepped(implementation(with_training(problem, **change), dtype), 1)
                for change in (plain, changed)
            )
            for a, b in zip(
                (*one.dw, *one.db, *one.biases), (*other.dw, *other.db, *other.biases), strict=True
            ):
                assert np.array_equal(a, b)
            for w, a, b in zip(problem.weights, one.weights, other.weights, strict=True):
                assert (a != b).any() or not w.any()

    hold(law, implementation)


def equations(problem: Problem, before: Result, after: Result, rate: float) -> list[Any]:
    """The arrays of `after`, by the equations of `Training` from the state of `before` and the gradients."""
    o = problem.training
    L = problem.network.layers
    kinds = OPTIMIZERS[o.optimizer]
    t = after.state[-1] if after.state else 0
    parameters = (*before.weights, *before.biases)
    kept = [before.state[2 * L * kind : 2 * L * (kind + 1)] for kind in range(kinds)]
    new: list[list[Any]] = [[] for _ in range(kinds + 1)]
    for k, (p, dp) in enumerate(zip(parameters, (*after.dw, *after.db), strict=True)):
        weights = k < L
        g = dp + o.l2 * p if weights else dp
        state = [array[k] for array in kept]
        if o.optimizer == "gradient_descent":
            change = g
        elif o.optimizer in ("momentum", "nesterov"):
            v = o.mu * state[0] + g
            state, change = [v], v if o.optimizer == "momentum" else g + o.mu * v
        elif o.optimizer == "rmsprop":
            v = o.rho * state[0] + (1 - o.rho) * g**2
            state, change = [v], g / (np.sqrt(v) + o.eps)
        else:
            m, v = o.b1 * state[0] + (1 - o.b1) * g, o.b2 * state[1] + (1 - o.b2) * g**2
            state = [m, v]
            change = m / (1 - o.b1**t) / (np.sqrt(v / (1 - o.b2**t)) + o.eps)
            if o.optimizer == "adamw" and weights:
                change = change + o.weight_decay * p
        for array, kind in zip([p - rate * change, *state], new, strict=True):
            kind.append(array)
    return [array for kind in new for array in kind]


def test_a_step_is_that_of_the_equations(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race = implementation(problem, dtype)
        u = float(np.finfo(dtype).eps)
        for _ in range(3):
            before = race.export()
            race.step(RATE)
            after = race.export()
            found = (*after.weights, *after.biases, *after.state[:-1])
            for got, want in zip(found, equations(problem, before, after, RATE), strict=True):
                np.testing.assert_allclose(got, want, rtol=20 * u, atol=20 * u * max(1, np.abs(want).max()))

    hold(law, implementation)


def test_the_gradient_is_the_derivative_of_the_cost_under_the_mask(
    implementation: type[Implementation],
) -> None:
    network = Network((4, 7, 6, 3), ("tanh", "sigmoid", "identity"), "mean_squared_error")
    problem = Problem.random(network, 5, 5, training=Training(dropout=(0.5, 0.3)))
    result = implementation(problem).export()
    h = 1e-6
    for layer, dw in enumerate(result.dw):
        for place in [(0, 0), (1, 2), (2, 3)]:
            costs = []
            for move in (-h, h):
                weights = [w.copy() for w in problem.weights]
                weights[layer][place] += move
                moved = dataclasses.replace(problem, weights=tuple(weights))
                costs.append(implementation(moved).export().loss)
            assert (costs[1] - costs[0]) / (2 * h) == pytest.approx(dw[place], rel=1e-5, abs=1e-9)


def visible(n: int, m: int, hidden: int, training: Training) -> Problem:
    """A network whose output is the scaled mask of its last hidden layer: the activations there are 1."""
    widths = (1, *[n] * hidden, n)
    network = Network(widths, ("identity",) * (hidden + 1), "mean_squared_error")
    weights = (*(np.zeros((n, below)) for below in widths[:-2]), np.eye(n))
    biases = (*[np.ones((n, 1))] * hidden, np.zeros((n, 1)))
    return Problem(network, weights, biases, np.zeros((1, 2 * m)), np.zeros((n, 2 * m)), m, training)


@pytest.mark.parametrize("dropout", [0.25, 0.5, 0.9])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 5), (32, 3), (19, 64)])
def test_the_masks_are_those_of_the_definition_to_the_bit(
    implementation: type[Implementation], n: int, m: int, dropout: float
) -> None:
    for dtype in implementation.dtypes:
        for hidden in (1, 2):
            race = implementation(visible(n, m, hidden, Training(dropout=dropout, seed=7)), dtype)
            least, scale = masks.threshold(dropout), np.dtype(dtype).type(masks.scale(dropout))
            for step in range(3):
                key = masks.key(7, step, hidden - 1)
                hashes = [masks.lowbias32(masks.lowbias32(i) ^ key) for i in range(n * m)]
                wanted = scale * (np.array(hashes).reshape(n, m) >= least)
                race.gradients()
                assert np.array_equal(race.export().output, wanted)
                race.step(0.0)
                assert np.array_equal(race.export().output, wanted)


def test_the_share_of_what_is_dropped_is_p_and_the_expectation_stays(
    implementation: type[Implementation],
) -> None:
    n, m, p = 40, 50, 0.3
    output = implementation(visible(n, m, 1, Training(dropout=p))).export().output
    deviation = np.sqrt(p * (1 - p) / (n * m))
    assert abs((output == 0).mean() - p) < 4 * deviation
    assert abs(output.mean() - 1) < 4 * deviation / (1 - p)


def test_read_only_inputs_survive(implementation: type[Implementation]) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        given = (*problem.weights, *problem.biases, problem.X, problem.Y)
        before = [array.tobytes() for array in given]
        implementation(problem, dtype).train(3, RATE)
        assert [array.tobytes() for array in given] == before

    hold(law, implementation)


@pytest.mark.parametrize("name", ["loops-ndarray", "numba-loops"])
def test_updates_in_the_same_order_are_equal_bit_for_bit(name: str) -> None:
    @hypothesis.given(trained(impls.load(name)))
    def law(problem: Problem) -> None:
        loops, other = impls.load("loops")(problem), impls.load(name)(problem)
        for _ in range(4):
            assert same_bits(stepped(loops, 1), stepped(other, 1))

    law()
