"""The contract between a race and the implementations: their inputs, their facts and methods, their results.

Notation, everywhere in this project (samples stand in columns):

    n_l, m      width of layer l (n_0 inputs), samples in a batch
    X, Y        (n_0, M), (n_L, M)       inputs and targets of the network
    w, b        (n_l, n_{l-1}), (n_l, 1) weights and biases of a layer
    z, a        (n_l, m)                 z = w x + b, a = g(z), x the `a` of the layer before
    da, dz      (n_l, m)                 derivative of the *summed* cost by `a`, by `z`
    dw, db      as w, b                  dw = dz x^T / m, db = sum_m(dz) / m
    da_prev     (n_{l-1}, m)             w^T dz, handed to the layer before
    J           scalar                   the cost, averaged over the batch
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "softmax")

LOSSES: dict[str, str | None] = {
    "mean_squared_error": None,
    "binary_cross_entropy": "sigmoid",
    "softmax_cross_entropy": "softmax",
}
"""Every cost, with the last activation that it needs (None: any but softmax)."""

DTYPES = ("float64", "float32")

OPTIMIZERS = {"gradient_descent": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "adam": 2, "adamw": 2}
"""Every optimizer, with the number of arrays that it keeps for each parameter array."""

WEIGHT_DECAY = 0.01
"""The default of `adamw`, as torch.optim and AlgoPerf have it."""


class Unavailable(ImportError):
    """Raised for an implementation that cannot be loaded; the message says what to install or to fix."""


class Unsupported(ValueError):
    """Raised for a problem, dtype or thread count that an implementation cannot run; the message says why."""


@dataclasses.dataclass(frozen=True)
class Network:
    """The shape of a fully-connected network: `widths` (n_0, ..., n_L), one activation a layer, the loss."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str

    def __post_init__(self) -> None:
        widths = tuple(self.widths)
        for width in widths:
            if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
                raise TypeError(f"widths: expected whole numbers, got {width!r} in {widths}")
            if width < 1:
                raise ValueError(f"widths: expected numbers of 1 and up, got {width} in {widths}")
        if len(widths) < 2:
            raise ValueError(f"widths: expected the inputs and at least one layer, got {widths}")
        activations = tuple(self.activations)
        if len(activations) != len(widths) - 1:
            raise ValueError(
                f"activations: expected {len(widths) - 1}, one for each layer of {widths}, got {activations}"
            )
        for name in activations:
            if name not in ACTIVATIONS:
                raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
        if "softmax" in activations[:-1]:
            raise ValueError(f"softmax is for the last layer only, got {activations}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {self.loss!r}")
        needed = LOSSES[self.loss]
        if needed is not None and activations[-1] != needed:
            raise ValueError(f"{self.loss} needs a last layer of {needed}, got {activations[-1]}")
        if needed is None and activations[-1] == "softmax":
            raise ValueError(f"softmax goes with softmax_cross_entropy, got {self.loss}")
        object.__setattr__(self, "widths", tuple(int(width) for width in widths))
        object.__setattr__(self, "activations", activations)

    @property
    def layers(self) -> int:
        """L, the number of layers, not counting the inputs."""
        return len(self.activations)


@dataclasses.dataclass(frozen=True)
class Training:
    """How `step` updates the parameters, and the dropout of `gradients`; by default plain gradient descent.

    With `g = dw + l2 w` for weights and `g = db` for biases, all arrays starting at 0, and t counting steps
    from 1:

        gradient_descent  w -= lr g
        momentum          v = mu v + g;  w -= lr v
        nesterov          v = mu v + g;  w -= lr (g + mu v)
        rmsprop           v = rho v + (1 - rho) g^2;  w -= lr g / (sqrt(v) + eps)
        adam              m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
                          w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
        adamw             the same, and w -= lr weight_decay w_old (weights only)

    Constants are rounded once from float64 to the dtype; `1 - b^t` is computed in float64. `dropout` is the
    share of activations set to 0 after every hidden layer, or a tuple with one rate for each of them, from 0
    up to, but not, 1; `impls.kernels.masks` defines which ones, by `seed`. Sources: torch.optim, optax; for
    dropout Srivastava et al. 2014.

    Raises ValueError or TypeError for an unknown optimizer and for constants outside their range.
    """

    optimizer: str = "gradient_descent"
    l2: float = 0.0
    dropout: float | tuple[float, ...] = 0.0
    seed: int = 0
    mu: float = 0.9
    rho: float = 0.9
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = WEIGHT_DECAY

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        rates = self.dropout if isinstance(self.dropout, (tuple, list)) else (self.dropout,)
        rates = tuple(_number("dropout", rate, "a rate from 0 up to, but not, 1", 0, 1) for rate in rates)
        object.__setattr__(self, "dropout", rates if isinstance(self.dropout, (tuple, list)) else rates[0])
        for name in ("mu", "rho", "b1", "b2"):
            value = _number(name, getattr(self, name), "a rate from 0 up to, but not, 1", 0, 1)
            object.__setattr__(self, name, value)
        for name in ("l2", "weight_decay"):
            value = _number(name, getattr(self, name), "a finite number of 0 or more", 0, math.inf)
            object.__setattr__(self, name, value)
        least = math.ulp(0.0)
        object.__setattr__(self, "eps", _number("eps", self.eps, "a finite number above 0", least, math.inf))
        if self.weight_decay != WEIGHT_DECAY and self.optimizer != "adamw":
            raise ValueError(
                f"weight_decay: expected optimizer adamw with it, got {self.optimizer}; "
                "l2 goes with every optimizer"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
            raise TypeError(f"seed: expected a whole number, got {self.seed!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected 0 up to 2^32 - 1, got {self.seed}")
        object.__setattr__(self, "seed", int(self.seed))

    def rates(self, network: Network) -> tuple[float, ...]:
        """The dropout of every hidden layer of `network`; raises ValueError for another number of rates."""
        hidden = network.layers - 1
        if not isinstance(self.dropout, tuple):
            return (self.dropout,) * hidden
        if len(self.dropout) != hidden:
            raise ValueError(
                f"dropout: expected {hidden} rates, one for each hidden layer of {network.widths}, none for "
                f"the last, got {self.dropout}"
            )
        return self.dropout


def _number(name: str, given: Any, expected: str, low: float, end: float) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected {expected}, got {given!r}")
    if not low <= given < end:
        raise ValueError(f"{name}: expected {expected}, got {given}")
    return float(given)


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A network with its parameters, data and training: the input of an implementation, which never writes to
    it.

    `weights[l]` (n_{l+1}, n_l) and `biases[l]` (n_{l+1}, 1) for l = 0 ... L-1; X (n_0, M), Y (n_L, M);
    M is a multiple of `batch_size`, batch k being the columns k m ... (k+1) m. Everything is float64 (any
    memory layout) and is kept as read-only views.

    Raises ValueError or TypeError, with what was expected and what was got, for shapes that do not fit, for
    values that are not finite (by name and index) and for targets outside the domain of the loss.
    """

    network: Network
    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]
    X: NDArray[np.float64]
    Y: NDArray[np.float64]
    batch_size: int
    training: Training = Training()

    def __post_init__(self) -> None:
        if not isinstance(self.training, Training):
            raise TypeError(f"training: expected an impls.Training, got {self.training!r}")
        self.training.rates(self.network)
        n, L = self.network.widths, self.network.layers
        for name, given in (("weights", self.weights), ("biases", self.biases)):
            if len(given) != L:
                raise ValueError(f"{name}: expected {L} arrays, one a layer, got {len(given)}")
        m = self.batch_size
        if isinstance(m, bool) or not isinstance(m, (int, np.integer)):
            raise TypeError(f"batch_size: expected a whole number, got {m!r}")
        if m < 1:
            raise ValueError(f"batch_size: expected 1 or more, got {m}")
        X = _read_only("X", self.X, (n[0], None))
        samples = X.shape[1]
        if samples == 0 or samples % m:
            raise ValueError(f"X: expected a multiple of batch_size {m} columns, got {samples}")
        Y = _read_only("Y", self.Y, (n[-1], samples))
        _check_targets(self.network.loss, Y)
        weights = [_read_only(f"weights[{k}]", w, (n[k + 1], n[k])) for k, w in enumerate(self.weights)]
        biases = [_read_only(f"biases[{k}]", b, (n[k + 1], 1)) for k, b in enumerate(self.biases)]
        object.__setattr__(self, "weights", tuple(weights))
        object.__setattr__(self, "biases", tuple(biases))
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "Y", Y)
        object.__setattr__(self, "batch_size", int(m))

    @property
    def samples(self) -> int:
        """M, the number of columns of X and Y."""
        return int(self.X.shape[1])

    @property
    def batches(self) -> int:
        """M / batch_size, the number of batches that `step` cycles through."""
        return self.samples // self.batch_size

    @property
    def dropout(self) -> tuple[float, ...]:
        """The dropout of every hidden layer, L-1 rates."""
        return self.training.rates(self.network)

    @classmethod
    def random(
        cls,
        network: Network,
        samples: int,
        batch_size: int,
        seed: int = 0,
        scale: float = 1.0,
        training: Training = Training(),
    ) -> Problem:
        """A random problem whose pre-activations have a deviation of about `scale`.

        At the default of 1 every activation is in its curved part and no bias is zero, so that a wrong
        derivative shows. Targets are random (never all ones), within the domain of the loss.
        """
        rng = np.random.default_rng(seed)
        n = network.widths
        X = rng.standard_normal((n[0], samples))
        weights = [rng.standard_normal((n[k + 1], n[k])) * (scale / np.sqrt(n[k])) for k in range(len(n) - 1)]
        biases = [rng.standard_normal((n[k + 1], 1)) * (0.5 * scale) for k in range(len(n) - 1)]
        if network.loss == "softmax_cross_entropy":
            Y = rng.random((n[-1], samples)) + 0.01
            Y /= Y.sum(axis=0)
        elif network.loss == "binary_cross_entropy":
            Y = rng.random((n[-1], samples))
        else:
            Y = rng.standard_normal((n[-1], samples))
        return cls(network, tuple(weights), tuple(biases), X, Y, batch_size, training)


def _read_only(name: str, given: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("any" if want is None else str(want) for want in shape) + ")"
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
    array = array.astype(np.float64, copy=False).view()
    array.flags.writeable = False
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = ", ".join(str(int(index)) for index in bad[0])
        raise ValueError(f"{name}: expected finite numbers, got {array[tuple(bad[0])]} at [{place}]")
    return array


def _check_targets(loss: str, Y: NDArray[np.float64]) -> None:
    if LOSSES[loss] is None:
        return
    outside = np.argwhere((Y < 0) | (Y > 1))
    if len(outside):
        i, s = outside[0]
        raise ValueError(f"Y: {loss} expects targets between 0 and 1, got {Y[i, s]} at [{i}, {s}]")
    if loss == "softmax_cross_entropy":
        # dz = a - y is the derivative of J only where the targets of a sample sum to 1.
        total = Y.sum(axis=0)
        off = np.flatnonzero(np.abs(total - 1) > len(Y) * np.finfo(np.float64).eps)
        if len(off):
            raise ValueError(
                f"Y: {loss} expects columns that sum to 1, got {total[off[0]]} at column {off[0]}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The results of an implementation, as float64 NumPy copies in the shapes of the notation.

    `output` (n_L, m) is that of the last pass; `loss` is J of its batch, without L2; `dw` and `db` are
    those of the last gradients; `weights` and `biases` are the parameters now. `state` is what training keeps
    beside them: () for plain gradient descent, with or without L2; else the optimizer's arrays, each kind
    first for all weights and then for all biases (momentum, nesterov, rmsprop: v; adam, adamw: m, then v;
    gradient descent with dropout: none), and at the end t, the number of steps made, as an int.
    """

    loss: float
    output: NDArray[np.float64]
    dw: tuple[NDArray[np.float64], ...]
    db: tuple[NDArray[np.float64], ...]
    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]
    state: tuple[Any, ...] = ()


@runtime_checkable
class Implementation(Protocol):
    """The contract of an implementation: a class with these facts, this constructor and these five methods.

    Construction owns everything that is not the algorithm: it converts the problem into the implementation's
    native form, allocates, compiles, and ends with one `gradients()` on the first batch, so that everything
    is warm at this very shape and `export()` is valid at once. It raises `Unsupported` for what the
    implementation cannot run.

    A timed method returns only once the numbers exist (asynchronous backends wait).

    One that lives in another process may offer `repeat(method, times, *arguments)`, which makes `times` calls
    of the method of that name. A round of calls is then one message, inside the same clock.
    """

    idea: ClassVar[str]
    """The one idea that this implementation adds, in a few words."""
    differs_from: ClassVar[str | None]
    """The name of the implementation that it adds the idea to."""
    dtypes: ClassVar[tuple[str, ...]]
    """The dtypes, of `DTYPES`, in which it computes."""
    same_order: ClassVar[bool]
    """Whether it sums in the order of `loops`: then its float64 gradients are equal to those bit for bit."""
    fast_math: ClassVar[str]
    """Its deviations from IEEE arithmetic ("none", "fma", ...)."""
    layout: ClassVar[str]
    """How it holds a batch, in a few words."""

    compile_seconds: float
    """Seconds that construction spent compiling; 0.0 if nothing is compiled."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None: ...

    def forward(self) -> Any:
        """The current batch through the network, as in use: without dropout."""

    def gradients(self) -> Any:
        """Forward and backward on the current batch, with the dropout mask of the current step."""

    def step(self, learning_rate: float) -> Any:
        """Gradients, the update of the parameters (see `Training`), on to the next batch (cyclic)."""

    def train(self, steps: int, learning_rate: float) -> Any:
        """Make `steps` steps, with the same result, bit for bit, as `steps` calls of `step`."""

    def export(self) -> Result:
        """The state as float64 NumPy copies; never timed."""
        ...
