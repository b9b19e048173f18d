"""The errors of the exponentials, against exact arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

numba = pytest.importorskip("numba")

from impls.kernels import exponentials  # noqa: E402 - only where numba is

DTYPES = ("float64", "float32")
LOWEST = {"float64": -708.0, "float32": -87.0}  # results at and above are normal numbers


@numba.njit(error_model="numpy")
def evaluate(which, x, y):
    one, two = x.dtype.type(1), x.dtype.type(2)
    if which == 0:
        for i in range(x.size):
            y[i] = exponentials.exp(x[i])
    elif which == 1:
        for i in range(x.size):
            y[i] = exponentials.sigmoid(x[i], one)
    elif which == 2:
        for i in range(x.size):
            y[i] = exponentials.tanh(x[i], two)
    else:
        for i in range(x.size):
            y[i] = exponentials.expm1(x[i])


FUNCTIONS = ("exp", "sigmoid", "tanh", "expm1")
EXACT = {
    "exp": mpmath.exp,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "expm1": mpmath.expm1,
}


def computed(name, x):
    y = np.full_like(x, np.nan)
    evaluate(FUNCTIONS.index(name), x, y)
    return y


def arguments(name, dtype, count):
    """Evenly spaced, by magnitude down to the smallest, and beside the steps of n."""
    rng = np.random.default_rng(0)
    lowest = LOWEST[dtype]
    steps = np.log(2) * (np.arange(0, lowest / np.log(2), -1) - 0.5)
    steps = steps[steps > lowest]
    x = np.concatenate(
        [
            rng.uniform(lowest, 0, count),
            rng.uniform(-3, 0, count),
            -np.exp(rng.uniform(np.log(np.finfo(dtype).tiny), np.log(-lowest), count)),
            steps,
            steps * (1 + 1e-7),
            [0.0, lowest],
        ]
    ).astype(dtype)
    return np.concatenate([x, -x]) if name in ("sigmoid", "tanh") else x


def errors_in_ulp(name, x, y):
    """Exact to 60 digits; in units in the last place of the exact result."""
    dtype = x.dtype
    digits, lowest_exponent = np.finfo(dtype).nmant, int(np.finfo(dtype).minexp)
    worst = 0.0
    with mpmath.workdps(60):
        for argument, got in zip(x.tolist(), y.tolist(), strict=True):
            exact = EXACT[name](mpmath.mpf(argument))
            exponent = max(mpmath.frexp(exact)[1] - 1, lowest_exponent)
            worst = max(worst, float(abs(exact - mpmath.mpf(got)) / mpmath.mpf(2) ** (exponent - digits)))
    return worst


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_at_most_those_stated_over_the_whole_range(name, dtype):
    x = arguments(name, dtype, 1500)
    error = errors_in_ulp(name, x, computed(name, x))
    assert error <= exponentials.MAX_ULP[name]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_at_most_those_stated_at_a_million_points(name, dtype):
    # Against the C library's long double: 11 bits more than a double has.
    extended = np.longdouble
    if np.finfo(extended).nmant <= np.finfo(dtype).nmant:
        pytest.skip("no float here is wider than a double")
    x = arguments(name, dtype, 300_000)
    wide = x.astype(extended)
    exact = {
        "exp": lambda: np.exp(wide),
        "sigmoid": lambda: np.where(wide >= 0, 1, np.exp(wide)) / (1 + np.exp(-abs(wide))),
        "tanh": lambda: np.tanh(wide),
        "expm1": lambda: np.expm1(wide),
    }[name]()
    with np.errstate(all="ignore"):
        error = abs(computed(name, x) - exact) / np.spacing(abs(exact).astype(dtype))
    assert not np.any(~(error <= exponentials.MAX_ULP[name]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_below_the_normal_range_are_the_smallest_normal_number(dtype):
    smallest = np.finfo(dtype).smallest_normal
    x = np.linspace(LOWEST[dtype], 1.06 * LOWEST[dtype], 2000).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    for name in ("exp", "sigmoid"):
        got = computed(name, x)
        assert np.all(got >= smallest)
        assert np.all(abs(got - exact) <= np.maximum(1.01 * smallest, 2e-7 * exact))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_are_the_limits_and_nan_stays_nan(dtype):
    x = np.array([-1000, -np.inf, np.nan, -0.0, 0.0, 1000, np.inf], dtype=dtype)
    least = 1.01 * np.finfo(dtype).smallest_normal  # at most: exponentials stop at the smallest normal number
    exp = np.array([0, 0, np.nan, 1], dtype)
    np.testing.assert_allclose(computed("exp", x[:4]), exp, rtol=0, atol=least)
    sigmoid = np.array([0, 0, np.nan, 0.5, 0.5, 1, 1], dtype)
    np.testing.assert_allclose(computed("sigmoid", x), sigmoid, rtol=0, atol=least)
    assert np.array_equal(computed("sigmoid", x[2:]), sigmoid[2:], equal_nan=True)
    tanh = computed("tanh", x)
    assert np.array_equal(tanh, np.array([-1, -1, np.nan, -0.0, 0.0, 1, 1], dtype), equal_nan=True)
    assert np.signbit(tanh[3])
    assert not np.signbit(tanh[4])


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_odd(dtype):
    x = arguments("tanh", dtype, 1000)
    assert np.array_equal(computed("tanh", -x), -computed("tanh", x))
