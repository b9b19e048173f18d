"""The laws of `impls/kernels/simd.py`: the exponentials' errors, and the product against NumPy's."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

numba = pytest.importorskip("numba")

from impls.kernels import simd  # noqa: E402 - only where numba is

DTYPES = ("float64", "float32")
LOWEST = {"float64": -708.0, "float32": -87.0}  # results at and above are normal numbers


@numba.njit(error_model="numpy")
def evaluate(which, x, y):
    one, two = x.dtype.type(1), x.dtype.type(2)
    if which == 0:
        for i in range(x.size):
            y[i] = simd.exp(x[i])
    elif which == 1:
        for i in range(x.size):
            y[i] = simd.sigmoid(x[i], one)
    elif which == 2:
        for i in range(x.size):
            y[i] = simd.tanh(x[i], two)
    else:
        for i in range(x.size):
            y[i] = simd.expm1(x[i])


@numba.njit
def product(*arguments):
    simd.product(*arguments)


@numba.njit
def transpose(*arguments):
    simd.transpose(*arguments)


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
    assert error <= simd.MAX_ULP[name]


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
    assert not np.any(~(error <= simd.MAX_ULP[name]))


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 15, 24])
@pytest.mark.parametrize("columns", [1, 3, 8, 15, 16, 17, 31, 32, 33, 50, 64])
def test_product_is_numpys_and_writes_nowhere_else(dtype, rows, columns):
    rng = np.random.default_rng(rows * 100 + columns)
    for depth in (1, 5, 33):
        # Whole numbers, small enough that every sum is exact: the product must be equal.
        A, B, init = (rng.integers(-9, 9, s) for s in ((rows, depth), (depth, columns), (rows, columns)))
        gap = 3  # rows of C lie apart, and what lies between them must stay
        memory = np.full(10_000, 7777, dtype=dtype)
        places, end = {}, 0
        for name, values in (("A", A), ("At", A.T), ("B", B), ("init", init)):
            memory[end : end + values.size] = values.ravel()
            places[name] = end
            end += values.size
        c = end
        for a, a_row, a_k in ((places["A"], depth, 1), (places["At"], 1, rows)):
            for init_row in (columns, 0):
                memory[c:] = 7777
                product(
                    *(memory, c, columns + gap, places["init"], init_row, a, a_row, a_k),
                    *(places["B"], columns, rows, columns, depth, 0.5),
                )
                C = memory[c : c + rows * (columns + gap)].reshape(rows, columns + gap)
                assert np.array_equal(C[:, :columns], 0.5 * ((init if init_row else init[:1]) + A @ B))
                assert np.all(C[:, columns:] == 7777)
                assert np.all(memory[c + C.size :] == 7777)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 8, 10, 16, 33])
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 17, 32])
def test_transpose_is_numpys_and_writes_nowhere_else(dtype, rows, columns):
    A = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype)
    memory = np.full(2 * A.size + 1000, 7777, dtype=dtype)
    memory[: A.size] = A.ravel()
    transpose(memory, 0, A.size + 5, rows, columns)
    T = memory[A.size + 5 : 2 * A.size + 5].reshape(columns, rows)
    assert np.array_equal(T, A.T)
    assert np.array_equal(memory[: A.size], A.ravel())
    assert np.all(memory[A.size : A.size + 5] == 7777)
    assert np.all(memory[2 * A.size + 5 :] == 7777)
