"""`loops-ndarray`: the very loops of `loops`, indexing NumPy arrays instead of lists: the beginner's trap.

Every index makes a NumPy scalar, and every sum of two of them is looked up, checked and boxed again. The sums
run in the order of `loops`, so that every bit of the float64 results is the same; only the time is not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import Problem, Result, Unsupported

Array = NDArray[Any]


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z), written so that no exponential overflows."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def activation(g: str, z: Array) -> Array:
    """a = g(z) for one sample."""
    if g == "identity":
        return z
    a = np.zeros_like(z)
    if g == "sigmoid":
        for i in range(len(z)):
            a[i] = sigmoid(z[i])
    elif g == "tanh":
        for i in range(len(z)):
            a[i] = math.tanh(z[i])
    elif g == "relu":
        for i in range(len(z)):
            if z[i] > 0.0:
                a[i] = z[i]
    else:
        top = max(z)  # softmax is shift-invariant: the largest exponent becomes 0
        total = 0.0
        for i in range(len(z)):
            a[i] = math.exp(z[i] - top)
            total += a[i]
        for i in range(len(z)):
            a[i] /= total
    return a


def activation_backward(g: str, da: Array, a: Array) -> Array:
    """dz = da * g'(z) for one sample, with g'(z) written in terms of a = g(z)."""
    if g == "identity":
        return da
    dz = np.zeros_like(da)
    for i in range(len(da)):
        if g == "sigmoid":
            dz[i] = da[i] * (a[i] * (1.0 - a[i]))
        elif g == "tanh":
            dz[i] = da[i] * (1.0 - a[i] * a[i])
        elif a[i] > 0.0:
            dz[i] = da[i]
    return dz


def cost(loss: str, z: Array, a: Array, y: Array) -> float:
    """One sample's share of m J; the cross-entropies from z, where no logarithm meets a zero."""
    total = 0.0
    if loss == "mean_squared_error":
        for i in range(len(a)):
            total += (a[i] - y[i]) * (a[i] - y[i]) / 2.0
    elif loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        for i in range(len(z)):
            total += max(z[i], 0.0) - z[i] * y[i] + math.log1p(math.exp(-abs(z[i])))
    else:
        # -sum(y ln a) = sum(y (ln(sum e^(z - top)) - (z - top)))
        top = max(z)
        exponentials = 0.0
        for i in range(len(z)):
            exponentials += math.exp(z[i] - top)
        for i in range(len(z)):
            total += y[i] * (math.log(exponentials) - (z[i] - top))
    return total


class Layer:
    """z = w x + b, a = g(z), for one sample at a time."""

    def __init__(self, w: Array, b: Array, g: str) -> None:
        self.w = w  # (n_l, n_{l-1})
        self.b = b  # (n_l,)
        self.g = g
        self.dw = np.zeros_like(w)
        self.db = np.zeros_like(b)

    def zero_gradients(self) -> None:
        """dw = 0, db = 0: the sums over a batch begin."""
        self.dw.fill(0.0)
        self.db.fill(0.0)

    def forward_propagation(self, x: Array) -> Array:
        """x (n_{l-1},) -> a (n_l,), keeping what the way back needs."""
        z = np.zeros_like(self.b)
        for i in range(len(z)):
            z_i = self.b[i]
            for j in range(len(x)):
                z_i += self.w[i, j] * x[j]
            z[i] = z_i
        self.x = x
        self.z = z
        self.a = activation(self.g, z)
        return self.a

    def add_gradients(self, dz: Array) -> None:
        """Add one sample's dz x^T to dw, and its dz to db."""
        for i in range(len(dz)):
            for j in range(len(self.x)):
                self.dw[i, j] += dz[i] * self.x[j]
            self.db[i] += dz[i]

    def input_gradient(self, dz: Array) -> Array:
        """da_prev (n_{l-1},) = w^T dz."""
        da_prev = np.zeros_like(self.x)
        for i in range(len(dz)):
            for j in range(len(da_prev)):
                da_prev[j] += self.w[i, j] * dz[i]
        return da_prev

    def average_gradients(self, m: int) -> None:
        """The sums over the batch become averages."""
        for i in range(len(self.db)):
            for j in range(self.dw.shape[1]):
                self.dw[i, j] /= m
            self.db[i] /= m

    def update(self, learning_rate: float) -> None:
        """w -= learning_rate dw, b -= learning_rate db."""
        for i in range(len(self.b)):
            for j in range(self.w.shape[1]):
                self.w[i, j] -= learning_rate * self.dw[i, j]
            self.b[i] -= learning_rate * self.db[i]


class LoopsNdarray:
    """The network in NumPy arrays, read and written one element at a time."""

    idea = "the same loops, indexing NumPy arrays (the beginner's trap)"
    differs_from = "loops"
    dtypes = ("float64", "float32")
    same_order = True
    fast_math = "none"
    layout = "a list of samples, each an array"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"loops-ndarray computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads != 1:
            raise Unsupported(f"loops-ndarray runs in one thread, got threads={threads}")
        self.loss = problem.network.loss
        self.m = problem.batch_size
        self.X = list(np.array(problem.X.T, dtype, order="C"))  # M arrays (n_0,)
        self.Y = list(np.array(problem.Y.T, dtype, order="C"))  # M arrays (n_L,)
        self.layers = [
            Layer(np.array(w, dtype, order="C"), np.array(b[:, 0], dtype, order="C"), g)
            for w, b, g in zip(problem.weights, problem.biases, problem.network.activations, strict=True)
        ]
        self.start = 0  # the current batch is the m samples from here
        self.compile_seconds = 0.0
        self.gradients()

    def batch(self) -> tuple[list[Array], list[Array]]:
        """The inputs and the targets of the current batch."""
        stop = self.start + self.m
        return self.X[self.start : stop], self.Y[self.start : stop]

    def forward_sample(self, x: Array) -> None:
        for layer in self.layers:
            x = layer.forward_propagation(x)
        self.zs.append(self.layers[-1].z)
        self.outputs.append(x)

    def backward_sample(self, y: Array) -> None:
        last = self.layers[-1]
        # a - y is dJ/da of the mean squared error, and dJ/dz of the cross-entropies of sigmoid and softmax
        dz = np.zeros_like(y)
        for i in range(len(y)):
            dz[i] = last.a[i] - y[i]
        if self.loss == "mean_squared_error":
            dz = activation_backward(last.g, dz, last.a)
        last.add_gradients(dz)
        for layer, above in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            dz = activation_backward(layer.g, above.input_gradient(dz), layer.a)
            layer.add_gradients(dz)

    def begin_pass(self) -> None:
        self.zs: list[Array] = []  # of the last layer, for the cost
        self.outputs: list[Array] = []
        self.pass_start = self.start

    def forward(self) -> None:
        X, _ = self.batch()
        self.begin_pass()
        for x in X:
            self.forward_sample(x)

    def gradients(self) -> None:
        X, Y = self.batch()
        self.begin_pass()
        for layer in self.layers:
            layer.zero_gradients()
        for x, y in zip(X, Y, strict=True):
            self.forward_sample(x)
            self.backward_sample(y)
        for layer in self.layers:
            layer.average_gradients(self.m)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        for layer in self.layers:
            layer.update(learning_rate)
        self.start = (self.start + self.m) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        J = 0.0
        for z, a, y in zip(self.zs, self.outputs, self.Y[self.pass_start :], strict=False):
            J += float(cost(self.loss, z, a, y))
        wide = np.float64
        return Result(
            loss=J / self.m,
            output=np.array(self.outputs, wide).T.copy(),
            dw=tuple(np.array(layer.dw, wide) for layer in self.layers),
            db=tuple(np.array(layer.db, wide)[:, None] for layer in self.layers),
            weights=tuple(np.array(layer.w, wide) for layer in self.layers),
            biases=tuple(np.array(layer.b, wide)[:, None] for layer in self.layers),
        )
