"""`numba`: jitted array code, a batch at a time: products by BLAS, fused elementwise loops.

This is what a good Numba user writes. Samples stand in rows, so that every product is one `np.dot` of
contiguous arrays into an array that the constructor allocated, and one loop over the batch does everything
between two products: it adds the bias and applies the activation, or takes its derivative and sums over the
samples. There are no temporary arrays, and `train` returns to Python after its last step only.

In compiled code `np.dot` calls the `gemm` of SciPy's BLAS, which has a pool of threads of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - what np.dot calls: loaded here, so that its threads can be limited
import threadpoolctl
from numba import njit
from numpy.typing import NDArray

from impls.interface import ACTIVATIONS, LOSSES, Problem, Result, Unsupported

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR = list(LOSSES).index("mean_squared_error")

Array = NDArray[Any]
Arrays = tuple[Array, ...]  # one a layer
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function`, compiled on its first call or loaded from numba's cache on disk."""
    return cast("F", njit(cache=True, error_model="numpy")(function))


@compiled
def softmax(z: Array, a: Array) -> None:
    """a = e^z / sum(e^z) for one sample; shift-invariant: the largest exponent becomes 0."""
    top, total = z.max(), z.dtype.type(0)
    for i in range(len(z)):
        a[i] = math.exp(z[i] - top)
        total += a[i]
    for i in range(len(z)):
        a[i] /= total


@compiled
def activate(g: int, b: Array, z: Array, a: Array) -> None:
    """z += b, a = g(z)."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for s in range(len(z)):
        for i in range(len(b)):
            z_i = z[s, i] = z[s, i] + b[i]
            if g == SIGMOID:
                a[s, i] = one / (one + math.exp(-z_i))  # far below zero 1 / inf, the 0 that it should be
            elif g == TANH:
                a[s, i] = math.tanh(z_i)
            elif g == RELU:
                a[s, i] = max(z_i, zero)
            else:
                a[s, i] = z_i
        if g == SOFTMAX:
            softmax(z[s], a[s])


@compiled
def activate_backward(g: int, a: Array, dz: Array, db: Array) -> None:
    """dz = da * g'(z) in the place of da, with g'(z) written in terms of a = g(z); db = the sum of dz."""
    zero, one = a.dtype.type(0), a.dtype.type(1)
    db[:] = zero
    for s in range(len(a)):
        for i in range(len(db)):
            a_i = a[s, i]
            if g == SIGMOID:
                dz[s, i] *= a_i * (one - a_i)
            elif g == TANH:
                dz[s, i] *= one - a_i * a_i
            elif g == RELU:
                dz[s, i] = dz[s, i] if a_i > zero else zero
            db[i] += dz[s, i]


@compiled
def average(total: Array, m: int) -> None:
    """A sum over the batch becomes an average."""
    share = total.dtype.type(1 / m)
    flat = total.ravel()
    for i in range(flat.size):
        flat[i] *= share


@compiled
def difference(a: Array, y: Array, da: Array) -> None:
    """da = a - y: the derivative of m J by a (mean squared error) or by z (the cross-entropies)."""
    for s in range(len(a)):
        for i in range(a.shape[1]):
            da[s, i] = a[s, i] - y[s, i]


@compiled
def descend(p: Array, dp: Array, learning_rate: float) -> None:
    """p -= learning_rate dp."""
    rate = p.dtype.type(learning_rate)
    p, dp = p.ravel(), dp.ravel()
    for i in range(p.size):
        p[i] -= rate * dp[i]


@compiled
def forward(x: Array, w: Arrays, b: Arrays, g: Array, z: Arrays, a: Arrays) -> None:
    """x (m, n_0) through the layers."""
    for k in range(len(w)):
        np.dot(x, w[k].T, z[k])  # (m, n_l)
        activate(g[k], b[k], z[k], a[k])
        x = a[k]


@compiled
def gradients(
    x: Array,
    y: Array,
    w: Arrays,
    b: Arrays,
    g: Array,
    loss: int,
    z: Arrays,
    a: Arrays,
    dz: Arrays,
    dw: Arrays,
    db: Arrays,
) -> None:
    """Forward and backward for x (m, n_0) and y (m, n_L)."""
    forward(x, w, b, g, z, a)
    m, last = len(x), len(w) - 1
    difference(a[last], y, dz[last])
    for k in range(last, -1, -1):
        # a - y is dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax
        is_dz = k == last and loss != MEAN_SQUARED_ERROR
        activate_backward(IDENTITY if is_dz else g[k], a[k], dz[k], db[k])
        average(db[k], m)
        np.dot(dz[k].T, a[k - 1] if k > 0 else x, dw[k])  # (n_l, n_{l-1})
        average(dw[k], m)
        if k > 0:
            np.dot(dz[k], w[k], dz[k - 1])  # da_prev (m, n_{l-1})


@compiled
def train(
    steps: int,
    learning_rate: float,
    start: int,
    X: Array,
    Y: Array,
    w: Arrays,
    b: Arrays,
    g: Array,
    loss: int,
    z: Arrays,
    a: Arrays,
    dz: Arrays,
    dw: Arrays,
    db: Arrays,
) -> int:
    """`steps` steps of gradient descent from the batch at `start`; returns where the next batch begins."""
    m = len(a[0])
    for _ in range(steps):
        gradients(X[start : start + m], Y[start : start + m], w, b, g, loss, z, a, dz, dw, db)
        for k in range(len(w)):
            descend(w[k], dw[k], learning_rate)
            descend(b[k], db[k], learning_rate)
        start = (start + m) % len(X)
    return start


def cost(loss: str, z: Array, a: Array, y: Array) -> float:
    """J of a batch; the cross-entropies from z, where no logarithm meets a zero."""
    m = len(y)
    if loss == "mean_squared_error":
        return float(np.sum((a - y) ** 2) / (2 * m))
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        return float(np.sum(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))) / m)
    shifted = z - z.max(axis=1, keepdims=True)  # (m, n_L)
    return float(np.sum(y * (np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)) - shifted)) / m)


class NumbaArrays:
    """The network in NumPy arrays, a batch at a time in compiled code."""

    idea = "jitted array code: products by BLAS, fused elementwise loops"
    differs_from = "numba-loops"
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "samples in rows, (m, n)"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        threadpoolctl.threadpool_limits(threads, user_api="blas")
        network, m = problem.network, problem.batch_size
        self.m, self.loss = m, network.loss
        self.X = np.array(problem.X.T, dtype, order="C")  # (M, n_0)
        self.Y = np.array(problem.Y.T, dtype, order="C")  # (M, n_L)
        self.w = tuple(np.array(w, dtype, order="C") for w in problem.weights)
        self.b = tuple(np.array(b[:, 0], dtype, order="C") for b in problem.biases)  # (n_l)
        self.g = np.array([ACTIVATIONS.index(g) for g in network.activations])
        self.dw = tuple(np.zeros_like(w) for w in self.w)
        self.db = tuple(np.zeros_like(b) for b in self.b)
        self.a, self.dz = (tuple(np.zeros((m, len(b)), dtype) for b in self.b) for _ in range(2))
        # z becomes a in place; but in the last layer, where the cost is computed from z
        self.z = (*self.a[:-1], np.zeros_like(self.a[-1]))
        self.start = 0  # the current batch is the m samples from here
        self.pass_start = 0  # and that of the last pass, from here
        cost_index = list(LOSSES).index(network.loss)
        self.arguments = (self.w, self.b, self.g, cost_index, self.z, self.a, self.dz, self.dw, self.db)
        begin = time.perf_counter()
        self.forward()
        self.train(0, 0.0)
        self.gradients()
        self.compile_seconds = time.perf_counter() - begin

    def forward(self) -> None:
        self.pass_start = self.start
        x = self.X[self.start : self.start + self.m]
        forward(x, self.w, self.b, self.g, self.z, self.a)

    def gradients(self) -> None:
        self.pass_start = self.start
        batch = slice(self.start, self.start + self.m)
        gradients(self.X[batch], self.Y[batch], *self.arguments)

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        self.pass_start = (self.start + (steps - 1) * self.m) % len(self.X)
        self.start = train(steps, learning_rate, self.start, self.X, self.Y, *self.arguments)

    def export(self) -> Result:
        wide = np.float64
        y = self.Y[self.pass_start : self.pass_start + self.m].astype(wide)
        return Result(
            loss=cost(self.loss, self.z[-1].astype(wide), self.a[-1].astype(wide), y),
            output=self.a[-1].T.astype(wide),
            dw=tuple(dw.astype(wide) for dw in self.dw),
            db=tuple(db.astype(wide)[:, None] for db in self.db),
            weights=tuple(w.astype(wide) for w in self.w),
            biases=tuple(b.astype(wide)[:, None] for b in self.b),
        )
