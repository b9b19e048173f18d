"""`sklearn`: the backpropagation of scikit-learn's own multi-layer perceptron, on given parameters.

It differentiates every loss together with the activation that belongs to it, squared errors only behind an
output without activation; its hidden layers share one activation. Other networks are not supported. Its value
of the squared error is averaged over the outputs too, but its gradient is that of J in the notation.

Its optimizers are used where they are those of `Training`. It updates the parameters where they lie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from impls.interface import Network, Problem, Result, Training, Unsupported

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


def optimizer(training: Training, parameters: list[Array]) -> Any:
    """scikit-learn's optimizer of `training`; None for plain gradient descent.

    Raises Unsupported for a training that scikit-learn does not have.
    """
    name = training.optimizer
    if name == "gradient_descent":
        return None
    if name in ("momentum", "nesterov"):
        # with a rate of 1 its velocities are -v at any learning rate of a step
        return SGDOptimizer(parameters, 1.0, momentum=training.mu, nesterov=name == "nesterov")
    if name == "adam":
        return AdamOptimizer(parameters, beta_1=training.b1, beta_2=training.b2)
    raise Unsupported(f"sklearn has gradient_descent, momentum, nesterov and adam, got {name}")


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
        if any(problem.dropout):
            raise Unsupported(f"sklearn has no dropout, got {problem.training.dropout}")
        self.loss = problem.network.loss
        self.training = problem.training
        self.model = perceptron(problem.network)
        m, L = problem.batch_size, problem.network.layers
        starts = range(0, problem.samples, m)
        self.X = [np.array(problem.X[:, k : k + m].T, dtype, order="C") for k in starts]  # each (m, n_0)
        self.Y = [np.array(problem.Y[:, k : k + m].T, dtype, order="C") for k in starts]  # each (m, n_L)
        self.model.coefs_ = [np.array(w.T, dtype, order="C") for w in problem.weights]  # (n_{l-1}, n_l)
        self.model.intercepts_ = [np.array(b[:, 0], dtype) for b in problem.biases]  # (n_l,)
        self.optimizer = optimizer(self.training, self.model.coefs_ + self.model.intercepts_)
        self.steps = 0
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
        # scikit-learn's alpha is l2 m, but would make the gradients of J those of J and L2
        l2 = self.training.l2
        g = [dw + l2 * w for w, dw in zip(model.coefs_, self.dw, strict=True)] if l2 else self.dw
        if self.optimizer:
            self._optimize([*g, *self.db], learning_rate)
        else:
            model.coefs_ = [w - learning_rate * g for w, g in zip(model.coefs_, g, strict=True)]
            model.intercepts_ = [
                b - learning_rate * db for b, db in zip(model.intercepts_, self.db, strict=True)
            ]
        self.steps += 1
        self.batch = (self.batch + 1) % len(self.X)

    def _optimize(self, g: list[Array], learning_rate: float) -> None:
        self.last_layer = self.last_layer[0].copy(), self.last_layer[1].copy()  # what follows writes there
        parameters = self.model.coefs_ + self.model.intercepts_
        if self.training.optimizer == "adam":
            self.optimizer.learning_rate_init = learning_rate
            # scikit-learn adds its epsilon to sqrt(v), where Training adds eps to sqrt(v / c)
            c = 1 - self.training.b2 ** (self.steps + 1)
            self.optimizer.epsilon = self.training.eps * math.sqrt(c)
            self.optimizer.update_params(parameters, g)
        else:
            updates = self.optimizer._get_updates(g)  # noqa: SLF001 - there is no public way
            for parameter, update in zip(parameters, updates, strict=True):
                parameter += learning_rate * update

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
            state=self._state(),
        )

    def _state(self) -> tuple[Any, ...]:
        if not self.optimizer:
            return ()
        if self.training.optimizer == "adam":
            kept = [*self.optimizer.ms, *self.optimizer.vs]
        else:
            kept = [-velocity for velocity in self.optimizer.velocities]
        rows = (np.atleast_2d(array) for array in kept)  # (n_{l-1}, n_l) of weights, (1, n_l) of biases
        return (*(np.array(array.T, np.float64, order="C") for array in rows), self.steps)
