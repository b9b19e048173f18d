"""The exact update of parameters and optimizer's state by a step, and the largest errors that rounding
explains.

It follows `Training`'s equations from the state before the step and the implementation's own gradients. An
update is a few operations on each element and no sum, so that its bound is a few roundings wide and needs no
second test. The derivation is in docs/error-bound.md.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impls.interface import Training
from impls.referee.double_double import DoubleDouble, sqrt
from impls.referee.error_bound import COARSEST, ELEMENTARY, FREE, GUARD, Rounding
from impls.referee.reference import Exact

Reals = NDArray[np.float64]

DOUBLE = 2.0**-53
"""The unit roundoff of float64, in which 1 - b^t is computed for every dtype."""


@dataclasses.dataclass(frozen=True, eq=False)
class Quantity:
    """Exact numbers, and the largest error of an implementation's, element by element."""

    value: DoubleDouble
    E: Reals

    @property
    def size(self) -> Reals:
        """The largest magnitudes of an implementation's numbers."""
        return np.abs(self.value.hi) + self.E

    def times(self, factor: float) -> Quantity:
        """The product with a float64 number of 0 or more."""
        return Quantity(self.value * np.asarray(factor), self.E * factor)


@dataclasses.dataclass(frozen=True)
class Correction:
    """c = 1 - b^t: its exact value, and its relative error in float64, by a power or by t products."""

    exact: DoubleDouble
    error: float

    @classmethod
    def at(cls, b: float, t: int) -> Correction:
        """The correction of step t, counted from 1."""
        with decimal.localcontext() as context:
            context.prec = 60
            power = decimal.Decimal(b) ** t
            c = 1 - power
            hi = float(c)
            exact = DoubleDouble(np.asarray(hi), np.asarray(float(c - decimal.Decimal(hi))))
            return cls(exact, DOUBLE * ((t + ELEMENTARY) * float(power / c) + 2))

    def of(self, q: Quantity) -> Quantity:
        """q / c; the error of c itself is added in `Update.quotient`."""
        return Quantity(q.value / self.exact, q.E / float(self.exact.hi))


class Update:
    """The update of step t, counted from 1, at a learning rate, for an implementation of `dtype`."""

    def __init__(self, training: Training, dtype: str, t: int, rate: float) -> None:
        def rounded(constant: float) -> float:
            return float(np.dtype(dtype).type(constant))

        self.optimizer, self.rate = training.optimizer, rate
        self.rounding = Rounding(dtype)
        self.l2, self.eps = rounded(training.l2), rounded(training.eps)
        self.mu, self.decay = rounded(training.mu), rounded(training.weight_decay)
        self.rho, self.of_rho = rounded(training.rho), rounded(1 - training.rho)
        self.b1, self.of_b1 = rounded(training.b1), rounded(1 - training.b1)
        self.b2, self.of_b2 = rounded(training.b2), rounded(1 - training.b2)
        self.c1, self.c2 = (Correction.at(b, t) for b in (training.b1, training.b2))

    def __call__(
        self, p: Reals, d: Reals, state: Sequence[Reals], weights: bool
    ) -> tuple[Exact, list[Exact]]:
        """The parameters after the step and the optimizer's arrays, given those before and the gradient d."""
        g = self.gradient(p, d, weights)
        change, arrays = self.change(g, state)
        rounding = self.rounding
        value, E = p - change.value, change.E
        shrunk = 0.0  # an implementation may compute (1 - rate l2) w, and (1 - rate weight_decay) w
        if weights and self.optimizer == "adamw":
            shrunk = self.rate * self.decay
            value = value - DoubleDouble(p) * np.asarray(self.rate) * np.asarray(self.decay)
        elif weights and self.optimizer == "gradient_descent":
            shrunk = self.rate * self.l2
        gamma = rounding.gamma(3 if shrunk else 1)
        local = gamma * ((1 + shrunk) * np.abs(p) + change.size) + rounding.eta
        return self.exact(Quantity(value, E), local), [self.exact(array, 0.0) for array in arrays]

    def exact(self, q: Quantity, local: Reals | float) -> Exact:
        """The quantity with its bound; `local` is the error that narrower arithmetic does not enlarge."""
        return Exact(
            q.value.hi,
            q.value.lo,
            GUARD * (q.E + local),
            coarse=GUARD * (q.E * COARSEST / self.rounding.u + local),
        )

    def gradient(self, p: Reals, d: Reals, weights: bool) -> Quantity:
        """g; an implementation may hold d in more digits than it exports, or not averaged yet."""
        value, size = DoubleDouble(d), np.abs(d)
        if weights and self.l2:
            value = DoubleDouble(p) * np.asarray(self.l2) + d
            size = size + self.l2 * np.abs(p)
        return Quantity(value, self.rounding.gamma(FREE) * size + self.rounding.eta * (size > 0))

    def change(self, g: Quantity, state: Sequence[Reals]) -> tuple[Quantity, list[Quantity]]:
        """The change that is subtracted from the parameters, and the optimizer's arrays after the step."""
        if self.optimizer in ("momentum", "nesterov"):
            v = self.sum(self.mu, state[0], 1.0, g)
            taken = v if self.optimizer == "momentum" else self.sum(1.0, g, self.mu, v)
            return taken.times(self.rate), [v]
        if self.optimizer == "rmsprop":
            v = self.sum(self.rho, state[0], self.of_rho, self.square(g))
            return self.quotient(g, v, 0.0), [v]
        if self.optimizer in ("adam", "adamw"):
            m = self.sum(self.b1, state[0], self.of_b1, g)
            v = self.sum(self.b2, state[1], self.of_b2, self.square(g))
            error = self.c1.error + self.c2.error
            return self.quotient(self.c1.of(m), self.c2.of(v), error), [m, v]
        return g.times(self.rate), []

    @staticmethod
    def square(q: Quantity) -> Quantity:
        """q^2; its own rounding is added in `Update.sum`."""
        return Quantity(q.value * q.value, (2 * np.abs(q.value.hi) + q.E) * q.E)

    def sum(self, a: float, p: Quantity | Reals, b: float, q: Quantity) -> Quantity:
        """a p + b q; where it is an average, p + b (q - p) is within the bound too."""
        if not isinstance(p, Quantity):
            p = Quantity(DoubleDouble(p), np.zeros_like(p))
        size = p.size + b * q.size
        E = a * p.E + b * q.E + self.rounding.gamma(FREE) * size + self.rounding.eta * (size > 0)
        return Quantity(p.value * np.asarray(a) + q.value * np.asarray(b), E)

    def quotient(self, n: Quantity, v: Quantity, error: float) -> Quantity:
        """rate n / (sqrt(v) + eps), with a further relative error of `error`."""
        root = sqrt(v.value)
        least = np.sqrt(np.maximum(v.value.hi - v.E, 0.0))
        both = root.hi + least
        E_root = np.where(both > 0, v.E / np.where(both > 0, both, 1.0), np.sqrt(v.E))
        value = n.value / (root + np.asarray(self.eps))
        size = np.abs(value.hi)
        E = (n.E + size * E_root) / (least + self.eps)
        E = E + (self.rounding.gamma(ELEMENTARY + FREE) + error) * (size + E)
        return Quantity(value, E).times(self.rate)
