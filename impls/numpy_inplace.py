"""`numpy-inplace`: the matrices of `numpy`, every result written where it has its place since construction.

A fresh array of some hundred kilobytes costs more than the sum that fills it: the system hands out its pages
one fault at a time, and each pushes another out of the cache. Here a pass allocates none: the `out=` of every
operation is an array made by the constructor, and z becomes a, and da becomes dz, in place.

NumPy allocates behind one's back, too: an array of no dimension for a Python number, and a buffer for what it
converts or broadcasts over rows or columns. So constants are arrays, b is first copied out to m columns
(`copyto` broadcasts without a buffer), and where a relu lets through is turned from bool to 0 and 1 likewise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from impls.interface import Problem, Result, Unsupported

Array = NDArray[Any]


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
    """z = w x + b, a = g(z), for a batch, in arrays that stay where they are.

    `last`: its z is kept beside its a, because the cost is a function of z. `fused`: its activation is
    differentiated together with the loss, so that what it finds in da is dz already.
    """

    def __init__(self, w: Array, b: Array, g: str, m: int, last: bool, fused: bool) -> None:
        dtype, n = w.dtype, len(w)
        self.w = w  # (n_l, n_{l-1})
        self.b = b  # (n_l, 1)
        self.g = g
        self.fused = fused
        self.a = np.empty((n, m), dtype)
        self.z = np.empty((n, m), dtype) if last else self.a
        self.da = np.empty((n, m), dtype)  # written by the layer above; becomes dz
        self.dw = np.empty_like(w)
        self.db = np.empty_like(b)
        self.w_change = np.empty_like(w)
        self.b_change = np.empty_like(b)
        self.slope = np.empty((n, m), dtype)  # g'(z); on the way forward, what is to be spread over an array
        self.row = np.empty((1, m), dtype)  # of softmax: the largest z of a column, its sum of e^z
        self.on = np.empty((n, m), np.bool_)  # where a relu is not 0
        self.zero, self.one, self.m = np.array(0, dtype), np.array(1, dtype), np.array(m, dtype)

    def forward_propagation(self, x: Array) -> Array:
        """x (n_{l-1}, m) -> a (n_l, m)."""
        z, a, broad = self.z, self.a, self.slope
        self.x = x
        np.matmul(self.w, x, out=z)  # (n_l, m)
        np.copyto(broad, self.b)
        np.add(z, broad, out=z)
        if self.g == "sigmoid":  # 1 / (1 + e^-z)
            np.negative(z, out=a)
            np.exp(a, out=a)  # inf far below zero, and 1 / inf is the 0 that it should be
            np.add(a, self.one, out=a)
            np.divide(self.one, a, out=a)
        elif self.g == "tanh":
            np.tanh(z, out=a)
        elif self.g == "relu":
            np.copyto(broad, self.zero)  # the maximum of two arrays is faster than that with a number
            np.maximum(z, broad, out=a)
        elif (
            self.g == "softmax"
        ):  # e^z / sum(e^z) down each column, shifted so that the largest exponent is 0
            np.maximum.reduce(z, axis=0, keepdims=True, out=self.row)  # (1, m)
            np.copyto(broad, self.row)
            np.subtract(z, broad, out=a)
            np.exp(a, out=a)
            np.add.reduce(a, axis=0, keepdims=True, out=self.row)  # (1, m)
            np.copyto(broad, self.row)
            np.divide(a, broad, out=a)
        elif a is not z:
            np.copyto(a, z)
        return a

    def back_propagation(self, da_prev: Array | None) -> None:
        """da (n_l, m) -> da_prev (n_{l-1}, m), in the array given; leaves the averages dw and db."""
        dz, a, slope = self.da, self.a, self.slope  # da becomes dz = da * g'(z), with g' in terms of a
        if self.fused:
            pass
        elif self.g == "sigmoid":
            np.subtract(self.one, a, out=slope)
            np.multiply(slope, a, out=slope)
            np.multiply(dz, slope, out=dz)
        elif self.g == "tanh":
            np.multiply(a, a, out=slope)
            np.subtract(self.one, slope, out=slope)
            np.multiply(dz, slope, out=dz)
        elif self.g == "relu":
            np.greater(a, self.zero, out=self.on)
            np.copyto(slope, self.on)
            np.multiply(dz, slope, out=dz)
        np.matmul(dz, self.x.T, out=self.dw)  # (n_l, n_{l-1})
        np.divide(self.dw, self.m, out=self.dw)
        np.add.reduce(dz, axis=1, keepdims=True, out=self.db)  # (n_l, 1)
        np.divide(self.db, self.m, out=self.db)
        if da_prev is not None:
            np.matmul(self.w.T, dz, out=da_prev)  # (n_{l-1}, m)

    def update(self, learning_rate: Array) -> None:
        """w -= learning_rate dw, b -= learning_rate db."""
        np.multiply(self.dw, learning_rate, out=self.w_change)
        np.subtract(self.w, self.w_change, out=self.w)
        np.multiply(self.db, learning_rate, out=self.b_change)
        np.subtract(self.b, self.b_change, out=self.b)


class NumpyInplace:
    """The network in matrices of m columns that are allocated once."""

    idea = "no allocation after construction"
    differs_from = "numpy"
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "C-contiguous matrices, samples in columns, z and a in one array, da and dz in another"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"numpy-inplace computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        threadpoolctl.threadpool_limits(threads, user_api="blas")
        self.loss = problem.network.loss
        m = problem.batch_size
        starts = range(0, problem.samples, m)
        self.X = [np.array(problem.X[:, k : k + m], dtype, order="C") for k in starts]  # each (n_0, m)
        self.Y = [np.array(problem.Y[:, k : k + m], dtype, order="C") for k in starts]  # each (n_L, m)
        top = problem.network.layers - 1
        self.layers = [
            DenseLayer(
                np.array(w, dtype, order="C"),
                np.array(b, dtype, order="C"),
                g,
                m,
                last=k == top,
                fused=k == top and self.loss != "mean_squared_error",
            )
            for k, (w, b, g) in enumerate(
                zip(problem.weights, problem.biases, problem.network.activations, strict=True)
            )
        ]
        self.learning_rate = np.array(0, dtype)
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def forward(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        with np.errstate(over="ignore"):  # e^-z of a sigmoid far below zero
            for layer in self.layers:
                a = layer.forward_propagation(a)
        return a

    def gradients(self) -> None:
        # dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax: m (a - y)
        np.subtract(self.forward(), self.y, out=self.layers[-1].da)  # (n_L, m)
        for below, layer in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            layer.back_propagation(below.da)
        self.layers[0].back_propagation(None)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.learning_rate[...] = learning_rate
        for layer in self.layers:
            layer.update(self.learning_rate)
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
