"""`loops-ndarray`: the very loops of `loops`, indexing NumPy arrays instead of lists: the beginner's trap.

Every index creates a NumPy scalar, and NumPy looks up, checks and boxes every sum of two of them. The sums
run in the order of `loops`, so that every bit of the float64 results is the same; only the time differs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import OPTIMIZERS, Problem, Result, Training, Unsupported
from impls.kernels.masks import key, lowbias32, scale, threshold

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


def product(x: Array, y: Array) -> Array:
    """x * y for one sample."""
    both = np.zeros_like(x)
    for i in range(len(x)):
        both[i] = x[i] * y[i]
    return both


class Dropout:
    """A share p of the activations of a hidden layer becomes 0; the others are multiplied by 1 / (1 - p)."""

    def __init__(self, p: float, n: int, m: int, seed: int, layer: int, dtype: str) -> None:
        self.least = threshold(p)
        self.scale = scale(p)
        self.seed = seed
        self.layer = layer
        self.hashes = np.zeros((m, n), np.uint64)  # NumPy's 32-bit numbers warn when they wrap around
        for s in range(m):
            for i in range(n):
                self.hashes[s, i] = lowbias32(i * m + s)
        self.mask = np.zeros(n, dtype)  # what the activations of the sample at hand are multiplied by

    def begin(self, t: int) -> None:
        """The masks after t steps begin."""
        self.key = key(self.seed, t, self.layer)

    def draw(self, s: int) -> Array:
        """The mask (n_l,) of sample s."""
        for i in range(len(self.mask)):
            kept = lowbias32(self.hashes[s, i] ^ self.key) >= self.least
            self.mask[i] = self.scale if kept else 0.0
        return self.mask


def update(
    training: Training,
    learning_rate: float,
    t: int,
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    weight_decay: float,
) -> None:
    """Step t of the optimizer for parameters p (n,) and their g; m and v are what it keeps.

    The equations are those of `impls.Training`.
    """
    mu, rho, b1, b2, eps = training.mu, training.rho, training.b1, training.b2, training.eps
    if training.optimizer == "gradient_descent":
        for i in range(len(p)):
            p[i] -= learning_rate * g[i]
    elif training.optimizer == "momentum":
        for i in range(len(p)):
            v[i] = mu * v[i] + g[i]
            p[i] -= learning_rate * v[i]
    elif training.optimizer == "nesterov":
        for i in range(len(p)):
            v[i] = mu * v[i] + g[i]
            p[i] -= learning_rate * (g[i] + mu * v[i])
    elif training.optimizer == "rmsprop":
        for i in range(len(p)):
            v[i] = rho * v[i] + (1.0 - rho) * (g[i] * g[i])
            p[i] -= learning_rate * (g[i] / (math.sqrt(v[i]) + eps))
    else:
        c1, c2 = 1.0 - b1**t, 1.0 - b2**t  # m and v begin at 0, which they have averaged in
        for i in range(len(p)):
            m[i] = b1 * m[i] + (1.0 - b1) * g[i]
            v[i] = b2 * v[i] + (1.0 - b2) * (g[i] * g[i])
            change = (m[i] / c1) / (math.sqrt(v[i] / c2) + eps)
            if training.optimizer == "adamw":
                change += weight_decay * p[i]
            p[i] -= learning_rate * change


class Layer:
    """z = w x + b, a = g(z), for one sample at a time."""

    def __init__(self, w: Array, b: Array, g: str, dropout: Dropout | None) -> None:
        self.w = w  # (n_l, n_{l-1})
        self.b = b  # (n_l,)
        self.g = g
        self.dropout = dropout
        self.mask: Array | None = None  # (n_l,); of the sample at hand, where there is dropout
        self.dw = np.zeros_like(w)
        self.db = np.zeros_like(b)
        # what an optimizer keeps beside w and b
        self.m_w, self.v_w = np.zeros_like(w), np.zeros_like(w)
        self.m_b, self.v_b = np.zeros_like(b), np.zeros_like(b)

    def zero_gradients(self) -> None:
        """dw = 0, db = 0: the sums over a batch begin."""
        self.dw.fill(0.0)
        self.db.fill(0.0)

    def forward_propagation(self, x: Array) -> Array:
        """x (n_{l-1},) -> a (n_l,), or what dropout leaves of it, keeping what the way back needs."""
        z = np.zeros_like(self.b)
        for i in range(len(z)):
            z_i = self.b[i]
            for j in range(len(x)):
                z_i += self.w[i, j] * x[j]
            z[i] = z_i
        self.x = x
        self.z = z
        self.a = activation(self.g, z)
        return self.a if self.mask is None else product(self.a, self.mask)

    def activation_gradient(self, da: Array) -> Array:
        """dz (n_l,) from the derivative by what `forward_propagation` returned."""
        if self.mask is not None:
            da = product(da, self.mask)
        return activation_backward(self.g, da, self.a)

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

    def update(self, training: Training, learning_rate: float, t: int) -> None:
        """Step t of the optimizer for w and b; L2 and weight decay are for w only."""
        for i in range(len(self.b)):
            w, g, m, v = self.w[i], self.dw[i], self.m_w[i], self.v_w[i]
            if training.l2:
                g = np.zeros_like(w)
                for j in range(len(w)):
                    g[j] = self.dw[i, j] + training.l2 * w[j]
            update(training, learning_rate, t, w, g, m, v, training.weight_decay)
        update(training, learning_rate, t, self.b, self.db, self.m_b, self.v_b, 0.0)


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
        self.training = problem.training
        self.X = list(np.array(problem.X.T, dtype, order="C"))  # M arrays (n_0,)
        self.Y = list(np.array(problem.Y.T, dtype, order="C"))  # M arrays (n_L,)
        dropouts = [
            Dropout(p, len(b), self.m, self.training.seed, k, dtype) if p else None
            for k, (p, b) in enumerate(zip((*problem.dropout, 0.0), problem.biases, strict=True))
        ]
        self.layers = [
            Layer(np.array(w, dtype, order="C"), np.array(b[:, 0], dtype, order="C"), g, dropout)
            for w, b, g, dropout in zip(
                problem.weights, problem.biases, problem.network.activations, dropouts, strict=True
            )
        ]
        self.t = 0  # steps made
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
            dz = layer.activation_gradient(above.input_gradient(dz))
            layer.add_gradients(dz)

    def begin_pass(self) -> None:
        self.zs: list[Array] = []  # of the last layer, for the cost
        self.outputs: list[Array] = []
        self.pass_start = self.start

    def forward(self) -> None:
        X, _ = self.batch()
        self.begin_pass()
        for layer in self.layers:
            layer.mask = None
        for x in X:
            self.forward_sample(x)

    def gradients(self) -> None:
        X, Y = self.batch()
        self.begin_pass()
        dropouts = [(layer, layer.dropout) for layer in self.layers if layer.dropout]
        for layer in self.layers:
            layer.zero_gradients()
        for _, dropout in dropouts:
            dropout.begin(self.t)
        for s, (x, y) in enumerate(zip(X, Y, strict=True)):
            for layer, dropout in dropouts:
                layer.mask = dropout.draw(s)
            self.forward_sample(x)
            self.backward_sample(y)
        for layer in self.layers:
            layer.average_gradients(self.m)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.t += 1
        for layer in self.layers:
            layer.update(self.training, learning_rate, self.t)
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
            state=self.state(),
        )

    def state(self) -> tuple[Any, ...]:
        """The parameters and the optimizer's state, in the order of `Result`."""
        kinds = OPTIMIZERS[self.training.optimizer]
        if not kinds and not any(layer.dropout for layer in self.layers):
            return ()
        wide = np.float64
        m = [np.array(layer.m_w, wide) for layer in self.layers]
        m += [np.array(layer.m_b, wide)[:, None] for layer in self.layers]
        v = [np.array(layer.v_w, wide) for layer in self.layers]
        v += [np.array(layer.v_b, wide)[:, None] for layer in self.layers]
        return (*(m if kinds == 2 else ()), *(v if kinds else ()), self.t)
