"""A small correct implementation of every training, and correct formulas of it that people use: the referee
accepts them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from impls.interface import OPTIMIZERS, Problem, Result
from impls.kernels import masks
from tests.impls.mutants import Sound

Array: TypeAlias = Any  # of the implementation's dtype


class SoundTraining(Sound):
    """No mistake: optimizers, L2 and dropout, one method for each thing that can go wrong."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.training, self.rates, self.t = problem.training, problem.dropout, 0
        super().__init__(problem, dtype, threads)
        self.start()

    def start(self) -> None:
        self.m1 = [np.zeros_like(p) for p in (*self.w, *self.b)]
        self.v = [np.zeros_like(p) for p in (*self.w, *self.b)]

    def number(self, constant: float) -> Array:
        return np.dtype(self.dtype).type(constant)

    # Dropout

    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, self.t, k)

    def index(self, shape: tuple[int, int]) -> Array:
        return np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)

    def hash(self, x: Array) -> Array:
        x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
        return x ^ (x >> 16)

    def hashed(self, k: int, shape: tuple[int, int]) -> Array:
        return self.hash(self.hash(self.index(shape)) ^ np.uint32(self.key(k)))

    def kept(self, k: int, shape: tuple[int, int]) -> Array:
        return self.hashed(k, shape) >= np.uint32(masks.threshold(self.rates[k]))

    def scale(self, k: int) -> Array:
        return self.number(masks.scale(self.rates[k]))

    def drop(self, k: int, a: Array) -> Array:
        """The input of the layer above, from a."""
        if k == self.L - 1 or not self.rates[k]:
            return a
        return np.where(self.kept(k, a.shape), a * self.scale(k), a.dtype.type(0))

    def drop_backward(self, k: int, da: Array) -> Array:
        return self.drop(k, da)

    def propagate(self, dropout: bool) -> None:
        self.x, self.zs, self.a = [], [], []
        a = self.X[:, self.columns()]
        self.y = self.Y[:, self.columns()]
        with np.errstate(all="ignore"):
            for k, g in enumerate(self.network.activations):
                self.x.append(a)
                self.zs.append(self.z(k, a))
                self.a.append(self.activation(g, self.zs[k]))
                a = self.drop(k, self.a[k]) if dropout else self.a[k]

    def forward(self) -> None:
        self.propagate(dropout=False)

    def gradients(self) -> None:
        self.propagate(dropout=True)
        self.backward()

    def da_prev(self, k: int, dz: Array) -> Array:
        return self.drop_backward(k - 1, super().da_prev(k, dz))

    # The step

    def is_weight(self, j: int) -> bool:
        return j < self.L

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        """g of the parameters p, of which j counts the arrays, the biases after the weights."""
        return d + self.number(self.training.l2) * p if self.training.l2 and self.is_weight(j) else d

    def correction(self, b: float) -> float:
        return 1 - b ** (self.t + 1)

    def gradient_descent(self, j: int, g: Array, rate: Array) -> Array:
        return rate * g

    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.number(self.training.mu) * self.v[j] + g
        return rate * self.v[j]

    def nesterov(self, j: int, g: Array, rate: Array) -> Array:
        mu = self.number(self.training.mu)
        self.v[j] = mu * self.v[j] + g
        return rate * (g + mu * self.v[j])

    def mean(self, b: float, old: Array, new: Array) -> Array:
        return self.number(b) * old + self.number(1 - b) * new

    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.mean(self.training.rho, self.v[j], g * g)
        return rate * g / (np.sqrt(self.v[j]) + self.number(self.training.eps))

    def moments(self, j: int, g: Array) -> None:
        self.m1[j] = self.mean(self.training.b1, self.m1[j], g)
        self.v[j] = self.mean(self.training.b2, self.v[j], g * g)

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        m = self.m1[j] / self.number(self.correction(self.training.b1))
        v = self.v[j] / self.number(self.correction(self.training.b2))
        return rate * m / (np.sqrt(v) + self.number(self.training.eps))

    def adamw(self, j: int, g: Array, rate: Array) -> Array:
        return self.adam(j, g, rate)

    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        """p less its weight decay."""
        if self.training.optimizer != "adamw" or not self.is_weight(j):
            return p
        return p - rate * self.number(self.training.weight_decay) * p

    def moved(self, j: int, p: Array, d: Array, rate: Array) -> Array:
        change = getattr(self, self.training.optimizer)(j, self.gradient(j, p, d), rate)
        return self.decayed(j, p, rate) - change

    def update(self, learning_rate: float) -> None:
        rate = self.number(learning_rate)
        with np.errstate(all="ignore"):
            new = [
                self.moved(j, p, d, rate)
                for j, (p, d) in enumerate(zip((*self.w, *self.b), (*self.dw, *self.db), strict=True))
            ]
        self.w, self.b = new[: self.L], new[self.L :]

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        self.t += 1

    def state(self) -> tuple[Any, ...]:
        kinds = ((), (self.v,), (self.m1, self.v))[OPTIMIZERS[self.training.optimizer]]
        arrays = tuple(np.array(array, np.float64) for kind in kinds for array in kind)
        return (*arrays, self.t) if arrays or any(self.rates) else ()

    def export(self) -> Result:
        result = super().export()
        return Result(
            result.loss,
            result.output,
            result.dw,
            result.db,
            result.weights,
            result.biases,
            self.state(),
        )


class DividesByTheShareKept(SoundTraining):
    def drop(self, k: int, a: Array) -> Array:
        if k == self.L - 1 or not self.rates[k]:
            return a
        return np.where(self.kept(k, a.shape), a / self.number(1 - self.rates[k]), a.dtype.type(0))


class ScaleInTheSlope(SoundTraining):
    """Backward the mask selects, and g' is scaled."""

    def drop_backward(self, k: int, da: Array) -> Array:
        return np.where(self.kept(k, da.shape), da, da.dtype.type(0)) if self.rates[k] else da

    def dz(self, k: int, da: Array) -> Array:
        return da * (self.slope(self.network.activations[k], self.zs[k], self.a[k]) * self.scale(k))


class AveragesByDifferences(SoundTraining):
    """m + (1 - b) (g - m), as torch.lerp has it."""

    def mean(self, b: float, old: Array, new: Array) -> Array:
        return old + self.number(1 - b) * (new - old)


class CorrectionsInTheRate(SoundTraining):
    """lr sqrt(c2) / c1 m / (sqrt(v) + eps sqrt(c2)): three numbers a step."""

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        c1, c2 = self.correction(self.training.b1), self.correction(self.training.b2)
        of_step = self.number(float(rate) * np.sqrt(c2) / c1)
        return of_step * self.m1[j] / (np.sqrt(self.v[j]) + self.number(self.training.eps * np.sqrt(c2)))


class Reciprocals(SoundTraining):
    """1 / (sqrt(v) + eps) first, and then times m."""

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        c1, c2 = self.correction(self.training.b1), self.correction(self.training.b2)
        root = np.sqrt(self.v[j]) * self.number(1 / np.sqrt(c2)) + self.number(self.training.eps)
        return rate * (self.m1[j] * self.number(1 / c1) * (1 / root))


class PowersByProducts(SoundTraining):
    """b^t = b^(t-1) b, carried along in float64."""

    def correction(self, b: float) -> float:
        power = 1.0
        for _ in range(self.t + 1):
            power *= b
        return 1 - power


class ShrinksWeightsFirst(SoundTraining):
    """(1 - rate weight_decay) w, as torch.optim.AdamW has it, and (1 - rate l2) w in plain descent."""

    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        if not self.is_weight(j):
            return p
        shrunk = {"adamw": self.training.weight_decay, "gradient_descent": self.training.l2}
        return p * self.number(1 - float(rate) * shrunk.get(self.training.optimizer, 0.0))

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d if self.training.optimizer == "gradient_descent" else super().gradient(j, p, d)


class WiderRegisters(SoundTraining):
    """The update in float64, and rounded once at its end."""

    def update(self, learning_rate: float) -> None:
        kept = self.dtype
        wide = np.float64
        for name in ("w", "b", "dw", "db", "m1", "v"):
            setattr(self, name, [array.astype(wide) for array in getattr(self, name)])
        own = self.dw, self.db
        super().update(learning_rate)
        self.dw, self.db = own
        for name in ("w", "b", "dw", "db", "m1", "v"):
            setattr(self, name, [array.astype(kept) for array in getattr(self, name)])


ACCEPTED = (
    SoundTraining,
    DividesByTheShareKept,
    ScaleInTheSlope,
    AveragesByDifferences,
    CorrectionsInTheRate,
    Reciprocals,
    PowersByProducts,
    ShrinksWeightsFirst,
    WiderRegisters,
)
