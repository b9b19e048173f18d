"""Random problems for laws and studies: any network, any batch, pre-activations up to a given size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np

from impls import Network, Problem, Training
from impls.interface import ACTIVATIONS, LOSSES, OPTIMIZERS

Choose = Callable[[Sequence[Any]], Any]
"""Picks one of several: hypothesis, or a random generator."""

SCALES = (1.0, 1.0, 30.0, 1000.0)
"""The largest |z| of a layer, most often where activations are curved."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large a problem may be."""

    layers: int = 6
    width: int = 65
    batch: int = 257
    fewest: int = 1
    """Layers at the least."""


SMALL = Sizes(layers=4, width=19, batch=35)


def problem(choose: Choose, sizes: Sizes = SMALL, activations: Sequence[str] = ACTIVATIONS[:-1]) -> Problem:
    """A problem of 1 to 3 batches, its choices made by `choose`; `activations` are those to choose from."""
    L = choose(range(sizes.fewest, sizes.layers + 1))
    widths = tuple(choose(range(1, sizes.width + 1)) for _ in range(L + 1))
    loss = choose(tuple(LOSSES))
    last = LOSSES[loss] or choose(activations)
    network = Network(widths, (*(choose(activations) for _ in range(L - 1)), last), loss)
    m = choose(range(1, sizes.batch + 1))
    samples = m * choose((2, 1, 3))
    scale = choose(SCALES)
    rng = np.random.default_rng(choose(range(2**32)))
    x = X = rng.standard_normal((widths[0], samples))
    weights, biases = [], []
    for n, n_below, g in zip(widths[1:], widths[:-1], network.activations, strict=True):
        w, b = rng.standard_normal((n, n_below)), rng.standard_normal((n, 1))
        z = w @ x + b
        # a little beyond the curved part of the activations, or far out
        size = (3.0 if scale == 1.0 else scale) / np.abs(z).max()
        weights.append(w * size)
        biases.append(b * size)
        x = apply(g, z * size)
    if loss == "mean_squared_error":
        Y = rng.standard_normal((widths[-1], samples))
    elif loss == "binary_cross_entropy":
        Y = rng.random((widths[-1], samples))
    else:
        Y = rng.random((widths[-1], samples)) + 0.01
        Y /= Y.sum(axis=0)
    if loss != "mean_squared_error" and choose((False, True)):
        Y = one_hot(Y)
    return Problem(network, tuple(weights), tuple(biases), X, Y, m)


def training(choose: Choose, network: Network) -> Training:
    """Any training of a network, its choices made by `choose`: rates and constants from usual to extreme."""
    optimizer = choose(tuple(OPTIMIZERS))
    rates = tuple(choose((0.0, 0.1, 0.5, 0.75, 0.95)) for _ in range(network.layers - 1))
    return Training(
        optimizer,
        l2=choose((0.0, 0.0, 1e-4, 0.1, 1.0)),
        dropout=choose((0.0, 0.2, rates)),
        seed=choose(range(2**32)),
        mu=choose((0.9, 0.0, 0.99)),
        rho=choose((0.9, 0.0, 0.999)),
        b1=choose((0.9, 0.0, 0.99)),
        b2=choose((0.999, 0.0, 0.9, 0.99999)),
        eps=choose((1e-8, 1e-3, 1.0, 1e-12)),
        weight_decay=choose((0.01, 0.0, 0.5)) if optimizer == "adamw" else 0.01,
    )


def apply(g: str, z: Any) -> Any:
    """a = g(z), to see how large the next layer's z are."""
    if g == "softmax":
        e = np.exp(z - z.max(axis=0))
        return e / e.sum(axis=0)
    functions: dict[str, Callable[[Any], Any]] = {
        "identity": lambda z: z,
        "sigmoid": lambda z: 0.5 + 0.5 * np.tanh(z / 2),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }
    return functions[g](z)


def one_hot(Y: Any) -> Any:
    """1 at the largest number of each column, else 0: some classes stay empty."""
    return (np.arange(len(Y))[:, None] == Y.argmax(axis=0)).astype(np.float64)


@st.composite
def problems(draw: st.DrawFn, sizes: Sizes = SMALL, activations: Sequence[str] = ACTIVATIONS[:-1]) -> Problem:
    """Problems as hypothesis chooses them."""
    return problem(lambda options: draw(st.sampled_from(options)), sizes, activations)


@st.composite
def trained_problems(draw: st.DrawFn, sizes: Sizes = SMALL) -> Problem:
    """Problems with any training, as hypothesis chooses them."""
    given = draw(problems(sizes))
    drawn = training(lambda options: draw(st.sampled_from(options)), given.network)
    return dataclasses.replace(given, training=drawn)


def random_problem(seed: int, sizes: Sizes | None = None) -> Problem:
    """The problem of a seed."""
    return problem(_choose(np.random.default_rng(seed)), sizes or Sizes())


def random_trained_problem(seed: int, sizes: Sizes | None = None) -> Problem:
    """The problem of a seed, with a training of that seed."""
    given = random_problem(seed, sizes)
    drawn = training(_choose(np.random.default_rng([seed, 1])), given.network)
    return dataclasses.replace(given, training=drawn)


def _choose(rng: np.random.Generator) -> Choose:
    return lambda options: options[int(rng.integers(len(options)))]
