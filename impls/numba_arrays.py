"""`numba`: jitted array code, a batch at a time: products by BLAS, fused elementwise loops.

This is what a good Numba user writes. Samples stand in rows, so that every product is one `np.dot` of
contiguous arrays into an array that the constructor allocated, and one loop over the batch does everything
between two products: it adds the bias and applies the activation, or takes its derivative and sums over the
samples. There are no temporary arrays, and `train` returns to Python after its last step only. All parameters
lie in one array, the weights first, and so do their gradients: one loop updates them.

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

from impls.interface import ACTIVATIONS, LOSSES, OPTIMIZERS, Problem, Result, Unsupported
from impls.kernels import masks
from impls.kernels.intrinsics import hashed

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR = list(LOSSES).index("mean_squared_error")

GRADIENT_DESCENT, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW = range(len(OPTIMIZERS))

LAYER = np.dtype(
    [
        ("n_in", np.int64),  # n_{l-1}
        ("n", np.int64),  # n_l
        ("g", np.int64),
        # where its numbers begin in the array that holds those of all layers
        ("w", np.int64),
        ("b", np.int64),
        ("a", np.int64),  # also of dz, and of everything about dropout
        # dropout
        ("least", np.int64),  # the least hash that is kept; 0 where nothing is dropped
        ("scale", np.float64),
    ]
)
"""The fields of a layer in compiled code."""

TRAINING = np.dtype(
    [(name, np.int64) for name in ("optimizer", "weights", "seed")]
    + [(name, np.float64) for name in ("l2", "mu", "rho", "b1", "b2", "eps", "weight_decay")]
)
"""A training, as compiled code sees it; `weights` of the parameters are weights."""

Array = NDArray[Any]
Record = Any  # of LAYER or TRAINING, whose fields are attributes in compiled code
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
def matrix(flat: Array, place: int, rows: int, columns: int) -> Array:
    """The matrix that begins at a place of an array."""
    return flat[place : place + rows * columns].reshape(rows, columns)


lowbias32: Any = compiled(masks.lowbias32)


@compiled
def key(seed: int, step: int, layer: int) -> int:
    """The function of `impls.kernels.masks`, compiled."""
    found: int = lowbias32(lowbias32(lowbias32(seed ^ masks.START) ^ step & masks.MASK) ^ layer)
    return found


@compiled
def draw(hashes: Array, key: int, least: int, scale: float, mask: Array) -> None:
    """mask = the factors of the activations: 0 or the scale."""
    here, bound, kept, dropped = np.uint32(key), np.uint32(least), mask.dtype.type(scale), mask.dtype.type(0)
    for i in range(mask.size):
        mask[i] = kept if hashed(hashes[i] ^ here) >= bound else dropped


@compiled
def multiply(x: Array, y: Array, product: Array) -> None:
    """product = x * y."""
    for s in range(len(x)):
        for i in range(x.shape[1]):
            product[s, i] = x[s, i] * y[s, i]


@compiled
def forward(x: Array, layers: Record, p: Array, z: Array, a: Array) -> None:
    """x (m, n_0) through the layers, without dropout; z (m, n_L) of the last one is kept."""
    m, last = len(x), len(layers) - 1
    for k in range(len(layers)):
        layer = layers[k]
        a_k = matrix(a, layer.a, m, layer.n)
        z_k = z if k == last else a_k
        np.dot(x, matrix(p, layer.w, layer.n, layer.n_in).T, z_k)  # (m, n_l)
        activate(layer.g, p[layer.b : layer.b + layer.n], z_k, a_k)
        x = a_k


@compiled
def gradients(
    x: Array,
    y: Array,
    t: int,
    layers: Record,
    training: Record,
    loss: int,
    p: Array,
    dp: Array,
    z: Array,
    a: Array,
    dz: Array,
    hashes: Array,
    mask: Array,
    left: Array,
) -> None:
    """Forward and backward for x (m, n_0) and y (m, n_L), with the dropout of step t.

    `mask` has the factors of the activations by dropout, `left` the products.
    """
    m, last = len(x), len(layers) - 1
    inputs = x
    for k in range(len(layers)):
        layer = layers[k]
        a_k = matrix(a, layer.a, m, layer.n)
        z_k = z if k == last else a_k
        np.dot(x, matrix(p, layer.w, layer.n, layer.n_in).T, z_k)  # (m, n_l)
        activate(layer.g, p[layer.b : layer.b + layer.n], z_k, a_k)
        x = a_k
        if layer.least:
            place, end = layer.a, layer.a + m * layer.n
            draw(hashes[place:end], key(training[0].seed, t, k), layer.least, layer.scale, mask[place:end])
            x = matrix(left, layer.a, m, layer.n)
            multiply(a_k, matrix(mask, layer.a, m, layer.n), x)
    a_k, dz_k = x, matrix(dz, layers[last].a, m, layers[last].n)
    difference(a_k, y, dz_k)
    for k in range(last, -1, -1):
        layer = layers[k]
        # a - y is dJ/da of the mean squared error, dJ/dz of the cross-entropies of sigmoid and softmax
        is_dz = k == last and loss != MEAN_SQUARED_ERROR
        db = dp[layer.b : layer.b + layer.n]
        activate_backward(IDENTITY if is_dz else layer.g, a_k, dz_k, db)
        average(db, m)
        dw = matrix(dp, layer.w, layer.n, layer.n_in)
        if k == 0:
            np.dot(dz_k.T, inputs, dw)  # (n_1, n_0)
            average(dw, m)
        else:
            below = layers[k - 1]
            a_k = matrix(a, below.a, m, below.n)
            da = matrix(dz, below.a, m, below.n)
            np.dot(dz_k.T, matrix(left, below.a, m, below.n) if below.least else a_k, dw)  # (n_l, n_{l-1})
            average(dw, m)
            np.dot(dz_k, matrix(p, layer.w, layer.n, layer.n_in), da)  # da_prev (m, n_{l-1})
            if below.least:
                multiply(da, matrix(mask, below.a, m, below.n), da)
            dz_k = da


@compiled
def update(
    o: Record,
    rate: float,
    t: int,
    p: Array,
    dp: Array,
    m: Array,
    v: Array,
    l2: float,
    weight_decay: float,
) -> None:
    """Step t of the optimizer; what does not depend on the parameter is computed once, in float64."""
    real = p.dtype.type
    lr, l2_r, mu, rho, b1, b2 = real(rate), real(l2), real(o.mu), real(o.rho), real(o.b1), real(o.b2)
    rest_rho, rest_b1, rest_b2 = real(1 - o.rho), real(1 - o.b1), real(1 - o.b2)
    if o.optimizer == GRADIENT_DESCENT:
        if l2 == 0:
            for i in range(p.size):
                p[i] -= lr * dp[i]
        else:
            for i in range(p.size):
                p[i] -= lr * (dp[i] + l2_r * p[i])
    elif o.optimizer == MOMENTUM:
        for i in range(p.size):
            v[i] = mu * v[i] + (dp[i] + l2_r * p[i])
            p[i] -= lr * v[i]
    elif o.optimizer == NESTEROV:
        for i in range(p.size):
            g = dp[i] + l2_r * p[i]
            v[i] = mu * v[i] + g
            p[i] -= lr * (g + mu * v[i])
    elif o.optimizer == RMSPROP:
        eps = real(o.eps)
        for i in range(p.size):
            g = dp[i] + l2_r * p[i]
            v[i] = rho * v[i] + rest_rho * (g * g)
            p[i] -= lr * (g / (math.sqrt(v[i]) + eps))
    else:
        # lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2))
        c1, root = 1 - o.b1 ** float(t), math.sqrt(1 - o.b2 ** float(t))
        lr, eps, decay = real(rate * root / c1), real(o.eps * root), real(rate * weight_decay)
        for i in range(p.size):
            g = dp[i] + l2_r * p[i]
            m[i] = b1 * m[i] + rest_b1 * g
            v[i] = b2 * v[i] + rest_b2 * (g * g)
            p[i] -= lr * m[i] / (math.sqrt(v[i]) + eps) + decay * p[i]


@compiled
def train(
    steps: int,
    learning_rate: float,
    start: int,
    X: Array,
    Y: Array,
    state: Array,
    t: int,
    layers: Record,
    training: Record,
    loss: int,
    p: Array,
    dp: Array,
    z: Array,
    a: Array,
    dz: Array,
    hashes: Array,
    mask: Array,
    left: Array,
) -> int:
    """`steps` steps, of which t are made, from the batch at `start`; returns where the next batch begins."""
    m, o = len(z), training[0]
    weight_decay = o.weight_decay if o.optimizer == ADAMW else 0.0
    # L2 and weight decay are for the weights, which come first
    end = o.weights if o.l2 != 0 or weight_decay != 0 else p.size
    m_1, v_1 = state[0, :end], state[len(state) - 1, :end]  # the only one is v
    m_2, v_2 = state[0, end:], state[len(state) - 1, end:]
    p_1, dp_1, p_2, dp_2 = p[:end], dp[:end], p[end:], dp[end:]
    for _ in range(steps):
        x, y = X[start : start + m], Y[start : start + m]
        gradients(x, y, t, layers, training, loss, p, dp, z, a, dz, hashes, mask, left)
        t += 1
        update(o, learning_rate, t, p_1, dp_1, m_1, v_1, o.l2, weight_decay)
        update(o, learning_rate, t, p_2, dp_2, m_2, v_2, 0.0, 0.0)
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
        network, m, training = problem.network, problem.batch_size, problem.training
        self.m, self.loss, self.kinds = m, network.loss, OPTIMIZERS[training.optimizer]
        self.X = np.array(problem.X.T, dtype, order="C")  # (M, n_0)
        self.Y = np.array(problem.Y.T, dtype, order="C")  # (M, n_L)
        self.p = np.concatenate([a.ravel() for a in (*problem.weights, *problem.biases)]).astype(dtype)
        self.dp = np.zeros_like(self.p)
        self.state = np.zeros((max(1, self.kinds), self.p.size), dtype)
        self.layers = layers = np.zeros(network.layers, LAYER)
        layers["n_in"], layers["n"] = network.widths[:-1], network.widths[1:]
        layers["g"] = [ACTIVATIONS.index(g) for g in network.activations]
        sizes = (*(w.size for w in problem.weights), *(b.size for b in problem.biases))
        layers["w"], layers["b"] = np.cumsum([0, *sizes[:-1]]).reshape(2, -1)
        layers["a"] = np.cumsum([0, *(m * n for n in network.widths[1:-1])])
        for layer, rate in zip(layers, problem.dropout, strict=False):
            if rate:
                layer["least"], layer["scale"] = masks.threshold(rate), masks.scale(rate)
        # what is m columns in `Problem` is m rows here
        tables = [masks.lowbias32(np.arange(n * m, dtype=np.uint32)).reshape(n, m).T for n in layers["n"]]
        dropping = any(problem.dropout)
        hashes = np.concatenate([table.ravel() for table in tables]) if dropping else np.zeros(0, np.uint32)
        options = np.zeros(1, TRAINING)
        options["optimizer"] = list(OPTIMIZERS).index(training.optimizer)
        options["weights"] = sum(w.size for w in problem.weights)
        for name in ("seed", "l2", "mu", "rho", "b1", "b2", "eps", "weight_decay"):
            options[name] = getattr(training, name)
        self.a, self.dz = np.zeros(m * sum(layers["n"]), dtype), np.zeros(m * sum(layers["n"]), dtype)
        # z becomes a in place; but in the last layer, where the cost is computed from z
        self.z = np.zeros((m, network.widths[-1]), dtype)
        mask, left = (np.zeros(hashes.size, dtype) for _ in range(2))
        self.t = 0  # steps made
        self.start = 0  # the current batch is the m samples from here
        self.pass_start = 0  # and that of the last pass, from here
        cost_index = list(LOSSES).index(network.loss)
        self.arguments: tuple[Any, ...] = (
            *(layers, options, cost_index, self.p, self.dp, self.z, self.a, self.dz, hashes, mask, left),
        )
        begin = time.perf_counter()
        self.forward()
        self.train(0, 0.0)
        self.gradients()
        self.compile_seconds = time.perf_counter() - begin

    def forward(self) -> None:
        self.pass_start = self.start
        x = self.X[self.start : self.start + self.m]
        forward(x, self.layers, self.p, self.z, self.a)

    def gradients(self) -> None:
        self.pass_start = self.start
        batch = slice(self.start, self.start + self.m)
        gradients(self.X[batch], self.Y[batch], self.t, *self.arguments)

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        self.pass_start = (self.start + (steps - 1) * self.m) % len(self.X)
        self.start = train(
            *(steps, learning_rate, self.start, self.X, self.Y, self.state, self.t), *self.arguments
        )
        self.t += steps

    def export(self) -> Result:
        L = len(self.layers)

        def views(flat: Array) -> tuple[Array, ...]:
            """All weights, and then all biases."""
            wide = flat.astype(np.float64)
            return (
                *(matrix(wide, k["w"], k["n"], k["n_in"]) for k in self.layers),
                *(matrix(wide, k["b"], k["n"], 1) for k in self.layers),
            )

        n_L = self.layers["n"][-1]
        a = matrix(self.a, self.layers["a"][-1], self.m, n_L).astype(np.float64)
        y = self.Y[self.pass_start : self.pass_start + self.m].astype(np.float64)
        parameters, changes = views(self.p), views(self.dp)
        state: tuple[Any, ...] = tuple(view for kept in self.state[: self.kinds] for view in views(kept))
        return Result(
            loss=cost(self.loss, self.z.astype(np.float64), a, y),
            output=a.T.copy(),
            dw=changes[:L],
            db=changes[L:],
            weights=parameters[:L],
            biases=parameters[L:],
            state=(*state, self.t) if self.kinds or self.layers["least"].any() else (),
        )
