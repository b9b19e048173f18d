"""Named networks and the data that they are raced on."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import race_file
from impls import LOSSES, Network, Problem, Training

RANDOM_SAMPLES = 1024
"""Samples of a workload on random data, for batches up to that size."""

ADAPTIVE = 1 / 200
"""The learning rates of rmsprop, adam and adamw relative to those of plain descent, since the size of their
steps does not depend on that of the gradient."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """A network, the source of its data, and its training.

    `learning_rate` is one at which plain gradient descent trains it well, `rate` that of its training.
    """

    network: Network
    data: str
    learning_rate: float
    training: Training = Training()

    @property
    def rate(self) -> float:
        """The learning rate of its training."""
        return learning_rate(self.training, self.learning_rate)

    def described(self) -> race_file.RecordedWorkload:
        """The workload as it is on record."""
        network = self.network
        training = race_file.RecordedTraining(**dataclasses.asdict(self.training))
        return race_file.RecordedWorkload(
            network.widths, network.activations, network.loss, self.data, training
        )


def learning_rate(training: Training, plain: float) -> float:
    """The rate at which `training` learns about as fast as plain gradient descent at the rate `plain`."""
    if training.optimizer in ("momentum", "nesterov"):
        return plain * (1 - training.mu)
    return plain * (1 if training.optimizer == "gradient_descent" else ADAPTIVE)


def measured_on(described: race_file.RecordedWorkload) -> Workload:
    """The workload that a record describes; its learning rate is not meant for training."""
    network = Network(described.widths, described.activations, described.loss)
    training = Training(**dataclasses.asdict(described.training))
    return Workload(network, described.data, math.nan, training)


def _network(widths: tuple[int, ...], hidden: str, last: str, loss: str) -> Network:
    return Network(widths, (hidden,) * (len(widths) - 2) + (last,), loss)


_DIGITS = Workload(_network((64, 32, 10), "sigmoid", "sigmoid", "mean_squared_error"), "digits", 2.0)

# Names are stored in records: they are stable.
WORKLOADS: dict[str, Workload] = {
    "digits": _DIGITS,
    "digits-adam": dataclasses.replace(_DIGITS, training=Training("adam")),
    "digits-dropout": dataclasses.replace(_DIGITS, training=Training(dropout=0.2)),
    "digits-softmax": Workload(
        _network((64, 64, 10), "relu", "softmax", "softmax_cross_entropy"), "digits", 0.2
    ),
    "mnist-shape": Workload(
        _network((784, 128, 10), "relu", "softmax", "softmax_cross_entropy"), "random", 0.1
    ),
    "wide": Workload(
        _network((784, 512, 512, 10), "relu", "softmax", "softmax_cross_entropy"), "random", 0.1
    ),
    "deep": Workload(
        _network((64, *[64] * 8, 10), "tanh", "softmax", "softmax_cross_entropy"), "digits", 0.1
    ),
    "xor": Workload(_network((2, 2, 1), "sigmoid", "sigmoid", "mean_squared_error"), "xor", 2.0),
}


def named(name: str) -> Workload:
    """The workload of that name, one of `WORKLOADS` or of `trained`; raises ValueError for any other name."""
    base, *parts = name.split("+")
    if base not in WORKLOADS:
        raise ValueError(f"workload: expected one of {', '.join(WORKLOADS)}, got {base!r}")
    asked: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.rpartition("=")
        asked[key or "optimizer"] = float(value) if key else value
    return trained(base, WORKLOADS[base], **asked)[1]


def trained(
    name: str,
    workload: Workload,
    optimizer: str | None = None,
    l2: float | None = None,
    dropout: float | None = None,
) -> tuple[str, Workload]:
    """The workload with another training, and its name: `digits+adam+l2=0.001+dropout=0.5`.

    The name has what differs from the workload's own training. Raises ValueError or TypeError where there is
    no such training.
    """
    asked = {"optimizer": optimizer, "l2": l2, "dropout": dropout}
    changes = {
        key: value
        for key, value in asked.items()
        if value is not None and value != getattr(workload.training, key)
    }
    training = dataclasses.replace(workload.training, **changes)  # type: ignore[arg-type]
    if training.dropout and workload.network.layers == 1:
        raise ValueError(
            f"dropout: expected a network with a hidden layer, got {name}, whose only layer is the last"
        )
    parts = (str(value) if key == "optimizer" else f"{key}={value}" for key, value in changes.items())
    return "+".join([name, *parts]), dataclasses.replace(workload, training=training)


def ad_hoc(network: str, activation: str = "sigmoid", loss: str = "mean_squared_error") -> Workload:
    """A workload on random data: `network` like "784-128-10", one activation for all layers or one per layer.

    If the loss needs a particular last activation (as softmax) and only one is given, the last layer
    gets that. Raises ValueError with what was expected and what was got.
    """
    try:
        widths = tuple(int(width) for width in network.split("-"))
    except ValueError:
        raise ValueError(f"network: expected widths like 784-128-10, got {network!r}") from None
    if len(widths) < 2:
        raise ValueError(f"network: expected the inputs and at least one layer, like 64-10, got {network!r}")
    activations = tuple(activation.split(","))
    if len(activations) == 1:
        last = LOSSES.get(loss) or activation
        activations = activations * (len(widths) - 2) + (last,)
    return Workload(Network(widths, activations, loss), "random", 0.1)


@dataclasses.dataclass(frozen=True)
class Digits:
    """Handwritten digits: images (64, samples) of 0 to 1, one-hot labels (10, samples)."""

    X: NDArray[np.float64]
    Y: NDArray[np.float64]


@functools.cache
def digits(held_out: bool = False) -> Digits:
    """The digits to train on, or those held out: of each class every fifth, in the order of the file."""
    with np.load(Path(__file__).parent / "data" / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    one_hot = labels[:, None] == np.arange(10)  # (samples, 10)
    nth_of_its_class = np.cumsum(one_hot, axis=0)[one_hot]
    chosen = (nth_of_its_class % 5 == 0) == held_out
    return Digits(X=images[chosen].T / 16.0, Y=one_hot[chosen].T.astype(np.float64))


def problem(workload: Workload, batch_size: int, seed: int = 0) -> Problem:
    """The workload's problem: all its data, repeated until it fills a whole number of batches.

    Weights are `randn * scale` with a scale of 1 / sqrt(n_{l-1}), so that pre-activations neither vanish nor
    saturate; biases are `randn * 0.1`. The random data of a workload follows from the seed, too.
    """
    network = workload.network
    if workload.data == "random":
        drawn = Problem.random(network, samples=max(RANDOM_SAMPLES, batch_size), batch_size=1, seed=seed)
        X, Y = drawn.X, drawn.Y
    elif workload.data == "xor":
        X = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
        Y = np.array([[0.0, 1.0, 1.0, 0.0]])
    else:
        X, Y = digits().X, digits().Y
    samples = X.shape[1]
    batches = -(-samples // batch_size)
    repeated = np.arange(batches * batch_size) % samples
    rng = np.random.default_rng(seed)
    n = network.widths
    weights = tuple(rng.standard_normal((n[k + 1], n[k])) / np.sqrt(n[k]) for k in range(network.layers))
    biases = tuple(rng.standard_normal((n[k + 1], 1)) * 0.1 for k in range(network.layers))
    X, Y = X[:, repeated], Y[:, repeated]
    return Problem(network, weights, biases, X, Y, batch_size, workload.training)
