"""The oracle against arithmetic of 150 digits, and against the derivative's own definition."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from impls import Network, Problem
from impls.referee.double_double import (
    DoubleDouble,
    exp,
    expm1,
    fast_two_sum,
    halves,
    log,
    two_product,
    two_sum,
)
from impls.referee.oracle import Oracle, Pass, Split, head_bits, product

mpmath.mp.dps = 150  # a difference quotient takes 40 of them, 1 - a^2 of a saturated unit as many

COSTS = [
    ("mean_squared_error", "identity"),
    ("mean_squared_error", "sigmoid"),
    ("mean_squared_error", "tanh"),
    ("mean_squared_error", "relu"),
    ("binary_cross_entropy", "sigmoid"),
    ("softmax_cross_entropy", "softmax"),
]
HIDDEN = ["identity", "sigmoid", "tanh", "relu"]
DOUBLED = 2.0**-66
"""Asked of doubled arithmetic, relative to the largest number of an array: 2^-13 of float64's rounding."""


def problem(hidden: str, loss: str, last: str, scale: float = 1.0, seed: int = 3) -> Problem:
    given = Problem.random(Network((3, 4, 3), (hidden, last), loss), 4, 4, seed=seed, scale=scale)
    # targets in 64ths, where they should sum to 1: they do so exactly, as dz = a - y assumes
    Y = given.Y if loss == "binary_cross_entropy" else np.rint(given.Y * 64) / 64
    if loss == "softmax_cross_entropy":
        Y[-1] = 1 - Y[:-1].sum(axis=0)
    return dataclasses.replace(given, Y=Y)


def exact(given: Problem, doubled: bool = True) -> Pass:
    return Oracle(given.network, given.weights, given.biases, doubled).propagate(given.X, given.Y)


def digits(x: Any) -> Any:
    """The numbers of an array, doubled or not, as an mpmath matrix."""
    hi, lo = halves(x)
    return mpmath.matrix(hi.tolist()) + mpmath.matrix(lo.tolist())


def by_definition(given: Problem) -> tuple[Any, list[Any], Callable[[list[Any], list[Any]], Any]]:
    """The output and m J at 150 digits, written sample by sample from the definitions."""
    g: dict[str, Callable[[Any], Any]] = {
        "identity": lambda z: z,
        "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
        "tanh": mpmath.tanh,
        "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    }
    y = mpmath.matrix(given.Y.tolist())

    def pass_(weights: list[Any], biases: list[Any]) -> tuple[Any, list[Any]]:
        total, outputs = mpmath.mpf(0), []
        for s in range(given.batch_size):
            a = mpmath.matrix([[v] for v in given.X[:, s].tolist()])
            for w, b, name in zip(weights, biases, given.network.activations, strict=True):
                z = w * a + b
                if name == "softmax":
                    e = [mpmath.exp(v) for v in z]
                    a = mpmath.matrix([[v / mpmath.fsum(e)] for v in e])
                else:
                    a = mpmath.matrix([[g[name](v)] for v in z])
            for i, a_i in enumerate(a):
                y_i = y[i, s]
                if given.network.loss == "mean_squared_error":
                    total += (a_i - y_i) ** 2 / 2
                elif (
                    given.network.loss == "binary_cross_entropy"
                ):  # a = 1 / (1 + e^-z), 1 - a = 1 / (1 + e^z)
                    z_i = z[i]
                    total += y_i * mpmath.log1p(mpmath.exp(-z_i)) + (1 - y_i) * mpmath.log1p(mpmath.exp(z_i))
                else:
                    total -= y_i * mpmath.log(a_i)
            outputs.append(list(a))
        return total, outputs

    weights = [mpmath.matrix(w.tolist()) for w in given.weights]
    biases = [mpmath.matrix(b.tolist()) for b in given.biases]
    cost, outputs = pass_(weights, biases)
    return cost, outputs, lambda w, b: pass_(w, b)[0]


def close(got: Any, want: Any) -> bool:
    """Within DOUBLED of the largest number."""
    return bool(max(abs(v) for v in got - want) <= DOUBLED * max(abs(v) for v in want))


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize(("loss", "last"), COSTS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_oracle_agrees_with_150_digits(hidden: str, loss: str, last: str, scale: float) -> None:
    given = problem(hidden, loss, last, scale)
    cost, outputs, cost_at = by_definition(given)
    found = exact(given)
    assert close(digits(found.cost), mpmath.matrix([[cost]]))
    assert close(digits(found.a[-1]), mpmath.matrix(outputs).T)
    # gradients by central differences, whose error is some h^2
    h = mpmath.mpf(10) ** -40
    weights = [mpmath.matrix(w.tolist()) for w in given.weights]
    biases = [mpmath.matrix(b.tolist()) for b in given.biases]
    for parameters, gradients in ((weights, found.dw), (biases, found.db)):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            want = mpmath.matrix(parameter.rows, parameter.cols)
            for i, j in itertools.product(range(parameter.rows), range(parameter.cols)):
                kept = parameter[i, j]
                parameter[i, j] = kept + h
                above = cost_at(weights, biases)
                parameter[i, j] = kept - h
                want[i, j] = (above - cost_at(weights, biases)) / (2 * h)
                parameter[i, j] = kept
            assert close(digits(gradient), want)


@pytest.mark.parametrize(("loss", "last"), COSTS)
def test_the_gradient_is_the_complex_step_of_the_cost(loss: str, last: str) -> None:
    """Im J(w + i h v) / h has no subtraction to lose digits in: Squire, Trapp (1998), SIAM Review 40, 110."""
    given = problem("tanh", loss, last)
    found = exact(given)
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal(w.shape) for w in given.weights]
    h = 1e-150
    a: Any = given.X
    for w, v, b, name in zip(given.weights, directions, given.biases, given.network.activations, strict=True):
        z = (w + 1j * h * v) @ a + b
        if name == "softmax":
            e = np.exp(z - z.real.max(axis=0))
            a = e / e.sum(axis=0)
        elif name == "relu":
            a = np.where(z.real > 0, z, 0)
        else:
            a = {"identity": z, "tanh": np.tanh(z), "sigmoid": 1 / (1 + np.exp(-z))}[name]
    if loss == "mean_squared_error":
        J = ((a - given.Y) ** 2).sum() / 2
    elif loss == "binary_cross_entropy":
        J = -(given.Y * np.log(a) + (1 - given.Y) * np.log(1 - a)).sum()
    else:
        J = -(given.Y * np.log(a)).sum()
    terms = np.concatenate([(halves(dw)[0] * v).ravel() for dw, v in zip(found.dw, directions, strict=True)])
    # a few hundred roundings of float64, of numbers of the size of these terms
    assert abs(J.imag / h - terms.sum()) <= 500 * np.finfo(float).eps * np.abs(terms).sum()


@pytest.mark.parametrize(("loss", "last"), COSTS)
def test_saturated_units_agree_with_150_digits(loss: str, last: str) -> None:
    given = problem("tanh", loss, last, scale=1000.0)
    cost, outputs, _ = by_definition(given)
    found = exact(given)
    assert close(digits(found.a[-1]), mpmath.matrix(outputs).T)
    assert close(digits(found.cost), mpmath.matrix([[cost]]))


@pytest.mark.parametrize(("loss", "last"), COSTS)
def test_float64_and_doubled_agree(loss: str, last: str) -> None:
    given = problem("sigmoid", loss, last)
    plain, doubled = exact(given, doubled=False), exact(given)
    for p, d in zip(plain.dw + plain.db, doubled.dw + doubled.db, strict=True):
        hi, _ = halves(d)
        assert np.abs(p - hi).max() <= 100 * np.finfo(float).eps * np.abs(hi).max()


@pytest.mark.parametrize("terms", [1, 2, 3, 64, 785, 4096])
def test_the_product_of_heads_is_exact(terms: int) -> None:
    rng = np.random.default_rng(terms)
    p, q = rng.standard_normal((3, terms)), rng.standard_normal((terms, 2))
    heads = Split.of(p, axis=1).head, Split.of(q, axis=0).head
    assert 2 * head_bits(terms) + np.log2(terms) <= 53
    got = heads[0] @ heads[1]
    want = [
        [sum(map(mpmath.fmul, row, column)) for column in heads[1].T.tolist()] for row in heads[0].tolist()
    ]
    assert (mpmath.matrix(got.tolist()) - mpmath.matrix(want)) == mpmath.zeros(3, 2)


def test_a_split_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    q = DoubleDouble(*fast_two_sum(rng.standard_normal((5, 7)), rng.standard_normal((5, 7)) * 2.0**-60))
    for axis in (0, 1):
        s = Split.of(q, axis)
        assert close(digits(DoubleDouble(*two_sum(s.head, s.tail))), digits(q))


def test_a_product_of_doubled_numbers_is_good_to_66_bits() -> None:
    rng = np.random.default_rng(1)
    p, q = rng.standard_normal((4, 300)), rng.standard_normal((300, 5))
    p_doubled, q_doubled = DoubleDouble(p, p * 2.0**-55), DoubleDouble(q, -q * 2.0**-56)
    got = digits(product(p_doubled, q_doubled, doubled=True))
    assert close(got, digits(p_doubled) * digits(q_doubled))


FUNCTIONS: list[tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = [
    (exp, mpmath.exp, 2.0**-74),
    (expm1, mpmath.expm1, 2.0**-66),
    (lambda z: log(abs(z) + 1.0), lambda z: mpmath.log(1 - z), 2.0**-66),
]


@pytest.mark.parametrize(("function", "definition", "bound"), FUNCTIONS, ids=["exp", "expm1", "log"])
def test_doubled_functions_agree_with_150_digits(
    function: Callable[[Any], Any], definition: Callable[[Any], Any], bound: float
) -> None:
    rng = np.random.default_rng(2)
    sizes = np.concatenate([rng.standard_normal(60) * s for s in (1e-300, 1e-9, 0.01, 1, 30, 150)])
    hi = -np.abs(np.concatenate([sizes, [0.0, np.log(2) / 128, 600.0]]))
    z = DoubleDouble(*fast_two_sum(hi, hi * rng.uniform(-1, 1, hi.size) * 2.0**-53))
    got = function(z)
    for k in range(hi.size):
        want = definition(mpmath.mpf(float(z.hi[k])) + mpmath.mpf(float(z.lo[k])))
        found = mpmath.mpf(float(got.hi[k])) + mpmath.mpf(float(got.lo[k]))
        size = abs(want) if function is not FUNCTIONS[2][0] else max(abs(want), mpmath.mpf(2) ** -30)
        assert abs(found - want) <= bound * size


def test_an_exponential_far_below_zero_is_zero() -> None:
    z = DoubleDouble(np.array([-746.0, -1e5, -1e300]))
    assert not exp(z).hi.any()
    assert (expm1(z).hi == -1).all()


OPERATIONS: list[Callable[[Any, Any], Any]] = [
    lambda p, q: p + q,
    lambda p, q: p - q,
    lambda p, q: p * q,
    lambda p, q: p / q,
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=["sum", "difference", "product", "quotient"])
@pytest.mark.parametrize("other", ["doubled", "plain"])
def test_doubled_operations_are_good_to_95_bits(operation: Callable[[Any, Any], Any], other: str) -> None:
    rng = np.random.default_rng(4)
    p_hi, q_hi = rng.standard_normal((2, 200))
    p = DoubleDouble(p_hi, p_hi * 2.0**-54)
    q: Any = DoubleDouble(q_hi, -q_hi * 2.0**-55)
    if other == "plain":
        q = 4.0 if operation is OPERATIONS[3] else q_hi
    got = operation(p, q)
    for k in range(200):
        p_k = mpmath.mpf(float(p.hi[k])) + mpmath.mpf(float(p.lo[k]))
        parts = (q.hi[k], q.lo[k]) if isinstance(q, DoubleDouble) else (np.broadcast_to(q, 200)[k], 0.0)
        q_k = mpmath.mpf(float(parts[0])) + mpmath.mpf(float(parts[1]))
        want = operation(p_k, q_k)
        found = mpmath.mpf(float(got.hi[k])) + mpmath.mpf(float(got.lo[k]))
        assert abs(found - want) <= 2.0**-95 * max(abs(want), abs(p_k) + abs(q_k))


def test_sums_and_products_of_two_lose_nothing() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal(50), rng.standard_normal(50) * 1e-6
    for operation, (hi, lo) in ((mpmath.fadd, two_sum(a, b)), (mpmath.fmul, two_product(a, b))):
        with mpmath.workprec(200):
            assert all(
                mpmath.mpf(h) + mpmath.mpf(r) == operation(mpmath.mpf(p), mpmath.mpf(q))
                for h, r, p, q in zip(hi.tolist(), lo.tolist(), a.tolist(), b.tolist(), strict=True)
            )
