"""`autograd`: the cost written in NumPy, differentiated by HIPS autograd, which traces it at every call.

The optimizers are written in NumPy, too: those that come with autograd make all steps of a training in one
call, from a state and with definitions of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

import autograd
import autograd.numpy as anp
import numpy as np
import threadpoolctl
from autograd.scipy.special import expit, logsumexp

from impls.interface import OPTIMIZERS, Problem, Result, Training, Unsupported
from impls.kernels.masks import key, lowbias32, scale, threshold

Array: TypeAlias = Any  # an array, or autograd's box around one
Parameters: TypeAlias = list[tuple[Array, Array]]  # w (n_l, n_{l-1}) and b (n_l, 1) of every layer

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "tanh": anp.tanh,
    "relu": lambda z: z * (z > 0),  # anp.maximum would have half a derivative at 0
    "softmax": lambda z: anp.exp(z - logsumexp(z, axis=0, keepdims=True)),
}


def forward(
    activations: tuple[str, ...], parameters: Parameters, x: Array, masks: Sequence[Array | None] = ()
) -> tuple[Array, Array]:
    """x (n_0, m) -> z and a (n_L, m) of the last layer; `masks` (n_l, m) are those of the hidden layers."""
    a = z = x
    for g, (w, b), mask in zip_longest(activations, parameters, masks):
        z = anp.dot(w, a) + b  # (n_l, m)
        a = ACTIVATIONS[g](z)  # (n_l, m)
        if mask is not None:
            a = a * mask  # (n_l, m)
    return z, a


def cost(loss: str, z: Array, a: Array, y: Array) -> Array:
    """J; the cross-entropies from z, where no logarithm meets a zero."""
    m = y.shape[1]
    if loss == "mean_squared_error":
        distance = a - y
        return anp.sum(distance * distance) / (2 * m)  # the derivative of ** is another power, in float64
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = ln(1 + e^z) - z y
        return anp.sum(anp.logaddexp(0, z) - z * y) / m
    # -sum(y ln a) = sum(y (ln(sum e^z) - z))
    return anp.sum(y * (logsumexp(z, axis=0, keepdims=True) - z)) / m


def descent(training: Training, t: int, g: Array, state: list[Array]) -> tuple[Array, list[Array]]:
    """The descent of an array of parameters at a rate of 1, and its new state; t counts steps from 1."""
    if training.optimizer == "gradient_descent":
        return g, state
    if training.optimizer in ("momentum", "nesterov"):
        mu = training.mu
        v = mu * state[0] + g
        return (v if training.optimizer == "momentum" else g + mu * v), [v]
    if training.optimizer == "rmsprop":
        v = training.rho * state[0] + (1 - training.rho) * g**2
        return g / (np.sqrt(v) + training.eps), [v]
    b1, b2 = training.b1, training.b2
    m = b1 * state[0] + (1 - b1) * g
    v = b2 * state[1] + (1 - b2) * g**2
    return (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + training.eps), [m, v]


class AutogradNumpy:
    """The cost in NumPy, and its gradient by tracing."""

    idea = "automatic differentiation of NumPy calls, traced every time"
    differs_from = None
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "C-contiguous matrices, samples in columns"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"autograd computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        threadpoolctl.threadpool_limits(threads, user_api="blas")
        self.activations, self.loss = problem.network.activations, problem.network.loss
        m = problem.batch_size
        starts = range(0, problem.samples, m)
        self.X = [np.array(problem.X[:, k : k + m], dtype, order="C") for k in starts]  # each (n_0, m)
        self.Y = [np.array(problem.Y[:, k : k + m], dtype, order="C") for k in starts]  # each (n_L, m)
        self.parameters: Parameters = [
            (np.array(w, dtype, order="C"), np.array(b, dtype, order="C"))
            for w, b in zip(problem.weights, problem.biases, strict=True)
        ]
        self.gradient = autograd.grad(
            lambda parameters, x, y, masks: cost(
                self.loss, *forward(self.activations, parameters, x, masks), y
            )
        )
        self.dtype, self.dropout, self.training = dtype, problem.dropout, problem.training
        # what the masks are drawn from, each (n_l, m)
        self.hashes = [
            lowbias32(np.arange(n * m, dtype=np.uint32)).reshape(n, m) for n in problem.network.widths[1:-1]
        ]
        self.state: list[Any] = [
            tuple([np.zeros_like(array)] * OPTIMIZERS[self.training.optimizer] for array in pair)
            for pair in self.parameters
        ]
        self.steps = 0
        self.batch = 0  # the masks of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def masks(self) -> list[Array | None]:
        """The masks of the current step, each (n_l, m)."""
        masks: list[Array | None] = []
        for layer, (dropout, hashes) in enumerate(zip(self.dropout, self.hashes, strict=True)):
            kept = None
            if dropout:
                kept = lowbias32(hashes ^ key(self.training.seed, self.steps, layer)) >= threshold(dropout)
                kept = kept * np.array(scale(dropout), self.dtype)
            masks.append(kept)
        return masks

    def begin_pass(self, masks: Sequence[Array | None] = ()) -> tuple[Array, Array, Sequence[Array | None]]:
        self.last = self.parameters, self.X[self.batch], self.Y[self.batch], masks
        self.passed: tuple[Array, Array] | None = None
        return self.last[1:]

    def forward(self) -> None:
        self.begin_pass()
        self.passed = forward(self.activations, self.parameters, self.X[self.batch])

    def gradients(self) -> None:
        with np.errstate(over="ignore"):  # autograd has tanh' = 1 / cosh^2, and 1 / inf is 0 as it should be
            self.d = self.gradient(self.parameters, *self.begin_pass(self.masks()))

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.steps += 1
        training, t = self.training, self.steps
        parameters, state = [], []
        for (w, b), (dw, db), (of_w, of_b) in zip(self.parameters, self.d, self.state, strict=True):
            by_w, of_w = descent(training, t, dw + training.l2 * w if training.l2 else dw, of_w)
            by_b, of_b = descent(training, t, db, of_b)
            if training.optimizer == "adamw":
                by_w += training.weight_decay * w
            parameters.append((w - learning_rate * by_w, b - learning_rate * by_b))
            state.append((of_w, of_b))
        self.parameters, self.state = parameters, state
        self.batch = (self.batch + 1) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        parameters, x, y, masks = self.last
        # of the last pass: autograd's grad keeps neither output nor cost
        z, a = self.passed or forward(self.activations, parameters, x, masks)
        wide = np.float64
        return Result(
            loss=float(cost(self.loss, z, a, y)),
            output=np.array(a, wide),
            dw=tuple(np.array(dw, wide) for dw, _ in self.d),
            db=tuple(np.array(db, wide) for _, db in self.d),
            weights=tuple(np.array(w, wide) for w, _ in self.parameters),
            biases=tuple(np.array(b, wide) for _, b in self.parameters),
            state=self._state(),
        )

    def _state(self) -> tuple[Any, ...]:
        kinds = OPTIMIZERS[self.training.optimizer]
        if not kinds and not any(self.dropout):
            return ()
        of_weights, of_biases = zip(*self.state, strict=True)
        arrays = [kept[kind] for kind in range(kinds) for group in (of_weights, of_biases) for kept in group]
        return (*(np.array(array, np.float64) for array in arrays), self.steps)
