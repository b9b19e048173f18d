"""`sklearn`: the backpropagation of scikit-learn's own multi-layer perceptron, on given parameters.

It differentiates every loss together with the activation that belongs to it, squared errors only behind an
output without activation; its hidden layers share one activation. Other networks are not supported. Its value
of the squared error is averaged over the outputs too, but its gradient is that of J in the notation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor

from impls.interface import Network, Problem, Result, Unsupported

Array = NDArray[Any]

ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}

OUTPUTS = {
    "mean_squared_error": "identity",
    "binary_cross_entropy": "sigmoid",
    "softmax_cross_entropy": "softmax",
}


def perceptron(network: Network) -> Any:
    """scikit-learn's model of `network`, without parameters.

    Raises Unsupported for a network that scikit-learn cannot express.
    """
    *hidden, last = network.activations
    if last != OUTPUTS[network.loss]:
        raise Unsupported(
            f"sklearn has {network.loss} behind an output layer of {OUTPUTS[network.loss]} only, got {last}"
        )
    if len(set(hidden)) > 1:
        raise Unsupported(f"sklearn has one activation for all hidden layers, got {', '.join(hidden)}")
    kind = MLPRegressor if network.loss == "mean_squared_error" else MLPClassifier
    model = kind(activation=ACTIVATIONS[hidden[0]] if hidden else "identity", solver="sgd", alpha=0.0)
    model.n_layers_ = network.layers + 1
    model.n_outputs_ = network.widths[-1]
    model.out_activation_ = ACTIVATIONS.get(last, last)
    return model


def cost(loss: str, z: Array, a: Array, y: Array) -> float:
    """J for samples in rows; the cross-entropies from z, where no logarithm meets a zero."""
    m = len(a)
    if loss == "mean_squared_error":
        return float(np.sum((a - y) ** 2) / (2 * m))
    if loss == "binary_cross_entropy":
        # -(y ln a + (1 - y) ln(1 - a)) = max(z, 0) - z y + ln(1 + e^-|z|)
        return float(np.sum(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))) / m)
    shifted = z - z.max(axis=1, keepdims=True)
    return float(np.sum(y * (np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - shifted)) / m)


class SklearnMLP:
    """The network as scikit-learn's MLPRegressor or MLPClassifier."""

    idea = "the backpropagation of scikit-learn's own perceptron"
    differs_from = None
    dtypes = ("float64", "float32")
    same_order = False
    fast_math = "none"
    layout = "matrices, samples in rows, weights transposed"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        if dtype not in self.dtypes:
            raise Unsupported(f"sklearn computes in {' or '.join(self.dtypes)}, got {dtype}")
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        threadpoolctl.threadpool_limits(threads, user_api="blas")
        self.loss = problem.network.loss
        self.model = perceptron(problem.network)
        m, L = problem.batch_size, problem.network.layers
        starts = range(0, problem.samples, m)
        self.X = [np.array(problem.X[:, k : k + m].T, dtype, order="C") for k in starts]  # each (m, n_0)
        self.Y = [np.array(problem.Y[:, k : k + m].T, dtype, order="C") for k in starts]  # each (m, n_L)
        self.model.coefs_ = [np.array(w.T, dtype, order="C") for w in problem.weights]  # (n_{l-1}, n_l)
        self.model.intercepts_ = [np.array(b[:, 0], dtype) for b in problem.biases]  # (n_l,)
        self.activations: list[Any] = [None] * (L + 1)  # a of every layer, from the inputs on
        self.deltas: list[Any] = [None] * L  # dz of every layer
        self.dw: list[Any] = [None] * L  # (n_{l-1}, n_l)
        self.db: list[Any] = [None] * L  # (n_l,)
        self.batch = 0  # of the next pass
        self.compile_seconds = 0.0
        self.gradients()

    def begin_pass(self) -> None:
        self.last_batch = self.batch
        self.activations[0] = self.X[self.batch]
        self.last_layer = self.model.coefs_[-1], self.model.intercepts_[-1]

    def forward(self) -> Array:
        self.begin_pass()
        a: Array = self.model._forward_pass(self.activations)[-1]  # noqa: SLF001 - there is no public way
        return a

    def gradients(self) -> None:
        self.begin_pass()
        self.model._backprop(  # noqa: SLF001 - there is no public way
            self.X[self.batch], self.Y[self.batch], None, self.activations, self.deltas, self.dw, self.db
        )

    def step(self, learning_rate: float) -> None:
        self.gradients()
        model = self.model
        model.coefs_ = [w - learning_rate * dw for w, dw in zip(model.coefs_, self.dw, strict=True)]
        model.intercepts_ = [b - learning_rate * db for b, db in zip(model.intercepts_, self.db, strict=True)]
        self.batch = (self.batch + 1) % len(self.X)

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def export(self) -> Result:
        a = self.activations[-1]
        w, b = self.last_layer
        z = self.activations[-2] @ w + b  # scikit-learn turns z into a where it lies
        wide = np.float64
        return Result(
            loss=cost(self.loss, z, a, self.Y[self.last_batch]),
            output=np.array(a.T, wide, order="C"),
            dw=tuple(np.array(dw.T, wide, order="C") for dw in self.dw),
            db=tuple(np.array(db[:, None], wide) for db in self.db),
            weights=tuple(np.array(w.T, wide, order="C") for w in self.model.coefs_),
            biases=tuple(np.array(b[:, None], wide) for b in self.model.intercepts_),
        )
