"""Correct formulas that people use: the referee accepts them. And formulas that are correct on paper and lose
digits where an output saturates: it calls those unstable.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from impls.interface import Problem, Unsupported
from tests.impls.mutants import Array, Sound


class SigmoidByTanh(Sound):
    """(1 + tanh(z / 2)) / 2."""

    def sigmoid(self, z: Array) -> Array:
        half = z.dtype.type(0.5)
        return (1 + np.tanh(z * half)) * half


class SigmoidSlopeByTanh(SigmoidByTanh):
    """g' = (1 - tanh(z / 2)^2) / 4."""

    def slope(self, g: str, z: Array, a: Array) -> Array:
        t = np.tanh(z * z.dtype.type(0.5))
        return (1 - t * t) * z.dtype.type(0.25) if g == "sigmoid" else super().slope(g, z, a)


class SigmoidClipped(Sound):
    """The argument clipped at +-500, so that no exponential of a double overflows."""

    def sigmoid(self, z: Array) -> Array:
        return 1 / (1 + np.exp(-np.clip(z, -500, 500)))


class SigmoidOfSigns(Sound):
    """e^z / (1 + e^z) below zero."""

    def sigmoid(self, z: Array) -> Array:
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


class TanhByExponentials(Sound):
    """g' = 1 / cosh(z)^2, as automatic differentiation has it."""

    def slope(self, g: str, z: Array, a: Array) -> Array:
        return 1 / np.cosh(z) ** 2 if g == "tanh" else super().slope(g, z, a)


class DividedEarly(Sound):
    """Targets and outputs are each divided by m, before their difference is taken."""

    def last_dz(self) -> Array:
        m = self.y.dtype.type(self.m)
        d = self.a[-1] / m - self.y / m
        if self.network.loss == "mean_squared_error":
            d = d * self.slope(self.network.activations[-1], self.zs[-1], self.a[-1])
        return d

    def average(self, total: Array) -> Array:
        return total


class DividedByProducts(Sound):
    """Multiplied by 1 / m, rounded, before the products."""

    def last_dz(self) -> Array:
        d = super().last_dz()
        return d * d.dtype.type(1 / self.m)

    def average(self, total: Array) -> Array:
        return total


class ProbabilitiesDividedLate(Sound):
    """dz = (e - y sum(e)) / sum(e): the softmax is divided after the difference."""

    def last_dz(self) -> Array:
        if self.network.loss != "softmax_cross_entropy":
            return super().last_dz()
        z = self.zs[-1]
        e = np.exp(z - z.max(axis=0))
        total = e.sum(axis=0)
        return (e - self.y * total) / total


class OfComplements(Sound):
    """dz = (1 - y) - (1 - a) of binary cross-entropy, the derivative of (1 - y) z + ln(1 + e^-z)."""

    def last_dz(self) -> Array:
        if self.network.loss != "binary_cross_entropy":
            return super().last_dz()
        return (1 - self.y) - self.sigmoid(-self.zs[-1])


class SoftmaxByLogarithm(Sound):
    """a = e^(z - ln(sum e^z)), the logarithm as one number, rounded at the size of the largest z."""

    def softmax(self, z: Array) -> Array:
        top = z.max(axis=0)
        return np.exp(z - (top + np.log(np.exp(z - top).sum(axis=0))))


class SoftmaxByJacobian(Sound):
    """dz = (diag(a) - a a^T) da with da = -y / a, which has no digits where an a underflows."""

    LEAST: ClassVar[dict[str, float]] = {"float64": 1e-150, "float32": 1e-16}

    def last_dz(self) -> Array:
        if self.network.loss != "softmax_cross_entropy":
            return super().last_dz()
        a = self.a[-1]
        da = -self.y / a
        return np.stack([(np.diag(p) - np.outer(p, p)) @ d for p, d in zip(a.T, da.T, strict=True)], axis=1)

    def gradients(self) -> None:
        super().gradients()
        if self.network.loss == "softmax_cross_entropy" and self.a[-1].min() < self.LEAST[self.dtype]:
            raise Unsupported("an output underflows: y / a has no digits")


ACCEPTED = (
    SigmoidByTanh,
    SigmoidSlopeByTanh,
    SigmoidClipped,
    SigmoidOfSigns,
    TanhByExponentials,
    DividedEarly,
    DividedByProducts,
    ProbabilitiesDividedLate,
    OfComplements,
    SoftmaxByLogarithm,
    SoftmaxByJacobian,
)


class LossOfOutput(Sound):
    """-ln(a) and -ln(1 - a) of the outputs as they were rounded."""

    def clipped(self, a: Array) -> Array:
        return a

    def loss(self) -> float:
        a, y = self.clipped(self.a[-1].astype(float)), self.y.astype(float)
        with np.errstate(all="ignore"):
            if self.network.loss == "softmax_cross_entropy":
                return float(-(y * np.log(a)).sum() / self.m)
            if self.network.loss == "binary_cross_entropy":
                return float(-(y * np.log(a) + (1 - y) * np.log(self.clipped(1 - a))).sum() / self.m)
        return super().loss()


class LossOfClippedOutput(LossOfOutput):
    """The same, with outputs clipped at a few roundings from 0."""

    def clipped(self, a: Array) -> Array:
        return np.maximum(a, 1e-15 if self.dtype == "float64" else 5e-7)


class SlopeOfOutput(Sound):
    """dz = da a (1 - a) with da = (a - y) / (a (1 - a)), which is 0 / 0 where a saturates; 0 is put there."""

    def last_dz(self) -> Array:
        a, y = self.a[-1], self.y
        if self.network.loss != "binary_cross_entropy":
            return super().last_dz()
        slope = a * (1 - a)
        return np.where(slope > 0, (a - y) / np.where(slope > 0, slope, 1) * slope, 0)


class SoftmaxByJacobianAnyhow(SoftmaxByJacobian):
    """NaN and all."""

    def gradients(self) -> None:
        Sound.gradients(self)


UNSTABLE = (LossOfOutput, LossOfClippedOutput, SlopeOfOutput, SoftmaxByJacobianAnyhow)


def saturated(loss: str, dtype: str, scale: float = 60.0) -> Problem:
    """A problem whose outputs saturate."""
    from impls import Network

    last = {"binary_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}[loss]
    return Problem.random(Network((5, 6, 4), ("tanh", last), loss), 24, 12, seed=3, scale=scale)
