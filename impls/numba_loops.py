"""`numba-loops`: the very loops of `loops`, compiled.

Read it beside `loops`: the same sums in the same order, the same exponentials from the same mathematical
library, no fast-math and no fused multiply-adds, so that every float64 gradient has the same bits. What
changes is that a number is a machine number in an array instead of an object in a list.

What a training does not have, its dropout or its optimizer, is None here, and numba compiles without it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.interface import ACTIVATIONS, LOSSES, OPTIMIZERS, Problem, Result, Unsupported
from impls.kernels import masks
from impls.kernels.intrinsics import compiled, hashed
from impls.loops import cost

IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))
MEAN_SQUARED_ERROR = list(LOSSES).index("mean_squared_error")
GRADIENT_DESCENT, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW = range(len(OPTIMIZERS))

Array = NDArray[Any]
Layers = tuple[Array, ...]
F = TypeVar("F", bound=Callable[..., Any])


def entry_point(function: F) -> F:
    """`function` for Python, compiled on its first call or loaded from numba's cache on disk."""
    return cast("F", njit(cache=True, error_model="numpy")(function))


class Dropout(NamedTuple):
    """Dropout after every hidden layer: a share of the activations becomes 0, the others are scaled."""

    seed: int
    least: Array  # (L - 1); the least hash that is kept, 0 where there is no dropout
    scale: Array  # (L - 1); of what is kept
    hashes: Layers  # (m, n_l); the inner hash of every sample and neuron
    masks: Layers  # (n_l); what the activations of the sample at hand are multiplied by
    left: Layers  # (n_l); what is left of them


class Optimizer(NamedTuple):
    """The constants of an optimizer, and what it keeps beside the parameters."""

    kind: int
    l2: float
    mu: float
    rho: float
    b1: float
    b2: float
    eps: float
    weight_decay: float
    m_w: Layers
    m_b: Layers
    v_w: Layers
    v_b: Layers


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


lowbias32: Any = compiled(masks.lowbias32)


@compiled
def key(seed: int, step: int, layer: int) -> int:
    """The function of `impls.kernels.masks`, compiled."""
    found: int = lowbias32(lowbias32(lowbias32(seed ^ masks.START) ^ step & masks.MASK) ^ layer)
    return found


@compiled
def drop_out(dropout: Dropout, layer: int, s: int, t: int, a: Array) -> Array:
    """a (n_l) of sample s after dropout, after t steps."""
    if dropout.least[layer] == 0:
        return a
    hashes, mask, left = dropout.hashes[layer][s], dropout.masks[layer], dropout.left[layer]
    here, least = np.uint32(key(dropout.seed, t, layer)), np.uint32(dropout.least[layer])
    for i in range(len(a)):
        mask[i] = dropout.scale[layer] if hashed(hashes[i] ^ here) >= least else 0.0
        left[i] = a[i] * mask[i]
    return left


@compiled
def forward_sample(
    x: Array, w: Layers, b: Layers, g: Array, z: Layers, a: Layers, dropout: Dropout | None, s: int, t: int
) -> None:
    """x (n_0), sample s of the batch, through the layers, keeping every z and a."""
    for layer in range(len(w)):
        w_l, b_l, z_l = w[layer], b[layer], z[layer]
        for i in range(len(b_l)):
            z_i = b_l[i]
            for j in range(len(x)):
                z_i += w_l[i, j] * x[j]
            z_l[i] = z_i
        activation(g[layer], z_l, a[layer])
        x = a[layer]
        if dropout is not None:  # noqa: SIM102 - numba leaves out what depends on this alone
            if layer < len(w) - 1:
                x = drop_out(dropout, layer, s, t, x)


@compiled
def backward_sample(
    x: Array,
    y: Array,
    w: Layers,
    g: Array,
    loss: int,
    a: Layers,
    dz: Layers,
    dw: Layers,
    db: Layers,
    dropout: Dropout | None,
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
        if dropout is not None:  # noqa: SIM102
            if layer > 0 and dropout.least[layer - 1]:
                x_l = dropout.left[layer - 1]
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
            if dropout is not None:  # noqa: SIM102
                if dropout.least[layer - 1]:
                    for j in range(len(da_prev)):
                        da_prev[j] *= dropout.masks[layer - 1][j]
            activation_backward(g[layer - 1], da_prev, a[layer - 1])


@entry_point
def forward(
    X: Array, start: int, w: Layers, b: Layers, g: Array, z: Layers, a: Layers, zs: Array, outputs: Array
) -> None:
    """The batch that begins at sample `start`; zs and outputs (m, n_L) keep z and a of the last layer."""
    for s in range(len(outputs)):
        forward_sample(X[start + s], w, b, g, z, a, None, s, 0)
        # number by number: to assign a row, numba compiles its message on rows of two lengths, for a second
        for i in range(outputs.shape[1]):
            zs[s, i], outputs[s, i] = z[len(z) - 1][i], a[len(a) - 1][i]


@entry_point
def gradients(
    start: int,
    t: int,
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
    dropout: Dropout | None,
) -> None:
    """Forward and backward, sample by sample, for the batch that begins at sample `start`, after t steps."""
    for layer in range(len(w)):
        dw[layer][:] = 0
        db[layer][:] = 0
    for s in range(len(outputs)):
        forward_sample(X[start + s], w, b, g, z, a, dropout, s, t)
        for i in range(outputs.shape[1]):
            zs[s, i], outputs[s, i] = z[len(z) - 1][i], a[len(a) - 1][i]
        backward_sample(X[start + s], Y[start + s], w, g, loss, a, dz, dw, db, dropout)
    m = X.dtype.type(len(outputs))
    for layer in range(len(w)):
        dw_l, db_l = dw[layer], db[layer]
        for i in range(len(db_l)):
            for j in range(dw_l.shape[1]):
                dw_l[i, j] /= m
            db_l[i] /= m


@compiled
def update(
    o: Optimizer,
    learning_rate: float,
    b1_t: float,
    b2_t: float,
    p: Array,
    dp: Array,
    m: Array,
    v: Array,
    l2: float,
    weight_decay: float,
) -> None:
    """A step of the optimizer for parameters p (n) and their dp; m and v are what it keeps, b_t = b^t."""
    real = p.dtype.type
    rate, l2, decay = real(learning_rate), real(l2), real(weight_decay)
    mu, rho, b1, b2, eps = real(o.mu), real(o.rho), real(o.b1), real(o.b2), real(o.eps)
    rest_rho, rest_b1, rest_b2 = real(1.0 - o.rho), real(1.0 - o.b1), real(1.0 - o.b2)
    if o.kind == GRADIENT_DESCENT:
        for i in range(len(p)):
            p[i] -= rate * (dp[i] + l2 * p[i] if l2 else dp[i])
    elif o.kind == MOMENTUM:
        for i in range(len(p)):
            g_i = dp[i] + l2 * p[i] if l2 else dp[i]
            v[i] = mu * v[i] + g_i
            p[i] -= rate * v[i]
    elif o.kind == NESTEROV:
        for i in range(len(p)):
            g_i = dp[i] + l2 * p[i] if l2 else dp[i]
            v[i] = mu * v[i] + g_i
            p[i] -= rate * (g_i + mu * v[i])
    elif o.kind == RMSPROP:
        for i in range(len(p)):
            g_i = dp[i] + l2 * p[i] if l2 else dp[i]
            v[i] = rho * v[i] + rest_rho * (g_i * g_i)
            p[i] -= rate * (g_i / (math.sqrt(v[i]) + eps))
    else:
        c1, c2 = real(1.0 - b1_t), real(1.0 - b2_t)  # m and v begin at 0, which they have averaged in
        for i in range(len(p)):
            g_i = dp[i] + l2 * p[i] if l2 else dp[i]
            m[i] = b1 * m[i] + rest_b1 * g_i
            v[i] = b2 * v[i] + rest_b2 * (g_i * g_i)
            change = (m[i] / c1) / (math.sqrt(v[i] / c2) + eps)
            if o.kind == ADAMW:
                change += decay * p[i]
            p[i] -= rate * change


@entry_point
def train(
    steps: int,
    learning_rate: float,
    start: int,
    t: int,
    optimizer: Optimizer | None,
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
    dropout: Dropout | None,
) -> int:
    """`steps` steps after t of them; returns where the next batch begins. No optimizer is plain descent."""
    rate = X.dtype.type(learning_rate)
    for _ in range(steps):
        gradients(start, t, X, Y, w, b, g, loss, z, a, dz, dw, db, zs, outputs, dropout)
        t += 1
        for layer in range(len(w)):
            w_l, b_l, dw_l, db_l = w[layer], b[layer], dw[layer], db[layer]
            if optimizer is not None:
                o, m_w, v_w = optimizer, optimizer.m_w[layer], optimizer.v_w[layer]
                b1_t, b2_t = o.b1 ** float(t), o.b2 ** float(t)
                for i in range(len(b_l)):
                    w_i, m_i, v_i = w_l[i], m_w[i], v_w[i]
                    update(o, learning_rate, b1_t, b2_t, w_i, dw_l[i], m_i, v_i, o.l2, o.weight_decay)
                m_b, v_b = o.m_b[layer], o.v_b[layer]
                update(o, learning_rate, b1_t, b2_t, b_l, db_l, m_b, v_b, 0.0, 0.0)
            else:
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
        network, m, training = problem.network, problem.batch_size, problem.training
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
        self.dropout: Dropout | None = None
        if any(problem.dropout):
            hidden = network.widths[1:-1]
            # index i m + s of neuron i and sample s, samples in rows
            tables = (masks.lowbias32(np.arange(n * m, dtype=np.uint32)).reshape(n, m).T for n in hidden)
            self.dropout = Dropout(
                training.seed,
                np.array([masks.threshold(p) if p else 0 for p in problem.dropout]),
                np.array([masks.scale(p) for p in problem.dropout], dtype),
                tuple(np.ascontiguousarray(table) for table in tables),
                *(tuple(np.zeros(n, dtype) for n in hidden) for _ in range(2)),
            )
        self.kinds = OPTIMIZERS[training.optimizer]
        self.optimizer: Optimizer | None = None
        if self.kinds or training.l2:
            constants = ("l2", "mu", "rho", "b1", "b2", "eps", "weight_decay")
            self.optimizer = Optimizer(
                list(OPTIMIZERS).index(training.optimizer),
                *(getattr(training, name) for name in constants),
                *(tuple(np.zeros_like(p) for p in parameters) for parameters in (self.w, self.b) * 2),
            )
        self.t = 0  # steps made
        self.start = 0  # the current batch is the m samples from here
        self.pass_start = 0  # and that of the last pass, from here
        cost_index = list(LOSSES).index(network.loss)
        self.arguments = (
            *(self.X, self.Y, self.w, self.b, self.g, cost_index),
            *(self.z, self.a, self.dz, self.dw, self.db, self.zs, self.outputs, self.dropout),
        )
        begin = time.perf_counter()
        self.forward()
        train(0, 0.0, self.start, self.t, self.optimizer, *self.arguments)
        self.gradients()
        self.compile_seconds = time.perf_counter() - begin

    def forward(self) -> None:
        self.pass_start = self.start
        forward(self.X, self.start, self.w, self.b, self.g, self.z, self.a, self.zs, self.outputs)

    def gradients(self) -> None:
        self.pass_start = self.start
        gradients(self.start, self.t, *self.arguments)

    def step(self, learning_rate: float) -> None:
        self.train(1, learning_rate)

    def train(self, steps: int, learning_rate: float) -> None:
        if steps > 0:
            self.pass_start = (self.start + (steps - 1) * self.m) % len(self.X)
            self.start = train(steps, learning_rate, self.start, self.t, self.optimizer, *self.arguments)
            self.t += steps

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
            state=self.state(),
        )

    def state(self) -> tuple[Any, ...]:
        """The parameters and the optimizer's state, in the order of `Result`."""
        o = self.optimizer
        if o is None or not self.kinds:
            return () if self.dropout is None else (self.t,)
        m = [*(m.astype(np.float64) for m in o.m_w), *(m.astype(np.float64)[:, None] for m in o.m_b)]
        v = [*(v.astype(np.float64) for v in o.v_w), *(v.astype(np.float64)[:, None] for v in o.v_b)]
        return (*(m if self.kinds == 2 else ()), *v, self.t)
