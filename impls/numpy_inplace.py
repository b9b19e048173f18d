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

from impls.interface import OPTIMIZERS, Problem, Result, Training, Unsupported
from impls.kernels.masks import key, scale, threshold

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


class Dropout:
    """A share p of the activations of a hidden layer becomes 0; the others are multiplied by 1 / (1 - p)."""

    def __init__(self, p: float, n: int, m: int, seed: int, layer: int, dtype: Any) -> None:
        self.seed = seed
        self.layer = layer
        self.hashes = np.arange(n * m, dtype=np.uint32).reshape(n, m)
        self.bits, self.shifted = np.empty_like(self.hashes), np.empty_like(self.hashes)
        self.on = np.empty((n, m), np.bool_)
        self.mask = np.empty((n, m), dtype)  # what the activations are multiplied by
        self.least, self.key = np.array(threshold(p), np.uint32), np.array(0, np.uint32)
        self.scale = np.array(scale(p), dtype)
        constants = (16, 15, 0x7FEB352D, 0x846CA68B)
        self.right_16, self.right_15, self.first, self.second = (np.array(c, np.uint32) for c in constants)
        self.lowbias32(self.hashes)

    def lowbias32(self, x: Array) -> None:
        """The hash of 32-bit numbers, which wrap around, in their place: see `impls.kernels.masks`."""
        shifted = self.shifted
        np.right_shift(x, self.right_16, out=shifted)
        np.bitwise_xor(x, shifted, out=x)
        np.multiply(x, self.first, out=x)
        np.right_shift(x, self.right_15, out=shifted)
        np.bitwise_xor(x, shifted, out=x)
        np.multiply(x, self.second, out=x)
        np.right_shift(x, self.right_16, out=shifted)
        np.bitwise_xor(x, shifted, out=x)

    def draw(self, t: int) -> None:
        """The mask (n_l, m) after t steps."""
        self.key[...] = key(self.seed, t, self.layer)
        np.bitwise_xor(self.hashes, self.key, out=self.bits)
        self.lowbias32(self.bits)
        np.greater_equal(self.bits, self.least, out=self.on)
        np.copyto(self.mask, self.on)
        np.multiply(self.mask, self.scale, out=self.mask)


class Optimizer:
    """The update of all parameters, in place, by the equations of `impls.Training`.

    `p` and `dp` are all parameters and their gradients, `weights` how many of them are weights, which come
    first: L2 and weight decay are for those.
    """

    def __init__(self, training: Training, p: Array, dp: Array, weights: int) -> None:
        self.training = training
        self.p, self.dp = p, dp
        self.g = np.empty_like(p) if training.l2 else dp
        self.m, self.v, self.change, self.work = (np.zeros_like(p) for _ in range(4))
        of_weights, of_biases = slice(weights), slice(weights, None)
        self.w, self.dw, self.db = p[of_weights], dp[of_weights], dp[of_biases]
        self.g_w, self.g_b = self.g[of_weights], self.g[of_biases]
        self.w_change, self.w_work = self.change[of_weights], self.work[of_weights]

        def constant(number: float) -> Array:
            return np.array(number, p.dtype)

        self.l2, self.weight_decay = constant(training.l2), constant(training.weight_decay)
        self.mu, self.rho, self.eps = constant(training.mu), constant(training.rho), constant(training.eps)
        self.b1, self.b2 = constant(training.b1), constant(training.b2)
        self.rest_rho = constant(1 - training.rho)
        self.rest_b1, self.rest_b2 = constant(1 - training.b1), constant(1 - training.b2)
        self.c1, self.c2, self.learning_rate = constant(0), constant(0), constant(0)

    def update(self, learning_rate: float, t: int) -> None:
        """The parameters of step t."""
        optimizer = self.training.optimizer
        p, g, v, change, work = self.p, self.g, self.v, self.change, self.work
        self.learning_rate[...] = learning_rate
        if self.training.l2:
            np.multiply(self.w, self.l2, out=self.g_w)
            np.add(self.dw, self.g_w, out=self.g_w)
            np.copyto(self.g_b, self.db)
        if optimizer in ("momentum", "nesterov"):  # v = mu v + g
            np.multiply(v, self.mu, out=v)
            np.add(v, g, out=v)
        elif optimizer == "rmsprop":  # v = rho v + (1 - rho) g^2
            self.average_square(self.rho, self.rest_rho)
        elif optimizer in ("adam", "adamw"):  # m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2
            np.multiply(self.m, self.b1, out=self.m)
            np.multiply(g, self.rest_b1, out=work)
            np.add(self.m, work, out=self.m)
            self.average_square(self.b2, self.rest_b2)

        if optimizer == "gradient_descent":
            np.multiply(g, self.learning_rate, out=change)
        elif optimizer == "momentum":
            np.multiply(v, self.learning_rate, out=change)
        elif optimizer == "nesterov":  # g + mu v
            np.multiply(v, self.mu, out=change)
            np.add(g, change, out=change)
            np.multiply(change, self.learning_rate, out=change)
        elif optimizer == "rmsprop":  # g / (sqrt(v) + eps)
            np.sqrt(v, out=work)
            np.add(work, self.eps, out=work)
            np.divide(g, work, out=change)
            np.multiply(change, self.learning_rate, out=change)
        else:  # (m / c1) / (sqrt(v / c2) + eps)
            self.c1[...] = 1 - self.training.b1**t  # m and v begin at 0, which they have averaged in
            self.c2[...] = 1 - self.training.b2**t
            np.divide(v, self.c2, out=work)
            np.sqrt(work, out=work)
            np.add(work, self.eps, out=work)
            np.divide(self.m, self.c1, out=change)
            np.divide(change, work, out=change)
            if optimizer == "adamw":
                np.multiply(self.w, self.weight_decay, out=self.w_work)
                np.add(self.w_change, self.w_work, out=self.w_change)
            np.multiply(change, self.learning_rate, out=change)
        np.subtract(p, change, out=p)

    def average_square(self, rate: Array, rest: Array) -> None:
        """v = rate v + rest g^2."""
        np.multiply(self.v, rate, out=self.v)
        np.multiply(self.g, self.g, out=self.work)
        np.multiply(self.work, rest, out=self.work)
        np.add(self.v, self.work, out=self.v)


class DenseLayer:
    """z = w x + b, a = g(z), for a batch, in arrays that stay where they are.

    `last`: its z is kept beside its a, because the cost is a function of z. `fused`: its activation is
    differentiated together with the loss, so that what it finds in da is dz already.
    """

    def __init__(
        self,
        w: Array,
        b: Array,
        dw: Array,
        db: Array,
        g: str,
        m: int,
        last: bool,
        fused: bool,
        dropout: Dropout | None,
    ) -> None:
        dtype, n = w.dtype, len(w)
        self.w, self.dw = w, dw  # (n_l, n_{l-1})
        self.b, self.db = b, db  # (n_l, 1)
        self.g = g
        self.fused = fused
        self.dropout = dropout
        self.a = np.empty((n, m), dtype)
        self.z = np.empty((n, m), dtype) if last else self.a
        self.da = np.empty((n, m), dtype)  # written by the layer above; becomes dz
        self.left = np.empty((n, m), dtype) if dropout else self.a  # what dropout leaves of a
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

    def drop_out(self, a: Array, t: int) -> Array:
        """a (n_l, m) after dropout, after t steps."""
        if self.dropout is None:
            return a
        self.dropout.draw(t)
        return np.multiply(a, self.dropout.mask, out=self.left)

    def back_propagation(self, da_prev: Array | None) -> None:
        """da (n_l, m) -> da_prev (n_{l-1}, m), in the array given; leaves the averages dw and db."""
        dz, a, slope = self.da, self.a, self.slope  # da becomes dz = da * g'(z), with g' in terms of a
        if self.dropout is not None:
            np.multiply(dz, self.dropout.mask, out=dz)
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
        given = (*problem.weights, *problem.biases)
        p = np.concatenate([array.ravel() for array in given]).astype(dtype)
        dp = np.zeros_like(p)
        self.shapes = [array.shape for array in given]
        parameters, gradients = self.views(p), self.views(dp)
        self.dp = dp
        self.optimizer = Optimizer(problem.training, p, dp, sum(w.size for w in problem.weights))
        self.layers = [
            DenseLayer(
                *(parameters[k], parameters[top + 1 + k]),
                *(gradients[k], gradients[top + 1 + k]),
                g,
                m,
                last=k == top,
                fused=k == top and self.loss != "mean_squared_error",
                dropout=Dropout(rate, len(w), m, problem.training.seed, k, dtype) if rate else None,
            )
            for k, (w, g, rate) in enumerate(
                zip(problem.weights, problem.network.activations, (*problem.dropout, 0.0), strict=True)
            )
        ]
        self.t = 0  # steps made
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def views(self, flat: Array) -> list[Array]:
        """All weights and then all biases, or their likes, that lie one after another in an array."""
        ends = np.cumsum([np.prod(shape) for shape in self.shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        with np.errstate(over="ignore"):  # e^-z of a sigmoid far below zero
            for layer in self.layers:
                a = layer.forward_propagation(a)
        return a

    def forward_with_dropout(self) -> Array:
        self.y = self.Y[self.batch]
        a = self.X[self.batch]
        with np.errstate(over="ignore"):
            for layer in self.layers:
                a = layer.drop_out(layer.forward_propagation(a), self.t)
        return a

    def gradients(self) -> None:
        # dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax: m (a - y)
        np.subtract(self.forward_with_dropout(), self.y, out=self.layers[-1].da)  # (n_L, m)
        for below, layer in zip(self.layers[-2::-1], self.layers[:0:-1], strict=True):
            layer.back_propagation(below.da)
        self.layers[0].back_propagation(None)

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.t += 1
        self.optimizer.update(learning_rate, self.t)
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
        o = self.optimizer
        kinds = OPTIMIZERS[o.training.optimizer]
        if not kinds and not any(layer.dropout for layer in self.layers):
            return ()
        kept = ((), (o.v,), (o.m, o.v))[kinds]
        return (*(np.array(view, np.float64) for flat in kept for view in self.views(flat)), self.t)
