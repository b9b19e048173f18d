"""The error bound: never below an error, and not far above the largest."""

from __future__ import annotations

import dataclasses
import unittest.mock
from collections.abc import Iterator
from typing import TypeAlias

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from impls import Network, Problem, Unavailable, Unsupported, load
from impls.interface import DTYPES, LOSSES
from impls.referee import check, error_bound, held
from impls.referee.error_bound import (
    Derivatives,
    ErrorBound,
    Linear,
    Rounding,
    Spread,
    column_norms,
    resolution,
)
from impls.referee.oracle import Oracle, product
from impls.referee.reference import Reference, reference
from tests.impls.mutants import Sound
from tests.impls.problems import SMALL, Sizes, apply, problems, random_problem

ErrorsOfLayers: TypeAlias = list[NDArray[np.float64]]

PROBLEMS = 60
LOOSEST = 1000
"""The largest error of many problems is at least so small a part of its bound: 1 / LOOSEST."""


@pytest.mark.parametrize("dtype", Sound.dtypes)
def test_the_bound_holds_and_is_tight(dtype: str) -> None:
    shares = []
    for seed in range(PROBLEMS):
        problem = random_problem(seed, SMALL)
        found = check(Sound(problem, dtype), problem, dtype)
        assert found.passed, found.message
        shares.append(found.error_of_bound)
    assert 1 / LOOSEST <= max(shares) <= 1
    assert np.median(shares) >= 1 / LOOSEST


def test_the_bound_of_a_sum_is_gamma_times_its_magnitudes() -> None:
    """Higham (2002), equation 3.5: |fl(w x) - w x| <= gamma_n |w| |x|, the bias being one more term."""
    network = Network((5, 2), ("identity",), "mean_squared_error")
    given = Problem.random(network, 3, 3)
    E = reference(given, given.weights, given.biases, 0, "float64", np.inf).output.bound
    (w,), (b,) = given.weights, given.biases
    u = 2.0**-53
    want = 6 * u / (1 - 6 * u) * (np.abs(w) @ np.abs(given.X) + np.abs(b))
    assert (want <= E).all()
    assert (E / want <= 1.01).all()


def test_by_norms_an_error_counts_once_among_the_magnitudes_of_the_next_sum() -> None:
    """In arithmetic of 7 bits, where the second order shows."""
    network = Network((3, 4, 2), ("identity", "identity"), "mean_squared_error")
    given = Problem.random(network, 5, 5)
    (w, w_next), (b, b_next) = map(np.abs, given.weights), map(np.abs, given.biases)
    bound = ErrorBound(network, given.weights, given.biases, 5, "float32")
    bound.rounding.u = 2.0**-7
    exact = Oracle(network, given.weights, given.biases, False).propagate(given.X, given.Y)
    gamma = bound.rounding.gamma
    E = gamma(4) * (w @ np.abs(given.X) + b)
    carried = np.minimum(
        w_next @ E, np.linalg.norm(w_next, axis=1, keepdims=True) * np.linalg.norm(E, axis=0)
    )
    want = carried + gamma(5) * (w_next @ (np.abs(exact.x[1]) + E) + b_next)
    assert np.allclose(bound.of(exact, given.Y).output, want, rtol=2e-3, atol=0)


def test_gamma_is_highams() -> None:
    assert Rounding("float64").u == 2.0**-53
    assert Rounding("float32").u == 2.0**-24
    assert Rounding("float32").gamma(10) == 10 * 2.0**-24 / (1 - 10 * 2.0**-24)


def kink(x: float) -> Reference:
    """One relu whose z is 3 x - 3 x + b: 0 but for rounding, unless x is 0."""
    network = Network((2, 1, 1), ("relu", "identity"), "mean_squared_error")
    weights = (np.array([[3.0, -3.0]]), np.array([[1.0]]))
    biases = (np.zeros((1, 1)), np.zeros((1, 1)))
    given = Problem(network, weights, biases, np.full((2, 1), x), np.ones((1, 1)), 1)
    return reference(given, given.weights, given.biases, 0, "float64", np.inf)


def test_at_the_kink_of_relu_either_derivative_is_right_where_rounding_decides() -> None:
    found = kink(0.1)
    assert found.db[0].hi == 0
    assert found.db[0].bound >= 1  # da = -1: the derivative is 0 or -1


def test_at_the_kink_of_relu_a_sum_of_zeros_leaves_no_doubt() -> None:
    found = kink(0.0)
    assert found.db[0].hi == 0
    assert found.db[0].bound < 1e-300


def test_far_from_the_kink_the_bound_is_small() -> None:
    network = Network((1, 1, 1), ("relu", "identity"), "mean_squared_error")
    one = np.ones((1, 1))
    for b in (0.5, -1.5):
        given = Problem(network, (one, one), (b * one, 0 * one), one, 3 * one, 1)
        found = reference(given, given.weights, given.biases, 0, "float64", np.inf)
        assert found.db[0].hi == (-1.5 if b > 0 else 0)
        assert found.db[0].bound < 1e-13


def test_derivatives_and_norms_keep_the_bound_of_a_deep_network_down(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((64,) * 9, ("tanh",) * 8, "mean_squared_error")
    given = Problem.random(network, 4, 4, seed=1)

    def first_layer() -> float:
        return float(reference(given, given.weights, given.biases, 0, "float64", np.inf).dw[0].bound.max())

    with_derivatives = first_layer()
    monkeypatch.setattr(error_bound, "AFFORDABLE", 0.0)
    with_norms = first_layer()
    monkeypatch.setattr(Linear, "__call__", lambda self, error: Spread.alone(self.size @ error.E))
    assert 1000 * with_derivatives < with_norms
    assert 1000 * with_norms < first_layer()


@settings(max_examples=40)
@given(problems(Sizes(layers=5, width=9, batch=6)), st.sampled_from(DTYPES))
def test_by_derivatives_a_bound_is_no_larger_than_by_norms(problem: Problem, dtype: str) -> None:
    given = held(problem, dtype)
    found = []
    for affordable in (0.0, np.inf):
        with (
            unittest.mock.patch.object(error_bound, "AFFORDABLE", affordable),
            np.errstate(over="ignore", under="ignore", invalid="ignore"),
        ):
            found.append(reference(given, given.weights, given.biases, 0, dtype, np.inf))
    by_norms, by_derivatives = ((q.output, *q.dw, *q.db) for q in found)
    for norms, derivatives in zip(by_norms, by_derivatives, strict=True):
        assert np.linalg.norm(derivatives.bound) <= 1.001 * np.linalg.norm(norms.bound)


@dataclasses.dataclass
class Erring:
    """A pass through a network that errs by `z[k]` in each z and by `dz[k]` in each dz."""

    given: Problem
    kept: list[NDArray[np.float64] | None]

    def __call__(self, z: ErrorsOfLayers, dz: ErrorsOfLayers) -> tuple[ErrorsOfLayers, ErrorsOfLayers]:
        """The z and the dz of each layer."""
        given, L = self.given, self.given.network.layers
        a = given.X
        zs: ErrorsOfLayers = []
        as_: ErrorsOfLayers = []
        dzs: ErrorsOfLayers = []
        for k, g in enumerate(given.network.activations):
            zs.append(given.weights[k] @ a + given.biases[k] + z[k])
            as_.append(np.asarray(apply(g, zs[-1]), np.float64))
            keep = self.kept[k]
            a = as_[-1] if keep is None else as_[-1] * keep
        d = as_[-1] - given.Y
        for k in range(L - 1, -1, -1):
            if k < L - 1 or given.network.loss == "mean_squared_error":
                a = as_[k]
                slopes = {"identity": np.ones_like(a), "sigmoid": a * (1 - a), "tanh": 1 - a * a}
                d = d * slopes[given.network.activations[k]]
            d = d + dz[k]
            dzs.insert(0, d)
            keep = self.kept[k - 1]
            d = given.weights[k].T @ d if k else d
            d = d if keep is None or not k else d * keep
        return zs, dzs


@st.composite
def erring(draw: st.DrawFn) -> Erring:
    """Of networks of up to five layers, with dropout in some."""
    widths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=6))
    loss = draw(st.sampled_from(tuple(LOSSES)))
    inner = st.sampled_from(("identity", "sigmoid", "tanh"))
    activations = [draw(inner) for _ in widths[2:]] + [LOSSES[loss] or draw(inner)]
    given = Problem.random(
        Network(tuple(widths), tuple(activations), loss), 3, 3, seed=draw(st.integers(0, 99))
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kept: list[NDArray[np.float64] | None] = [
        rng.choice(np.array([0.0, 2.0]), (n, 3)) if draw(st.booleans()) else None for n in widths[1:-1]
    ]
    return Erring(given, [*kept, None])


def first_order(
    passed: Erring, z: ErrorsOfLayers, dz: ErrorsOfLayers
) -> tuple[ErrorsOfLayers, ErrorsOfLayers]:
    """The errors of z and dz that follow by derivatives from new errors of at most `z` and `dz`."""
    given = passed.given
    exact = Oracle(given.network, given.weights, given.biases, False).propagate(given.X, given.Y, passed.kept)
    found = Derivatives(given.weights, given.network.activations, exact, "float64")
    forward = [found.forth(e) for e in z]
    return forward, [found.back(e) for e in dz[::-1]][::-1]


SMALL_ERROR = 1e-6


@given(erring(), st.integers(0, 99))
def test_derivatives_hold_whatever_errors_are_made_on_the_way(passed: Erring, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(n, 3) for n in passed.given.network.widths[1:]]
    z, dz = ([SMALL_ERROR * rng.uniform(-1, 1, shape) for shape in shapes] for _ in range(2))
    none = [np.zeros(shape) for shape in shapes]
    E_z, E_dz = first_order(passed, [np.abs(e) for e in z], [np.abs(e) for e in dz])
    (z_exact, dz_exact), (z_erred, dz_erred) = passed(none, none), passed(z, dz)
    for E, q, p in zip(E_z + E_dz, z_exact + dz_exact, z_erred + dz_erred, strict=True):
        assert (np.abs(p - q) <= 1.001 * E + 1e-4 * SMALL_ERROR).all()


@given(erring())
def test_derivatives_have_no_more_than_all_errors_can_add_up_to(passed: Erring) -> None:
    """The error of each dz is the sum over all z and dz of what an error in that one alone makes of it."""
    shapes = [(n, 3) for n in passed.given.network.widths[1:]]
    full, none = ([np.full(shape, value) for shape in shapes] for value in (SMALL_ERROR, 0.0))
    _, E_dz = first_order(passed, full, full)
    total = [np.zeros(shape) for shape in shapes]
    for z, dz in one_at_a_time(none):
        for E, q, p in zip(total, passed(none, none)[1], passed(z, dz)[1], strict=True):
            E += np.abs(p - q)
    for E, attained in zip(E_dz, total, strict=True):
        assert np.allclose(E, attained, rtol=1e-3, atol=1e-3 * SMALL_ERROR)


def one_at_a_time(none: ErrorsOfLayers) -> Iterator[tuple[ErrorsOfLayers, ErrorsOfLayers]]:
    """ErrorsOfLayers of one unit's z, or of its dz, in every sample."""
    for k, unit in ((k, unit) for k, e in enumerate(none) for unit in range(len(e))):
        erred = [e.copy() for e in none]
        erred[k][unit] = SMALL_ERROR
        yield erred, none
        yield none, erred


class AsWrongAsItMayBe(Sound):
    """A pass that errs, in each operation, by all of what is granted; the signs are those of a generator."""

    def __init__(self, problem: Problem, rounding: Rounding, rng: np.random.Generator) -> None:
        self.rounding, self.rng = rounding, rng
        super().__init__(problem)

    def off(self, terms: int, size: NDArray[np.float64]) -> NDArray[np.float64]:
        signs = self.rng.choice((-1.0, 1.0, self.rng.choice((-1.0, 1.0))), size.shape)
        return np.asarray(signs * self.rounding.gamma(terms) * size)

    def z(self, k: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
        size = np.abs(self.w[k]) @ np.abs(x) + np.abs(self.b[k])
        return np.asarray(super().z(k, x) + self.off(len(x) + 1, size))

    def activation(self, g: str, z: NDArray[np.float64]) -> NDArray[np.float64]:
        a = np.asarray(super().activation(g, z))
        terms = {"sigmoid": 16, "tanh": 16, "softmax": len(z) + 24}
        size = np.maximum(a, 0.5) if g == "sigmoid" else np.abs(a)
        a = a + self.off(terms[g], size) if g in terms else a
        return np.minimum(a, 1) if g == "softmax" else a

    def slope(self, g: str, z: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
        slope = np.asarray(super().slope(g, z, a) * np.ones_like(a))
        sizes = {"sigmoid": slope, "tanh": np.ones_like(a)}
        return slope + self.off(3, sizes[g]) if g in sizes else slope

    def last_dz(self) -> NDArray[np.float64]:
        return np.asarray(super().last_dz() + self.off(3, np.abs(super().last_dz())))

    def da_prev(self, k: int, dz: NDArray[np.float64]) -> NDArray[np.float64]:
        size = np.abs(self.w[k].T) @ np.abs(dz)
        return np.asarray(super().da_prev(k, dz) + self.off(len(dz) + 8, size))


@settings(max_examples=40)
@given(
    problems(Sizes(layers=5, width=9, batch=3)),
    st.integers(8, 24),
    st.sampled_from((0.0, np.inf)),
    st.integers(0, 99),
)
def test_a_pass_that_errs_as_much_as_it_may_stays_within_the_bound(
    problem: Problem, bits: int, affordable: float, seed: int
) -> None:
    """In arithmetic so coarse that what is not linear in the errors matters."""
    given = held(problem, "float32")
    m = given.batch_size
    X, Y = given.X[:, :m], given.Y[:, :m]
    exact = Oracle(given.network, given.weights, given.biases, False).propagate(X, Y)
    with (
        unittest.mock.patch.object(error_bound, "AFFORDABLE", affordable),
        np.errstate(over="ignore", under="ignore", invalid="ignore"),
    ):
        bound = ErrorBound(given.network, given.weights, given.biases, m, "float32")
        bound.rounding.u = 2.0**-bits
        E = bound.of(exact, Y)
        erred = AsWrongAsItMayBe(given, bound.rounding, np.random.default_rng(seed))
        found = erred.export()
    assert (np.abs(found.output - exact.a[-1]) <= E.output).all()
    for got, want, limit in zip((*found.dw, *found.db), (*exact.dw, *exact.db), (*E.dw, *E.db), strict=True):
        within = m * np.abs(got - want / m) <= limit * (1 + 1e-9) + 1e-9 * np.abs(want)
        assert (within | ~np.isfinite(limit)).all()


def test_derivatives_that_leave_the_range_of_the_dtype_leave_the_bound_to_norms() -> None:
    big = np.full((1, 1), 1e25)
    network = Network((1, 1, 1, 1), ("identity", "identity", "identity"), "mean_squared_error")
    given = held(Problem(network, (1 / big, big, big), (0 * big,) * 3, 1 / big, 0 * big, 1), "float32")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = reference(given, given.weights, given.biases, 0, "float32", np.inf)
    assert np.isfinite(found.output.bound).all()
    assert (found.output.bound > 0).all()


def test_a_implementation_that_differentiates_targets_that_miss_1_is_within_the_bound() -> None:
    """dz = a sum(y) - y, as automatic differentiation has it, instead of a - y."""

    class Differentiated(Sound):
        def last_dz(self) -> np.ndarray:
            return np.asarray(self.a[-1] * self.y.sum(axis=0) - self.y)

    given = Problem.random(Network((6, 5, 9), ("relu", "softmax"), "softmax_cross_entropy"), 24, 12)
    for dtype in Sound.dtypes:
        assert check(Differentiated(given, dtype), given, dtype).message == ""


def test_orders_of_sums_and_of_scaling_are_free() -> None:
    class Backwards(Sound):
        def layer_dw(self, k: int, dz: np.ndarray) -> np.ndarray:
            total = np.zeros_like(self.w[k])
            for s in reversed(range(self.m)):  # scaled before the sum, sample by sample
                total = total + (dz[:, s : s + 1] * dz.dtype.type(1 / self.m)) @ self.x[k][:, s : s + 1].T
            return total

    for seed in range(10):
        given = random_problem(seed, SMALL)
        for dtype in Sound.dtypes:
            assert check(Backwards(given, dtype), given, dtype).message == ""


@pytest.mark.parametrize("loss", LOSSES)
def test_perturbed_inputs_of_the_size_of_a_rounding_stay_within_the_bound(loss: str) -> None:
    """The oracle at weights moved by less than a rounding: what an implementation's first roundings amount
    to.
    """
    network = Network((7, 9, 8), ("tanh", LOSSES[loss] or "sigmoid"), loss)
    given = held(Problem.random(network, 15, 15), "float32")
    exact = reference(given, given.weights, given.biases, 0, "float32", np.inf)
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights = tuple(w * (1 + 2.0**-24 * rng.uniform(-1, 1, w.shape)) for w in given.weights)
        moved = reference(given, weights, given.biases, 0, "float64", np.inf)
        for one, other in zip((*exact.dw, *exact.db), (*moved.dw, *moved.db), strict=True):
            assert (np.abs(one.hi - other.hi) <= one.bound).all()


def test_column_norms_neither_overflow_nor_underflow() -> None:
    E = np.array([[3e200, 3e-200, 0.0], [4e200, 4e-200, 0.0]])
    assert np.allclose(column_norms(E), [5e200, 5e-200, 0], rtol=1e-15, atol=0)


def test_a_spread_takes_the_smaller_of_two_norms() -> None:
    E = np.array([[3.0], [4.0]])
    assert Spread.of(E, np.array([2.0]), E).r == 2
    assert Spread.of(E, np.array([9.0]), E).r == 5


def test_what_a_matrix_makes_of_an_error_holds_for_every_such_error() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((6, 9))
    linear = Linear.of(w, float(np.linalg.norm(w, 2)))
    error = Spread.alone(np.abs(rng.standard_normal((9, 5))))
    out = linear(error)
    for _ in range(200):
        e = error.E * rng.uniform(-1, 1, error.E.shape)
        assert (np.abs(w @ e) <= out.E * (1 + 1e-12)).all()
        assert (np.linalg.norm(w @ e, axis=0) <= out.r * (1 + 1e-12)).all()


def test_the_resolution_covers_the_error_of_split_products() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 200, 3000):
        p, q = rng.standard_normal((4, n)), rng.standard_normal((n, 3)) ** 15
        got = product(p, q, doubled=True)
        rounder = product(p[:, ::-1].copy(), q[::-1].copy(), doubled=True)
        difference = np.abs((got.hi - rounder.hi) + (got.lo - rounder.lo))
        assert (difference <= 2 * resolution(np.abs(p).max(axis=1, keepdims=True), np.abs(q))).all()


def test_bounds_of_a_part_are_positive_where_anything_is_computed() -> None:
    given = Problem.random(Network((3, 4, 2), ("sigmoid", "tanh"), "mean_squared_error"), 5, 5)
    exact = Oracle(given.network, given.weights, given.biases, True).propagate(given.X, given.Y)
    E = ErrorBound(given.network, given.weights, given.biases, 5, "float64").of(exact, given.Y)
    assert dataclasses.is_dataclass(E)
    assert E.cost > 0
    assert all((part > 0).all() for part in (E.output, *E.dw, *E.db))


def test_a_sum_too_long_for_its_dtype_has_no_bound() -> None:
    single = Rounding("float32")
    assert 0 < single.gamma(2**24 - 1) < np.inf
    assert single.gamma(2**24) == np.inf
    assert single.gamma(2**24 + 1) == np.inf


@pytest.mark.parametrize("x", [30.1, 32.0, 33.3, -30.1, -700.0])
def test_binary_cross_entropy_may_be_differentiated_far_out(implementation_name: str, x: float) -> None:
    """The exponent of e^(z - ln(1 + e^z)) is rounded relative to z, where a - y is tiny."""
    network = Network((1, 1), ("sigmoid",), "binary_cross_entropy")
    for y in (0.0, 1.0):
        given = [np.array([[value]]) for value in (1.0, 0.2, x, y)]
        problem = Problem(network, (given[0],), (given[1],), given[2], given[3], 1)
        try:
            implementation = load(implementation_name)(problem)
        except (Unavailable, Unsupported) as reason:
            pytest.skip(str(reason))
        verdict = check(implementation, problem, "float64")
        assert verdict.passed, verdict.message
