"""`loops`: pure Python, sample by sample, neuron by neuron, connection by connection.

The executable specification: every other implementation computes what these loops compute. All sums run in
the order in which they are written here; an implementation that keeps this order is equal to this one bit for
bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from impls.interface import OPTIMIZERS, Problem, Result, Training, Unsupported
from impls.kernels.masks import key, lowbias32, scale, threshold


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


class Dropout:
    """A share p of the activations of a hidden layer becomes 0; the others are multiplied by 1 / (1 - p)."""

    def __init__(self, p: float, n: int, m: int, seed: int, layer: int) -> None:
        self.least = threshold(p)
        self.scale = scale(p)
        self.seed = seed
        self.layer = layer
        self.hashes = [[lowbias32(i * m + s) for i in range(n)] for s in range(m)]  # m lists of n_l

    def begin(self, t: int) -> None:
        """The masks after t steps begin."""
        self.key = key(self.seed, t, self.layer)

    def mask(self, s: int) -> list[float]:
        """The factors of the activations (n_l) of sample s."""
        return [self.scale if lowbias32(h ^ self.key) >= self.least else 0.0 for h in self.hashes[s]]


def update(
    training: Training,
    learning_rate: float,
    t: int,
    p: list[float],
    g: list[float],
    m: list[float],
    v: list[float],
    weight_decay: float,
) -> None:
    """Step t of the optimizer for a list of parameters p and their g; m and v are what it keeps.

    The equations are those of `impls.Training`.
    """
    mu, rho, b1, b2, eps = training.mu, training.rho, training.b1, training.b2, training.eps
    if training.optimizer == "gradient_descent":
        for i, g_i in enumerate(g):
            p[i] -= learning_rate * g_i
    elif training.optimizer == "momentum":
        for i, g_i in enumerate(g):
            v[i] = mu * v[i] + g_i
            p[i] -= learning_rate * v[i]
    elif training.optimizer == "nesterov":
        for i, g_i in enumerate(g):
            v[i] = mu * v[i] + g_i
            p[i] -= learning_rate * (g_i + mu * v[i])
    elif training.optimizer == "rmsprop":
        for i, g_i in enumerate(g):
            v[i] = rho * v[i] + (1.0 - rho) * (g_i * g_i)
            p[i] -= learning_rate * (g_i / (math.sqrt(v[i]) + eps))
    else:
        c1, c2 = 1.0 - b1**t, 1.0 - b2**t  # m and v begin at 0, which they have averaged in
        for i, g_i in enumerate(g):
            m[i] = b1 * m[i] + (1.0 - b1) * g_i
            v[i] = b2 * v[i] + (1.0 - b2) * (g_i * g_i)
            change = (m[i] / c1) / (math.sqrt(v[i] / c2) + eps)
            if training.optimizer == "adamw":
                change += weight_decay * p[i]
            p[i] -= learning_rate * change


class Layer:
    """z = w x + b, a = g(z), for one sample at a time."""

    def __init__(self, w: list[list[float]], b: list[float], g: str, dropout: Dropout | None) -> None:
        self.w = w  # n_l lists of n_{l-1}
        self.b = b  # n_l
        self.g = g
        self.dropout = dropout
        self.mask: list[float] | None = None  # n_l; of the sample at hand, where there is dropout
        self.x: list[float] = []
        self.z: list[float] = []
        self.a: list[float] = []
        self.zero_gradients()
        # what an optimizer keeps beside w and b
        self.m_w, self.v_w = ([[0.0] * len(w_i) for w_i in w] for _ in range(2))
        self.m_b, self.v_b = ([0.0] * len(b) for _ in range(2))

    def zero_gradients(self) -> None:
        """dw = 0, db = 0: the sums over a batch begin."""
        self.dw = [[0.0] * len(w_i) for w_i in self.w]  # n_l lists of n_{l-1}
        self.db = [0.0] * len(self.b)  # n_l

    def forward_propagation(self, x: list[float]) -> list[float]:
        """x (n_{l-1}) -> a (n_l), or what dropout leaves of it, keeping what the way back needs."""
        z = []
        for w_i, b_i in zip(self.w, self.b, strict=True):
            z_i = b_i
            for w_ij, x_j in zip(w_i, x, strict=True):
                z_i += w_ij * x_j
            z.append(z_i)
        self.x = x
        self.z = z
        self.a = activation(self.g, z)
        if self.mask is None:
            return self.a
        return [a_i * d_i for a_i, d_i in zip(self.a, self.mask, strict=True)]

    def activation_gradient(self, da: list[float]) -> list[float]:
        """dz (n_l) from the derivative by what `forward_propagation` returned."""
        if self.mask is not None:
            da = [da_i * d_i for da_i, d_i in zip(da, self.mask, strict=True)]
        return activation_backward(self.g, da, self.a)

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

    def update(self, training: Training, learning_rate: float, t: int) -> None:
        """Step t of the optimizer for w and b; L2 and weight decay are for w only."""
        l2 = training.l2
        for w_i, dw_i, m_i, v_i in zip(self.w, self.dw, self.m_w, self.v_w, strict=True):
            g = [dw_ij + l2 * w_ij for dw_ij, w_ij in zip(dw_i, w_i, strict=True)] if l2 else dw_i
            update(training, learning_rate, t, w_i, g, m_i, v_i, training.weight_decay)
        update(training, learning_rate, t, self.b, self.db, self.m_b, self.v_b, 0.0)


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
        self.training = problem.training
        self.X = problem.X.T.tolist()  # M lists of n_0
        self.Y = problem.Y.T.tolist()  # M lists of n_L
        dropouts = [
            Dropout(p, len(b), self.m, self.training.seed, k) if p else None
            for k, (p, b) in enumerate(zip((*problem.dropout, 0.0), problem.biases, strict=True))
        ]
        self.layers = [
            Layer(w.tolist(), b[:, 0].tolist(), g, dropout)
            for w, b, g, dropout in zip(
                problem.weights, problem.biases, problem.network.activations, dropouts, strict=True
            )
        ]
        self.t = 0  # steps made
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
            dz = layer.activation_gradient(above.input_gradient(dz))
            layer.add_gradients(dz)

    def begin_pass(self) -> None:
        self.zs: list[list[float]] = []  # of the last layer, for the cost
        self.outputs: list[list[float]] = []
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
                layer.mask = dropout.mask(s)
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
            J += cost(self.loss, z, a, y)
        return Result(
            loss=J / self.m,
            output=np.array(self.outputs).T,
            dw=tuple(np.array(layer.dw) for layer in self.layers),
            db=tuple(np.array(layer.db)[:, None] for layer in self.layers),
            weights=tuple(np.array(layer.w) for layer in self.layers),
            biases=tuple(np.array(layer.b)[:, None] for layer in self.layers),
            state=self.state(),
        )

    def state(self) -> tuple[Any, ...]:
        """The parameters and the optimizer's state, in the order of `Result`."""
        kinds = OPTIMIZERS[self.training.optimizer]
        if not kinds and not any(layer.dropout for layer in self.layers):
            return ()
        m = [np.array(layer.m_w) for layer in self.layers]
        m += [np.array(layer.m_b)[:, None] for layer in self.layers]
        v = [np.array(layer.v_w) for layer in self.layers]
        v += [np.array(layer.v_b)[:, None] for layer in self.layers]
        return (*(m if kinds == 2 else ()), *(v if kinds else ()), self.t)
