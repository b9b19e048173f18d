"""The product and the transposition, against NumPy's."""

from __future__ import annotations

import platform

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from impls.kernels import products  # noqa: E402 - only where numba is

DTYPES = ("float64", "float32")


@numba.njit
def product(*arguments):
    products.product(*arguments)


@numba.njit
def transpose(*arguments):
    products.transpose(*arguments)


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
                    *(places["B"], columns, rows, columns, depth, 0.5, 0),
                )
                C = memory[c : c + rows * (columns + gap)].reshape(rows, columns + gap)
                assert np.array_equal(C[:, :columns], 0.5 * ((init if init_row else init[:1]) + A @ B))
                assert np.all(C[:, columns:] == 7777)
                assert np.all(memory[c + C.size :] == 7777)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [(300, 40, 1100), (1, 700, 400), (8, 700, 400), (1100, 300, 1), (1100, 272, 7), (11, 40, 1025)],
)
@pytest.mark.parametrize("init_row", ["in place", "apart", "repeated"])
@pytest.mark.parametrize("streaming", [0, 1])
def test_blocks_change_nothing(dtype, rows, columns, depth, init_row, streaming):
    rng = np.random.default_rng(0)
    A, B, init = (rng.integers(-9, 9, s) for s in ((rows, depth), (depth, columns), (rows, columns)))
    gap = -columns % 16 if streaming else 3  # streaming stores need rows that begin with a line of a cache
    line = 64 // np.dtype(dtype).itemsize
    row = columns + gap
    b, start, c = map(int, np.cumsum([A.size, B.size, rows * row]))
    memory = aligned(c + 2 * line + rows * row + products.SLACK, dtype)
    memory[:] = 7777
    memory[: A.size], memory[b : b + B.size] = A.ravel(), B.ravel()
    memory[start : start + rows * row].reshape(rows, row)[:, :columns] = init
    c = start if init_row == "in place" else -(-c // line) * line
    product(
        *(memory, c, row, start, 0 if init_row == "repeated" else row, 0, depth, 1),
        *(b, columns, rows, columns, depth, 0.5, streaming),
    )
    C = memory[c : c + rows * row].reshape(rows, row)
    assert np.array_equal(C[:, :columns], 0.5 * ((init[:1] if init_row == "repeated" else init) + A @ B))
    assert np.all(C[:, columns:] == 7777)
    assert np.all(memory[c + C.size :] == 7777)


def aligned(size, dtype):
    """An array that begins with a line of a cache."""
    raw = np.empty(size * np.dtype(dtype).itemsize + 64, np.uint8)
    return raw[-raw.ctypes.data % 64 :][: size * np.dtype(dtype).itemsize].view(dtype)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names an instruction of x86")
def test_what_is_stored_past_the_caches_is_stored_by_such_instructions():
    memory = aligned(2_000_000, "float32")
    product(memory, 1_000_000, 304, 0, 0, 0, 1, 1, 0, 300, 1100, 300, 1, 1.0, 1)
    assert "movntps" in "".join(product.inspect_asm().values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 8, 10, 16, 33])
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 17, 32])
def test_transpose_is_numpys_and_writes_nowhere_else(dtype, rows, columns):
    A = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype)
    memory = np.full(2 * A.size + 1000, 7777, dtype=dtype)
    memory[: A.size] = A.ravel()
    transpose(memory, 0, columns, A.size + 5, rows, rows, columns)
    T = memory[A.size + 5 : 2 * A.size + 5].reshape(columns, rows)
    assert np.array_equal(T, A.T)
    assert np.array_equal(memory[: A.size], A.ravel())
    assert np.all(memory[A.size : A.size + 5] == 7777)
    assert np.all(memory[2 * A.size + 5 :] == 7777)
