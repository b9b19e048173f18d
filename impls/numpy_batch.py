"""`numpy`: the batch as matrices; every product of a layer is one matrix product over all m samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from impls.interface import Problem, Result, Unsupported

Array = NDArray[Any]


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z)."""
    with np.errstate(over="ignore"):  # far below zero e^-z is inf, and 1 / inf the 0 that it should be
        a: Array = 1 / (1 + np.exp(-z))
    return a


def softmax(z: Array) -> Array:
    """e^z / sum(e^z) down each column, shifted so that the largest exponent is 0."""
    e = np.exp(z - z.max(axis=0))
    a: Array = e / e.sum(axis=0)
    return a


def activation(g: str, z: Array) -> Array:
    """a = g(z)."""
    if g == "sigmoid":
        return sigmoid(z)
    if g == "tanh":
        return np.tanh(z)
    if g == "relu":
        return np.maximum(z, 0)
    if g == "softmax":
        return softmax(z)
    return z


def activation_backward(g: str, da: Array, a: Array) -> Array:
    """dz = da * g'(z), with g'(z) written in terms of a = g(z)."""
    dz = da
    if g == "sigmoid":
        dz = da * (a * (1 - a))
    elif g == "tanh":
        dz = da * (1 - a * a)
    elif g == "relu":
        dz = da * (a > 0)
    return dz


def cost(loss: str, z: Array, a: Array, y: Array) -> float:
    """J; the cross-entropies from z, where no logarithm meets a zero."""
    m = a.shape[1]
    if loss == "mean_squared_error":
        return float(np.sum((a - y) ** 2) / (2 * m))
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        return float(np.sum(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))) / m)
    shifted = z - z.max(axis=0)
    return float(np.sum(y * (np.log(np.exp(shifted).sum(axis=0)) - shifted)) / m)


class DenseLayer:
    """z = w x + b, a = g(z), for a batch.

    `first`: nothing stands before it, so that nobody needs its da_prev. `fused`: its activation is
    differentiated together with the loss, so that what it is handed as da is dz already.
    """

    def __init__(self, w: Array, b: Array, g: str, first: bool, fused: bool) -> None:
        self.w = w  # (n_l, n_{l-1})
        self.b = b  # (n_l, 1)
        self.g = g
        self.first = first
        self.fused = fused

    def forward_propagation(self, x: Array) -> Array:
        """x (n_{l-1}, m) -> a (n_l, m)."""
        self.x = x
        self.z = self.w @ x + self.b  # (n_l, m)
        self.a = activation(self.g, self.z)  # (n_l, m)
        return self.a

    def back_propagation(self, da: Array) -> Array | None:
        """da (n_l, m) -> da_prev (n_{l-1}, m); leaves the averages dw and db."""
        m = da.shape[1]
        dz = da if self.fused else activation_backward(self.g, da, self.a)  # (n_l, m)
        self.dw = dz @ self.x.T / m  # (n_l, n_{l-1})
        self.db = dz.sum(axis=1, keepdims=True) / m  # (n_l, 1)
        return None if self.first else self.w.T @ dz  # (n_{l-1}, m)

    def update(self, learning_rate: float) -> None:
        """w -= learning_rate dw, b -= learning_rate db."""
        self.w = self.w - learning_rate * self.dw
        self.b = self.b - learning_rate * self.db


class NumpyBatch:
    """The network in matrices of m columns."""

    idea = "vectorized over the batch: matrices of width m"
    differs_from = "numpy-sample"
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "C-contiguous matrices, samples in columns"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numpy computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        threadpoolctl.threadpool_limits(threads, user_api="blas")
        self.loss = problem.network.loss
        m = problem.batch_size
        starts = range(0, problem.samples, m)
        self.X = [np.array(problem.X[:, k : k + m], dtype, order="C") for k in starts]  # each (n_0, m)
        self.Y = [np.array(problem.Y[:, k : k + m], dtype, order="C") for k in starts]  # each (n_L, m)
        last = problem.network.layers - 1
        self.layers = [
            DenseLayer(
                np.array(w, dtype, order="C"),
                np.array(b, dtype, order="C"),
                g,
                first=k == 0,
                fused=k == last and self.loss != "mean_squared_error",
            )
            for k, (w, b, g) in enumerate(
                zip(problem.weights, problem.biases, problem.network.activations, strict=True)
            )
        ]
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def forward(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        for layer in self.layers:
            a = layer.forward_propagation(a)
        return a

    def gradients(self) -> None:
        # dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax: m (a - y)
        da: Array | None = self.forward() - self.y  # (n_L, m)
        for layer in reversed(self.layers):
            assert da is not None  # only the first layer has no da_prev
            da = layer.back_propagation(da)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        for layer in self.layers:
            layer.update(learning_rate)
        self.batch = (self.batch + 1) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        last = self.layers[-1]
        wide = np.float64
        return Result(
            loss=cost(self.loss, last.z, last.a, self.y),
            output=np.array(last.a, wide),
            dw=tuple(np.array(layer.dw, wide) for layer in self.layers),
            db=tuple(np.array(layer.db, wide) for layer in self.layers),
            weights=tuple(np.array(layer.w, wide) for layer in self.layers),
            biases=tuple(np.array(layer.b, wide) for layer in self.layers),
        )
