"""`autograd`: the cost written in NumPy, differentiated by HIPS autograd, which traces it at every call."""

from __future__ import annotations

from typing import Any, TypeAlias

import autograd
import autograd.numpy as anp
import numpy as np
import threadpoolctl
from autograd.scipy.special import expit, logsumexp

from impls.interface import Problem, Result, Unsupported

Array: TypeAlias = Any  # an array, or autograd's box around one
Parameters: TypeAlias = list[tuple[Array, Array]]  # w (n_l, n_{l-1}) and b (n_l, 1) of every layer

ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "tanh": anp.tanh,
    "relu": lambda z: z * (z > 0),  # anp.maximum would have half a derivative at 0
    "softmax": lambda z: anp.exp(z - logsumexp(z, axis=0, keepdims=True)),
}


def forward(activations: tuple[str, ...], parameters: Parameters, x: Array) -> tuple[Array, Array]:
    """x (n_0, m) -> z and a (n_L, m) of the last layer."""
    a = z = x
    for g, (w, b) in zip(activations, parameters, strict=True):
        z = anp.dot(w, a) + b  # (n_l, m)
        a = ACTIVATIONS[g](z)  # (n_l, m)
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


class AutogradNumpy:
    """The cost in NumPy, its gradient by tracing."""

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
            lambda parameters, x, y: cost(self.loss, *forward(self.activations, parameters, x), y)
        )
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def begin_pass(self) -> tuple[Array, Array]:
        self.last = self.parameters, self.X[self.batch], self.Y[self.batch]
        self.passed: tuple[Array, Array] | None = None
        return self.last[1:]

    def forward(self) -> None:
        x, _ = self.begin_pass()
        self.passed = forward(self.activations, self.parameters, x)

    def gradients(self) -> None:
        with np.errstate(over="ignore"):  # autograd has tanh' = 1 / cosh^2, and 1 / inf is 0 as it should be
            self.d = self.gradient(self.parameters, *self.begin_pass())

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.parameters = [
            (w - learning_rate * dw, b - learning_rate * db)
            for (w, b), (dw, db) in zip(self.parameters, self.d, strict=True)
        ]
        self.batch = (self.batch + 1) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        parameters, x, y = self.last
        # of the last pass: autograd's grad keeps neither output nor cost
        z, a = self.passed or forward(self.activations, parameters, x)
        wide = np.float64
        return Result(
            loss=float(cost(self.loss, z, a, y)),
            output=np.array(a, wide),
            dw=tuple(np.array(dw, wide) for dw, _ in self.d),
            db=tuple(np.array(db, wide) for _, db in self.d),
            weights=tuple(np.array(w, wide) for w, _ in self.parameters),
            biases=tuple(np.array(b, wide) for _, b in self.parameters),
        )
