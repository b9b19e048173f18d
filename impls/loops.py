"""`loops`: pure Python, sample by sample, neuron by neuron, connection by connection.

The executable specification: every other implementation computes what these loops compute. All sums run in
the order in which they are written here; an implementation that keeps this order is equal to this one bit for
bit.
"""

from __future__ import annotations

import math

import numpy as np

from impls.interface import Problem, Result, Unsupported


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z), written so that no exponential overflows."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def activation(g: str, z: list[float]) -> list[float]:
    """a = g(z) for one sample."""
    if g == "sigmoid":
        return [sigmoid(z_i) for z_i in z]
    if g == "tanh":
        return [math.tanh(z_i) for z_i in z]
    if g == "relu":
        return [z_i if z_i > 0.0 else 0.0 for z_i in z]
    if g == "softmax":
        top = max(z)  # softmax is shift-invariant: the largest exponent becomes 0
        e = [math.exp(z_i - top) for z_i in z]
        total = 0.0
        for e_i in e:
            total += e_i
        return [e_i / total for e_i in e]
    return z


def activation_backward(g: str, da: list[float], a: list[float]) -> list[float]:
    """dz = da * g'(z) for one sample, with g'(z) written in terms of a = g(z)."""
    if g == "sigmoid":
        return [da_i * (a_i * (1.0 - a_i)) for da_i, a_i in zip(da, a, strict=True)]
    if g == "tanh":
        return [da_i * (1.0 - a_i * a_i) for da_i, a_i in zip(da, a, strict=True)]
    if g == "relu":
        return [da_i if a_i > 0.0 else 0.0 for da_i, a_i in zip(da, a, strict=True)]
    return da


def cost(loss: str, z: list[float], a: list[float], y: list[float]) -> float:
    """One sample's share of m J; the cross-entropies from z, where no logarithm meets a zero."""
    total = 0.0
    if loss == "mean_squared_error":
        for a_i, y_i in zip(a, y, strict=True):
            total += (a_i - y_i) * (a_i - y_i) / 2.0
    elif loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        for z_i, y_i in zip(z, y, strict=True):
            total += max(z_i, 0.0) - z_i * y_i + math.log1p(math.exp(-abs(z_i)))
    else:
        # -sum(y ln a) = sum(y (ln(sum e^(z - top)) - (z - top)))
        top = max(z)
        exponentials = 0.0  # sum() would compensate for rounding, from Python 3.12 on
        for z_i in z:
            exponentials += math.exp(z_i - top)
        for z_i, y_i in zip(z, y, strict=True):
            total += y_i * (math.log(exponentials) - (z_i - top))
    return total


class Layer:
    """z = w x + b, a = g(z), for one sample at a time."""

    def __init__(self, w: list[list[float]], b: list[float], g: str) -> None:
        self.w = w  # n_l lists of n_{l-1}
        self.b = b  # n_l
        self.g = g
        self.x: list[float] = []
        self.z: list[float] = []
        self.a: list[float] = []
        self.zero_gradients()

    def zero_gradients(self) -> None:
        """dw = 0, db = 0: the sums over a batch begin."""
        self.dw = [[0.0] * len(w_i) for w_i in self.w]  # n_l lists of n_{l-1}
        self.db = [0.0] * len(self.b)  # n_l

    def forward_propagation(self, x: list[float]) -> list[float]:
        """x (n_{l-1}) -> a (n_l), keeping what the way back needs."""
        z = []
        for w_i, b_i in zip(self.w, self.b, strict=True):
            z_i = b_i
            for w_ij, x_j in zip(w_i, x, strict=True):
                z_i += w_ij * x_j
            z.append(z_i)
        self.x = x
        self.z = z
        self.a = activation(self.g, z)
        return self.a

    def add_gradients(self, dz: list[float]) -> None:
        """Add one sample's dz x^T to dw, and its dz to db."""
        x = self.x
        for i, dz_i in enumerate(dz):
            dw_i = self.dw[i]
            for j, x_j in enumerate(x):
                dw_i[j] += dz_i * x_j
            self.db[i] += dz_i

    def input_gradient(self, dz: list[float]) -> list[float]:
        """da_prev (n_{l-1}) = w^T dz."""
        da_prev = [0.0] * len(self.x)
        for w_i, dz_i in zip(self.w, dz, strict=True):
            for j, w_ij in enumerate(w_i):
                da_prev[j] += w_ij * dz_i
        return da_prev

    def average_gradients(self, m: int) -> None:
        """The sums over the batch become averages."""
        for i, dw_i in enumerate(self.dw):
            for j in range(len(dw_i)):
                dw_i[j] /= m
            self.db[i] /= m

    def update(self, learning_rate: float) -> None:
        """w -= learning_rate dw, b -= learning_rate db."""
        for i, (w_i, dw_i) in enumerate(zip(self.w, self.dw, strict=True)):
            for j, dw_ij in enumerate(dw_i):
                w_i[j] -= learning_rate * dw_ij
            self.b[i] -= learning_rate * self.db[i]


class Loops:
    """The network in lists of Python floats."""

    idea = "Python floats in lists, one connection at a time"
    differs_from = None
    dtypes = ("float64",)
    same_order = True
    fast_math = "none"
    layout = "a list of samples, each a list of floats"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"loops computes in float64 (a Python float is one), got {dtype}")
        if threads != 1:
            raise Unsupported(f"loops runs in one thread, got threads={threads}")
        self.loss = problem.network.loss
        self.m = problem.batch_size
        self.X = problem.X.T.tolist()  # M lists of n_0
        self.Y = problem.Y.T.tolist()  # M lists of n_L
        self.layers = [
            Layer(w.tolist(), b[:, 0].tolist(), g)
            for w, b, g in zip(problem.weights, problem.biases, problem.network.activations, strict=True)
        ]
        self.start = 0  # the current batch is the m samples from here
        self.compile_seconds = 0.0
        self.gradients()

    def batch(self) -> tuple[list[list[float]], list[list[float]]]:
        """The inputs and the targets of the current batch."""
        stop = self.start + self.m
        return self.X[self.start : stop], self.Y[self.start : stop]

    def forward_sample(self, x: list[float]) -> None:
        for layer in self.layers:
            x = layer.forward_propagation(x)
        self.zs.append(self.layers[-1].z)
        self.outputs.append(x)

    def backward_sample(self, y: list[float]) -> None:
        last = self.layers[-1]
        # a - y is dJ/da of the mean squared error, and dJ/dz of the cross-entropies of sigmoid and softmax
        dz = [a_i - y_i for a_i, y_i in zip(last.a, y, strict=True)]
        if self.loss == "mean_squared_error":
            dz = activation_backward(last.g, dz, last.a)
        last.add_gradients(dz)
        for layer, above in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            dz = activation_backward(layer.g, above.input_gradient(dz), layer.a)
            layer.add_gradients(dz)

    def begin_pass(self) -> None:
        self.zs: list[list[float]] = []  # of the last layer, for the cost
        self.outputs: list[list[float]] = []
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
            J += cost(self.loss, z, a, y)
        return Result(
            loss=J / self.m,
            output=np.array(self.outputs).T,
            dw=tuple(np.array(layer.dw) for layer in self.layers),
            db=tuple(np.array(layer.db)[:, None] for layer in self.layers),
            weights=tuple(np.array(layer.w) for layer in self.layers),
            biases=tuple(np.array(layer.b)[:, None] for layer in self.layers),
        )
