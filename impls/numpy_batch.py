"""`numpy`: the batch as matrices; every product of a layer is one matrix product over all m samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from impls.interface import OPTIMIZERS, Problem, Result, Training, Unsupported
from impls.kernels.masks import key, scale, threshold

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


def lowbias32(x: Array) -> Array:
    """The hash of 32-bit numbers, which wrap around: see `impls.kernels.masks`."""
    x = (x ^ x >> 16) * 0x7FEB352D
    x = (x ^ x >> 15) * 0x846CA68B
    mixed: Array = x ^ x >> 16
    return mixed


class Dropout:
    """A share p of the activations of a hidden layer becomes 0; the others are multiplied by 1 / (1 - p)."""

    def __init__(self, p: float, n: int, m: int, seed: int, layer: int, dtype: str) -> None:
        self.least = threshold(p)
        self.scale = np.dtype(dtype).type(scale(p))
        self.seed = seed
        self.layer = layer
        self.hashes = lowbias32(np.arange(n * m, dtype=np.uint32).reshape(n, m))

    def mask(self, t: int) -> Array:
        """The factors of the activations (n_l, m) after t steps."""
        hashes = lowbias32(self.hashes ^ np.uint32(key(self.seed, t, self.layer)))
        mask: Array = (hashes >= self.least) * self.scale
        return mask


class Optimizer:
    """The update of an array of parameters, by the equations of `impls.Training`; keeps m and v."""

    def __init__(self, training: Training, p: Array, l2: float = 0.0, weight_decay: float = 0.0) -> None:
        self.training = training
        self.l2 = l2
        self.weight_decay = weight_decay
        self.m = np.zeros_like(p)
        self.v = np.zeros_like(p)

    def update(self, p: Array, dp: Array, learning_rate: float, t: int) -> Array:
        """The parameters after step t."""
        o = self.training
        g = dp + self.l2 * p if self.l2 else dp
        if o.optimizer == "gradient_descent":
            return p - learning_rate * g
        if o.optimizer == "momentum":
            self.v = o.mu * self.v + g
            return p - learning_rate * self.v
        if o.optimizer == "nesterov":
            self.v = o.mu * self.v + g
            return p - learning_rate * (g + o.mu * self.v)
        if o.optimizer == "rmsprop":
            self.v = o.rho * self.v + (1 - o.rho) * (g * g)
            return p - learning_rate * (g / (np.sqrt(self.v) + o.eps))
        self.m = o.b1 * self.m + (1 - o.b1) * g
        self.v = o.b2 * self.v + (1 - o.b2) * (g * g)
        c1, c2 = 1 - o.b1**t, 1 - o.b2**t  # m and v begin at 0, which they have averaged in
        change = (self.m / c1) / (np.sqrt(self.v / c2) + o.eps)
        if o.optimizer == "adamw":
            change = change + self.weight_decay * p
        return p - learning_rate * change


class DenseLayer:
    """z = w x + b, a = g(z), for a batch.

    `first`: it is the first layer, whose da_prev is not needed. `fused`: its activation is differentiated
    together with the loss, so that its da argument is already dz. `mask`: the factors of dropout for its
    activations, if any.
    """

    def __init__(
        self,
        w: Array,
        b: Array,
        g: str,
        first: bool,
        fused: bool,
        dropout: Dropout | None,
        training: Training,
    ) -> None:
        self.w = w  # (n_l, n_{l-1})
        self.b = b  # (n_l, 1)
        self.g = g
        self.first = first
        self.fused = fused
        self.dropout = dropout
        self.w_optimizer = Optimizer(training, w, training.l2, training.weight_decay)
        self.b_optimizer = Optimizer(training, b)

    def forward_propagation(self, x: Array, mask: Array | None = None) -> Array:
        """x (n_{l-1}, m) -> a (n_l, m), or what dropout leaves of it."""
        self.x = x
        self.z = self.w @ x + self.b  # (n_l, m)
        self.a = activation(self.g, self.z)  # (n_l, m)
        self.mask = mask  # (n_l, m)
        return self.a if mask is None else self.a * mask

    def back_propagation(self, da: Array) -> Array | None:
        """da (n_l, m) -> da_prev (n_{l-1}, m); leaves the averages dw and db."""
        m = da.shape[1]
        if self.mask is not None:  # da is by a * mask
            da = da * self.mask
        dz = da if self.fused else activation_backward(self.g, da, self.a)  # (n_l, m)
        self.dw = dz @ self.x.T / m  # (n_l, n_{l-1})
        self.db = dz.sum(axis=1, keepdims=True) / m  # (n_l, 1)
        return None if self.first else self.w.T @ dz  # (n_{l-1}, m)

    def update(self, learning_rate: float, t: int) -> None:
        """The w and b of step t."""
        self.w = self.w_optimizer.update(self.w, self.dw, learning_rate, t)
        self.b = self.b_optimizer.update(self.b, self.db, learning_rate, t)


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
        self.training = problem.training
        dropouts = [
            Dropout(p, len(b), m, self.training.seed, k, dtype) if p else None
            for k, (p, b) in enumerate(zip((*problem.dropout, 0.0), problem.biases, strict=True))
        ]
        self.layers = [
            DenseLayer(
                np.array(w, dtype, order="C"),
                np.array(b, dtype, order="C"),
                g,
                first=k == 0,
                fused=k == last and self.loss != "mean_squared_error",
                dropout=dropouts[k],
                training=self.training,
            )
            for k, (w, b, g) in enumerate(
                zip(problem.weights, problem.biases, problem.network.activations, strict=True)
            )
        ]
        self.t = 0  # steps made
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def forward(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        for layer in self.layers:
            a = layer.forward_propagation(a)
        return a

    def forward_with_dropout(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        for layer in self.layers:
            mask = layer.dropout.mask(self.t) if layer.dropout else None  # (n_l, m)
            a = layer.forward_propagation(a, mask)
        return a

    def gradients(self) -> None:
        # dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax: m (a - y)
        da: Array | None = self.forward_with_dropout() - self.y  # (n_L, m)
        for layer in reversed(self.layers):
            assert da is not None  # only the first layer has no da_prev
            da = layer.back_propagation(da)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.t += 1
        for layer in self.layers:
            layer.update(learning_rate, self.t)
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
            state=self.state(),
        )

    def state(self) -> tuple[Any, ...]:
        """The parameters and the optimizer's state, in the order of `Result`."""
        kinds = OPTIMIZERS[self.training.optimizer]
        if not kinds and not any(layer.dropout for layer in self.layers):
            return ()
        optimizers = [layer.w_optimizer for layer in self.layers]
        optimizers += [layer.b_optimizer for layer in self.layers]
        m = [np.array(o.m, np.float64) for o in optimizers]
        v = [np.array(o.v, np.float64) for o in optimizers]
        return (*(m if kinds == 2 else ()), *(v if kinds else ()), self.t)
