"""The laws of backpropagation, over every implementation, with hypothesis choosing the problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
import numpy as np
import pytest

import impls
from impls import Implementation, Network, Problem, Result, Unsupported, referee
from impls.interface import ACTIVATIONS
from impls.referee.reference import Reference, reference
from tests.impls.problems import SMALL, Sizes, one_hot, problems

EXAMPLES = {"jax": 1, "torch-compile": 1, "loops-ndarray": 6}
"""Fewer examples where each one compiles for seconds, or runs for long."""

LAYERS = {"numba-loops": 3}
"""Fewer layers where every depth compiles for seconds, and the loop over layers is one."""

SAME_ORDER = ("loops-ndarray", "numba-loops")
"""The implementations that sum in the order of `loops`."""

RATE = 0.05

Law = Callable[[type[Implementation], Problem, str], None]


def hold(
    law: Law,
    implementation: type[Implementation],
    name: str,
    sizes: Sizes = SMALL,
    activations: Sequence[str] = (),
) -> None:
    """Let hypothesis look for a problem at which an implementation breaks a law, in each of its dtypes."""
    sizes = dataclasses.replace(sizes, layers=min(sizes.layers, LAYERS.get(name, sizes.layers)))
    found = problems(sizes, activations or ACTIVATIONS[:-1])
    usual = hypothesis.settings.default
    assert usual is not None

    @hypothesis.settings(usual, max_examples=EXAMPLES.get(name, usual.max_examples))
    @hypothesis.given(found, hypothesis.strategies.sampled_from(implementation.dtypes))
    def holds(problem: Problem, dtype: str) -> None:
        try:
            law(implementation, problem, dtype)
        except Unsupported as reason:
            hypothesis.event(f"unsupported: {reason}")

    holds()


def exact(problem: Problem, dtype: str, batch: int = 0) -> Reference:
    problem = referee.held(problem, dtype)
    return reference(problem, problem.weights, problem.biases, batch, dtype, np.inf)


def gradients(result: Result) -> tuple[Any, ...]:
    return (*result.dw, *result.db)


def bounds(found: Reference) -> list[Any]:
    return [part.bound for part in (*found.dw, *found.db)]


def within(one: Sequence[Any], other: Sequence[Any], limit: Sequence[Any]) -> bool:
    """Whether no element is further from its counterpart than its limit; NaN is."""
    return all(
        p.shape == q.shape and bool((np.abs(p - q) <= E).all())
        for p, q, E in zip(one, other, limit, strict=True)
    )


def bits(result: Result) -> list[bytes]:
    """Every bit of a result."""
    return [np.float64(result.loss).tobytes(), *(array.tobytes() for _, array in referee.quantities(result))]


def test_the_referee_passes_every_problem(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        assert referee.check(implementation(problem, dtype), problem, dtype).message == ""

    hold(law, implementation, implementation_name)


def test_the_gradient_is_the_derivative_of_the_returned_cost(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        rng = np.random.default_rng(0)
        v = [rng.standard_normal(w.shape) * np.abs(w).mean() for w in problem.weights]
        h = 2.0**-9

        def cost(t: float) -> tuple[float, float]:
            weights = tuple(w + t * h * v_k for w, v_k in zip(problem.weights, v, strict=True))
            moved = dataclasses.replace(problem, weights=weights)
            return implementation(moved, "float64").export().loss, float(exact(moved, "float64").loss.bound)

        (a, E_a), (b, E_b), (c, E_c), (d, E_d) = cost(-2), cost(-1), cost(1), cost(2)
        crude = (c - b) / (2 * h)
        fine = (a - 8 * b + 8 * c - d) / (12 * h)
        rounding = (E_a + 8 * E_b + 8 * E_c + E_d) / (12 * h)
        result = implementation(problem, "float64").export()
        slope = sum(float((dw * v_k).sum()) for dw, v_k in zip(result.dw, v, strict=True))
        own = sum(
            float((part.bound * np.abs(v_k)).sum())
            for part, v_k in zip(exact(problem, "float64").dw, v, strict=True)
        )
        # the error of the fine quotient is far below its distance from the crude one
        assert abs(fine - slope) <= abs(fine - crude) + rounding + own

    # relu has a kink that a difference may straddle; the referee sees to relu
    hold(law, implementation, implementation_name, Sizes(3, 9, 9), ("sigmoid", "tanh", "identity"))


def test_the_batch_gradient_is_the_mean_of_single_sample_gradients(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        m = problem.batch_size
        single = dataclasses.replace(problem, X=problem.X[:, :m], Y=problem.Y[:, :m], batch_size=1)
        one = implementation(single, dtype)
        found, allowed = [], []
        for s in range(m):
            one.step(0.0)
            found.append(gradients(one.export()))
            allowed.append(bounds(exact(single, dtype, s)))
        means = [np.mean(parts, axis=0) for parts in zip(*found, strict=True)]
        # the exact gradients have this very property; the mean itself is taken in float64
        limits = [
            np.mean(E_s, axis=0) + E + m * np.finfo(float).eps * np.abs(parts).max(axis=0)
            for E_s, E, parts in zip(
                zip(*allowed, strict=True),
                bounds(exact(problem, dtype)),
                zip(*found, strict=True),
                strict=True,
            )
        ]
        assert within(gradients(implementation(problem, dtype).export()), means, limits)

    hold(law, implementation, implementation_name, Sizes(3, 12, 9))


def test_permuting_samples_changes_nothing_beyond_the_bound(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        m = problem.batch_size
        order = np.random.default_rng(0).permutation(m)
        first = dataclasses.replace(problem, X=problem.X[:, :m], Y=problem.Y[:, :m])
        permuted = dataclasses.replace(first, X=first.X[:, order], Y=first.Y[:, order])
        limits = [2 * E for E in bounds(exact(first, dtype))]
        one, other = implementation(first, dtype).export(), implementation(permuted, dtype).export()
        assert within(gradients(one), gradients(other), limits)
        assert within([one.output[:, order]], [other.output], [2 * exact(permuted, dtype).output.bound])

    hold(law, implementation, implementation_name)


def test_duplicating_the_batch_leaves_the_averages(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        m = problem.batch_size
        first = dataclasses.replace(problem, X=problem.X[:, :m], Y=problem.Y[:, :m])
        doubled = Problem(
            first.network, first.weights, first.biases, np.tile(first.X, 2), np.tile(first.Y, 2), 2 * m
        )
        limits = [
            E + E_2 for E, E_2 in zip(bounds(exact(first, dtype)), bounds(exact(doubled, dtype)), strict=True)
        ]
        one, other = implementation(first, dtype).export(), implementation(doubled, dtype).export()
        assert within(gradients(one), gradients(other), limits)

    hold(law, implementation, implementation_name)


@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_softmax_is_shift_invariant(implementation: type[Implementation], shift: float) -> None:
    network = Network((4, 6), ("softmax",), "softmax_cross_entropy")
    given = Problem.random(network, 9, 9)

    def coarse(array: Any) -> Any:
        """Multiples of 2^-6: so that z and z + 1000 are exact in either dtype."""
        return np.rint(array * 64) / 64

    for dtype in implementation.dtypes:
        near = Problem(
            network,
            tuple(map(coarse, given.weights)),
            (coarse(given.biases[0]),),
            coarse(given.X),
            given.Y,
            9,
        )
        far = dataclasses.replace(near, biases=(near.biases[0] + shift,))
        try:
            one, other = implementation(near, dtype).export(), implementation(far, dtype).export()
        except Unsupported as reason:
            pytest.skip(str(reason))
        E, E_far = exact(near, dtype), exact(far, dtype)
        limits = [p + q for p, q in zip(bounds(E), bounds(E_far), strict=True)]
        assert within(gradients(one), gradients(other), limits)
        assert within([one.output], [other.output], [E.output.bound + E_far.output.bound])
        assert abs(one.loss - other.loss) <= E.loss.bound + E_far.loss.bound


def test_a_step_with_rate_0_changes_no_bit(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race = implementation(problem, dtype)
        before = race.export()
        race.step(0.0)
        after = race.export()
        for old, new in zip(before.weights + before.biases, after.weights + after.biases, strict=True):
            assert old.tobytes() == new.tobytes()

    hold(law, implementation, implementation_name)


def test_train_equals_as_many_steps_bit_for_bit(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        trained, stepped = implementation(problem, dtype), implementation(problem, dtype)
        steps = problem.batches + 1
        trained.train(steps, RATE)
        for _ in range(steps):
            stepped.step(RATE)
        one, other = trained.export(), stepped.export()
        hypothesis.assume(all(np.isfinite(w).all() for w in one.weights))
        assert bits(one) == bits(other)

    hold(law, implementation, implementation_name)


def test_two_calls_agree(implementation: type[Implementation], implementation_name: str) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        race = implementation(problem, dtype)
        first = race.export()
        race.gradients()
        assert bits(race.export()) == bits(first)
        assert bits(race.export()) == bits(first)

    hold(law, implementation, implementation_name)


def test_two_constructions_agree(implementation: type[Implementation], implementation_name: str) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        assert bits(implementation(problem, dtype).export()) == bits(implementation(problem, dtype).export())

    hold(law, implementation, implementation_name)


def test_read_only_and_non_contiguous_inputs_survive(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        def strided(array: Any) -> Any:
            wide = np.full((2 * array.shape[0], 3 * array.shape[1]), np.nan)
            wide[::2, ::3] = array
            return wide[::2, ::3]

        def fortran(array: Any) -> Any:
            return np.asfortranarray(array)

        plain = implementation(problem, dtype).export()
        for layout in (strided, fortran):
            given = [layout(a) for a in (*problem.weights, *problem.biases, problem.X, problem.Y)]
            for array in given:
                array.flags.writeable = False
            *parameters, X, Y = given
            L = problem.network.layers
            other = Problem(
                problem.network, tuple(parameters[:L]), tuple(parameters[L:]), X, Y, problem.batch_size
            )
            before = [array.tobytes() for array in given]
            race = implementation(other, dtype)
            race.step(RATE)
            assert [array.tobytes() for array in given] == before
            assert bits(implementation(other, dtype).export()) == bits(plain)

    hold(law, implementation, implementation_name)


def test_denormals_signed_zeros_and_empty_classes_do_no_harm(
    implementation: type[Implementation], implementation_name: str
) -> None:
    def law(implementation: type[Implementation], problem: Problem, dtype: str) -> None:
        info = np.finfo(dtype)
        specks = np.array(
            [0.0, -0.0, info.smallest_subnormal, -info.smallest_normal / 4, info.smallest_normal]
        )

        def speckled(array: Any) -> Any:
            copy = array.copy()
            copy.flat[::3] = np.resize(specks, copy.flat[::3].shape)
            return copy

        Y = problem.Y
        if problem.network.loss == "softmax_cross_entropy":
            Y = one_hot(Y * (np.arange(len(Y)) < max(len(Y) - 1, 1))[:, None])
        given = Problem(
            problem.network,
            tuple(map(speckled, problem.weights)),
            tuple(map(speckled, problem.biases)),
            speckled(problem.X),
            Y,
            problem.batch_size,
        )
        assert referee.check(implementation(given, dtype), given, dtype).message == ""

    hold(law, implementation, implementation_name)


def test_those_that_sum_in_the_same_order_are_known(
    implementation: type[Implementation], implementation_name: str
) -> None:
    assert implementation.same_order == (implementation_name in ("loops", "loops-pypy", *SAME_ORDER))


@pytest.mark.parametrize("name", SAME_ORDER)
@pytest.mark.parametrize("g", [*ACTIVATIONS, "sigmoid and its cross-entropy"])
def test_sums_in_the_same_order_are_equal_bit_for_bit(name: str, g: str) -> None:
    """One activation at a time: where a platform breaks this, the failing case names the function."""
    loops, implementation = impls.load("loops"), impls.load(name)
    loss, hidden, last = "mean_squared_error", g, g
    if g == "softmax":
        loss, hidden = "softmax_cross_entropy", "identity"
    if g == "sigmoid and its cross-entropy":
        loss, hidden, last = "binary_cross_entropy", "identity", "sigmoid"
    for seed in range(6):
        rng = np.random.default_rng(seed)
        widths = tuple(int(n) for n in rng.integers(1, 20, 4))
        m = int(rng.integers(1, 30))
        scale = (1.0, 5.0, 300.0)[seed % 3]
        problem = Problem.random(Network(widths, (hidden, hidden, last), loss), 2 * m, m, seed, scale)
        one, other = loops(problem), implementation(problem)
        for _ in range(2):
            assert bits(one.export()) == bits(other.export()), f"{g}, {problem.network}"
            one.step(RATE)
            other.step(RATE)
