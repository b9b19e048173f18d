"""`numba-loops`: the very loops of `loops`, compiled.

Read it beside `loops`: the same sums in the same order, the same exponentials from the same mathematical
library, no fast-math and no fused multiply-adds, so that every float64 gradient has the same bits. What
changes is that a number is a machine number in an array instead of an object in a list.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.interface import ACTIVATIONS, LOSSES, Problem, Result, Unsupported
from impls.loops import cost

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR = list(LOSSES).index("mean_squared_error")


Array = NDArray[Any]
Layers = tuple[Array, ...]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function`, compiled on its first call or loaded from numba's cache on disk."""
    return cast("F", njit(cache=True, error_model="numpy")(function))


@compiled
def activation(g: int, z: Array, a: Array) -> None:
    """a = g(z) for one sample."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    n = len(z)
    if g == SIGMOID:
        for i in range(n):
            if z[i] >= zero:
                a[i] = one / (one + math.exp(-z[i]))
            else:
                e = math.exp(z[i])
                a[i] = e / (one + e)
    elif g == TANH:
        for i in range(n):
            a[i] = math.tanh(z[i])
    elif g == RELU:
        for i in range(n):
            a[i] = z[i] if z[i] > zero else zero
    elif g == SOFTMAX:
        top = z[0]  # softmax is shift-invariant: the largest exponent becomes 0
        for i in range(1, n):
            top = max(top, z[i])
        total = zero
        for i in range(n):
            a[i] = math.exp(z[i] - top)
            total += a[i]
        for i in range(n):
            a[i] /= total
    else:
        for i in range(n):
            a[i] = z[i]


@compiled
def activation_backward(g: int, da: Array, a: Array) -> None:
    """dz = da * g'(z) for one sample, in the place of da, with g'(z) written in terms of a = g(z)."""
    zero, one = a.dtype.type(0), a.dtype.type(1)
    if g == SIGMOID:
        for i in range(len(a)):
            da[i] = da[i] * (a[i] * (one - a[i]))
    elif g == TANH:
        for i in range(len(a)):
            da[i] = da[i] * (one - a[i] * a[i])
    elif g == RELU:
        for i in range(len(a)):
            da[i] = da[i] if a[i] > zero else zero


@compiled
def forward_sample(x: Array, w: Layers, b: Layers, g: Array, z: Layers, a: Layers) -> None:
    """x (n_0) through the layers, keeping every z and a."""
    for layer in range(len(w)):
        w_l, b_l, z_l = w[layer], b[layer], z[layer]
        for i in range(len(b_l)):
            z_i = b_l[i]
            for j in range(len(x)):
                z_i += w_l[i, j] * x[j]
            z_l[i] = z_i
        activation(g[layer], z_l, a[layer])
        x = a[layer]


@compiled
def backward_sample(
    x: Array, y: Array, w: Layers, g: Array, loss: int, a: Layers, dz: Layers, dw: Layers, db: Layers
) -> None:
    """Add one sample's dz x^T to every dw, and its dz to every db."""
    last = len(w) - 1
    # dJ/da = a - y for the mean squared error; dJ/dz = a - y for the cross-entropies of sigmoid and softmax
    for i in range(len(y)):
        dz[last][i] = a[last][i] - y[i]
    if loss == MEAN_SQUARED_ERROR:
        activation_backward(g[last], dz[last], a[last])
    for layer in range(last, -1, -1):
        w_l, dz_l, dw_l, db_l = w[layer], dz[layer], dw[layer], db[layer]
        x_l = a[layer - 1] if layer > 0 else x
        for i in range(len(dz_l)):
            for j in range(len(x_l)):
                dw_l[i, j] += dz_l[i] * x_l[j]
            db_l[i] += dz_l[i]
        if layer > 0:
            da_prev = dz[layer - 1]
            da_prev[:] = 0
            for i in range(len(dz_l)):
                for j in range(len(da_prev)):
                    da_prev[j] += w_l[i, j] * dz_l[i]
            activation_backward(g[layer - 1], da_prev, x_l)


@compiled
def forward(
    X: Array, start: int, w: Layers, b: Layers, g: Array, z: Layers, a: Layers, zs: Array, outputs: Array
) -> None:
    """The batch that begins at sample `start`; zs and outputs (m, n_L) keep z and a of the last layer."""
    for s in range(len(outputs)):
        forward_sample(X[start + s], w, b, g, z, a)
        zs[s] = z[len(z) - 1]
        outputs[s] = a[len(a) - 1]


@compiled
def gradients(
    start: int,
    X: Array,
    Y: Array,
    w: Layers,
    b: Layers,
    g: Array,
    loss: int,
    z: Layers,
    a: Layers,
    dz: Layers,
    dw: Layers,
    db: Layers,
    zs: Array,
    outputs: Array,
) -> None:
    """Forward and backward, sample by sample, for the batch that begins at sample `start`."""
    for layer in range(len(w)):
        dw[layer][:] = 0
        db[layer][:] = 0
    for s in range(len(outputs)):
        forward_sample(X[start + s], w, b, g, z, a)
        zs[s] = z[len(z) - 1]
        outputs[s] = a[len(a) - 1]
        backward_sample(X[start + s], Y[start + s], w, g, loss, a, dz, dw, db)
    m = X.dtype.type(len(outputs))
    for layer in range(len(w)):
        dw_l, db_l = dw[layer], db[layer]
        for i in range(len(db_l)):
            for j in range(dw_l.shape[1]):
                dw_l[i, j] /= m
            db_l[i] /= m


@compiled
def train(
    steps: int,
    learning_rate: float,
    start: int,
    X: Array,
    Y: Array,
    w: Layers,
    b: Layers,
    g: Array,
    loss: int,
    z: Layers,
    a: Layers,
    dz: Layers,
    dw: Layers,
    db: Layers,
    zs: Array,
    outputs: Array,
) -> int:
    """`steps` steps of gradient descent; returns where the next batch begins."""
    rate = X.dtype.type(learning_rate)
    for _ in range(steps):
        gradients(start, X, Y, w, b, g, loss, z, a, dz, dw, db, zs, outputs)
        for layer in range(len(w)):
            w_l, b_l, dw_l, db_l = w[layer], b[layer], dw[layer], db[layer]
            for i in range(len(b_l)):
                for j in range(w_l.shape[1]):
                    w_l[i, j] -= rate * dw_l[i, j]
                b_l[i] -= rate * db_l[i]
        start = (start + len(outputs)) % len(X)
    return start


class NumbaLoops:
    """The network in NumPy arrays, one a layer, that compiled loops walk through."""

    idea = "the very loops of `loops`, jitted"
    differs_from: str | None = "loops"
    dtypes = ("float64", "float32")
    same_order = True
    fast_math = "none"
    layout = "samples in rows, (m, n); one sample at a time"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numba-loops computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads != 1:
            raise Unsupported(f"numba-loops runs in one thread, got threads={threads}")
        network, m = problem.network, problem.batch_size
        self.m, self.loss = m, network.loss
        self.X = np.array(problem.X.T, dtype=dtype, order="C")  # (M, n_0)
        self.Y = np.array(problem.Y.T, dtype=dtype, order="C")  # (M, n_L)
        self.w = tuple(np.array(w, dtype=dtype, order="C") for w in problem.weights)
        self.b = tuple(np.array(b[:, 0], dtype=dtype, order="C") for b in problem.biases)  # (n_l)
        self.g = np.array([ACTIVATIONS.index(g) for g in network.activations])
        self.dw = tuple(np.zeros_like(w) for w in self.w)
        self.db = tuple(np.zeros_like(b) for b in self.b)
        # z, a, dz of one sample
        self.z, self.a, self.dz = (tuple(np.zeros_like(b) for b in self.b) for _ in range(3))
        self.zs, self.outputs = (np.zeros((m, network.widths[-1]), dtype=dtype) for _ in range(2))
        self.start = 0  # the current batch is the m samples from here
        self.pass_start = 0  # and that of the last pass, from here
        cost_index = list(LOSSES).index(network.loss)
        self.arguments = (
            *(self.X, self.Y, self.w, self.b, self.g, cost_index),
            *(self.z, self.a, self.dz, self.dw, self.db, self.zs, self.outputs),
        )
        begin = time.perf_counter()
        self.forward()
        train(0, 0.0, self.start, *self.arguments)
        self.gradients()
        self.compile_seconds = time.perf_counter() - begin

    def forward(self) -> None:
        self.pass_start = self.start
        forward(self.X, self.start, self.w, self.b, self.g, self.z, self.a, self.zs, self.outputs)

    def gradients(self) -> None:
        self.pass_start = self.start
        gradients(self.start, *self.arguments)

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        if steps > 0:
            self.pass_start = (self.start + (steps - 1) * self.m) % len(self.X)
            self.start = train(steps, learning_rate, self.start, *self.arguments)

    def export(self) -> Result:
        zs, outputs = self.zs.astype(np.float64), self.outputs.astype(np.float64)
        Y = self.Y[self.pass_start : self.pass_start + self.m].astype(np.float64)
        J = 0.0
        for z, a, y in zip(zs.tolist(), outputs.tolist(), Y.tolist(), strict=True):
            J += cost(self.loss, z, a, y)
        return Result(
            loss=J / self.m,
            output=outputs.T.copy(),
            dw=tuple(dw.astype(np.float64) for dw in self.dw),
            db=tuple(db.astype(np.float64)[:, None] for db in self.db),
            weights=tuple(w.astype(np.float64) for w in self.w),
            biases=tuple(b.astype(np.float64)[:, None] for b in self.b),
        )
