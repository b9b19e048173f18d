"""The error bound: how far a racer's loss, output and gradients may lie from the exact ones.

The derivation is in docs/error-bound.md. In short: each quantity q of a pass carries `E`, an array of bounds
on |q_computed - q|, element by element, and `r` (m,), a bound on the 2-norm of that error in each column. A
layer hands them on by |w| E and by ||w|| r, whichever is smaller, and adds its own roundings: gamma(k) =
k u / (1 - k u) times the magnitudes that are summed, for sums of k terms in any order.
Source: N. J. Higham (2002), Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM, chapter 3.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network
from impls.oracle import Pass

Reals = NDArray[np.float64]

ELEMENTARY = 8
"""Relative error, in units of u, granted to one exp, tanh, log or log1p: 4 ulp, an ulp being at most 2 u.

NumPy's own are within 4 ulp ("max ULP error" in the SIMD loops of numpy/_core/src/umath), glibc's within 1
or 2 ("Errors in math functions" in the GNU C Library manual), SLEEF's, which torch uses, within 1 to 3.5.
"""

FREE = 8
"""Roundings granted to an element beside those of a sum: scalings by 1/m, the factors of g', a conversion."""

UNDERFLOW = 4
"""Absolute error of one operation below the normal range, in units of the smallest normal number: room for
hardware that flushes denormals to zero, and for exponentials that stop at it."""

GUARD = 1 + 2.0**-8
"""Covers the roundings of this very computation, and the oracle's: 2^-11 of a float64 racer's bound, 2^-29 of
a float32 racer's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bounds:
    """The largest |computed - exact| that rounding can explain, in the shapes of a `Result`."""

    loss: float
    output: Reals
    dw: tuple[Reals, ...]
    db: tuple[Reals, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """An error: element by element at most `E` (n, m), and at most `r` (m,) in the 2-norm of each column."""

    E: Reals
    r: Reals

    @classmethod
    def of(cls, E: Reals, r: Reals | None = None) -> Spread:
        """The norm is bounded by that of E too."""
        norm = column_norms(E)
        return cls(E, norm if r is None else np.minimum(norm, r))


def column_norms(E: Reals) -> Reals:
    """The 2-norm of each column, (m,), without overflow or underflow on the way."""
    top = E.max(axis=0)
    scaled = np.divide(E, top, out=np.zeros_like(E), where=top > 0)
    norms: Reals = top * np.sqrt(np.einsum("is,is->s", scaled, scaled))
    return norms


class Rounding:
    """The arithmetic of a dtype: its unit roundoff and what follows from it."""

    def __init__(self, dtype: str) -> None:
        info = np.finfo(dtype)
        self.u = float(info.eps) / 2
        self.eta = UNDERFLOW * float(info.smallest_normal)

    def gamma(self, k: int) -> float:
        """k u / (1 - k u), Higham (2002), lemma 3.1."""
        return k * self.u / (1 - k * self.u)


def through(w: Reals, error: Spread) -> Spread:
    """What w makes of an error in its input."""
    if not error.r.any():
        zero = np.zeros((w.shape[0], error.r.size))
        return Spread(zero, error.r)
    rows = np.sqrt((w * w).sum(axis=1))
    E = np.minimum(np.abs(w) @ error.E, rows[:, None] * error.r)
    return Spread.of(E, float(np.linalg.norm(w, 2)) * error.r)


def plus(error: Spread, local: Reals) -> Spread:
    """An error with further, local ones on top of it."""
    return Spread.of(error.E + local, error.r + column_norms(local))


def scaled(factor: Reals, error: Spread) -> Spread:
    """What multiplication by `factor`, element by element, makes of an error."""
    return Spread.of(factor * error.E, factor.max(axis=0) * error.r)


def activation_error(
    g: str, z: Reals, a: Reals, slope: Reals | None, error: Spread, rounding: Rounding
) -> tuple[Spread, Reals | None]:
    """From the error of z, that of a = g(z), and, where there is a g', that of g'(z)."""
    E, u, gamma = error.E, rounding.u, rounding.gamma
    if g == "softmax":
        # a = e^(z - log sum e^z): the logarithm moves by log(sum(a e^E)) at most, and is rounded itself
        drift = np.log1p((a * np.expm1(np.minimum(E, 700))).sum(axis=0))
        top = z.max(axis=0)
        exponent = gamma(FREE) * (top - z + np.log(np.exp(z - top).sum(axis=0)) + 1)
        relative = np.expm1(np.minimum(E + drift + exponent + gamma(len(z) + 2 * ELEMENTARY + FREE), 700))
        return Spread.of(np.minimum(a * relative, 1) + rounding.eta), None
    assert slope is not None  # every other activation has one
    if g == "identity":
        return error, np.zeros_like(z)
    if g == "relu":
        # within E of the kink either derivative is right; a sum without any rounding has no such doubt
        unsure = (np.abs(z) <= E) & (E > 0)
        return Spread.of(np.clip(z + E, 0, E), error.r), unsure.astype(np.float64)
    # |d/dz ln g'| is at most 1 (sigmoid), 2 (tanh)
    steepness, top_slope = (1.0, 0.25) if g == "sigmoid" else (2.0, 1.0)
    reach = np.minimum(slope * np.exp(np.minimum(steepness * E, 700)), top_slope)
    moved = scaled(reach, error)
    a_error = plus(moved, gamma(ELEMENTARY + FREE) * (np.abs(a) + moved.E) + rounding.eta)
    if g == "sigmoid":  # a (1 - a), whose derivative by a is 1 - 2 a
        doubt = np.abs(1 - 2 * a) * a_error.E + a_error.E**2
        return a_error, doubt + gamma(FREE) * (slope + doubt) + u * a_error.E
    doubt = 2 * np.abs(a) * a_error.E + a_error.E**2  # 1 - a^2
    return a_error, doubt + gamma(FREE) * (1 + doubt)


def loss_error(
    loss: str, z: Reals, a: Reals, y: Reals, z_error: Spread, a_error: Spread, rounding: Rounding
) -> float:
    """The error of J, a sum over n_L m terms."""
    m = z.shape[1]
    gamma = rounding.gamma(z.size + FREE + 2 * ELEMENTARY)
    if loss == "mean_squared_error":
        distance, E = np.abs(a - y), a_error.E
        moved = distance * E + E**2 / 2
        size = (distance + E) ** 2 / 2
    elif loss == "binary_cross_entropy":
        # dJ/dz = a - y, and the second derivative is at most 1/4
        E = z_error.E
        moved = np.abs(a - y) * E + E**2 / 8
        size = (1 + y) * (np.abs(z) + E) + 1
    else:
        E = z_error.E
        drift = np.log1p((a * np.expm1(np.minimum(E, 700))).sum(axis=0))
        top = z.max(axis=0)
        moved = y * (E + drift)
        size = y * (top - z + np.log(np.exp(z - top).sum(axis=0)) + 2 * E.max(axis=0) + 1)
    return float((moved + gamma * size).sum() / m) + rounding.eta * z.size


def bound(
    network: Network, weights: tuple[Reals, ...], biases: tuple[Reals, ...], Y: Reals, exact: Pass, dtype: str
) -> Bounds:
    """The bounds of one batch for a racer of `dtype` that holds these very parameters and data.

    `exact` is the oracle's pass on them. Elements are finite unless the racer may overflow.
    """
    rounding = Rounding(dtype)
    gamma, eta = rounding.gamma, rounding.eta
    m = Y.shape[1]
    L = network.layers
    narrow = [[q.astype(np.float64, copy=False) for q in qs] for qs in (exact.x, exact.z, exact.a, exact.dz)]
    xs, zs, as_, dzs = narrow
    slopes = [None if q is None else q.astype(np.float64, copy=False) for q in exact.slope]
    das = [None if q is None else q.astype(np.float64, copy=False) for q in exact.da]

    x_errors: list[Spread] = []
    z_errors: list[Spread] = []
    slope_errors: list[Reals | None] = []
    error = Spread(np.zeros_like(xs[0]), np.zeros(m))
    for k, (w, b, g) in enumerate(zip(weights, biases, network.activations, strict=True)):
        x_errors.append(error)
        n = w.shape[1]
        summed = np.abs(w) @ (np.abs(xs[k]) + error.E) + np.abs(b)
        # a sum of zeros alone is exact: this is where relu'(0) = 0 is a law and no matter of rounding
        local = gamma(n + 1) * summed + (n + 1) * eta * (summed > 0)
        z_error = plus(through(w, error), local)
        z_errors.append(z_error)
        error, slope_error = activation_error(g, zs[k], as_[k], slopes[k], z_error, rounding)
        slope_errors.append(slope_error)

    output = error
    difference = np.abs(as_[-1] - Y)
    local = gamma(FREE) * (difference + output.E) + m * eta
    if network.loss == "softmax_cross_entropy":
        # dz = a - y where the targets sum to 1; a racer that differentiates J has a sum(y) - y
        drift = np.abs(Y.sum(axis=0) - 1) + gamma(len(Y) + FREE)
        local = local + drift * (as_[-1] + output.E)
    error = plus(output, local)
    dw: list[Reals] = []
    db: list[Reals] = []
    for k in range(L - 1, -1, -1):
        slope, doubt, da = slopes[k], slope_errors[k], das[k]
        if da is not None and slope is not None and doubt is not None:
            reach = np.minimum(slope + doubt, 1)  # every g' is at most 1
            local = np.abs(da) * doubt + gamma(FREE) * (np.abs(da) + error.E) * reach + m * eta
            error = plus(scaled(reach, error), local)
        x, x_error, dz = np.abs(xs[k]), x_errors[k], np.abs(dzs[k])
        sum_gamma = gamma(m + FREE)
        own = error.E * (1 + sum_gamma) + sum_gamma * dz
        E = own @ (x + x_error.E).T
        if x_error.r.any():
            E += dz @ x_error.E.T
        dw.append(E / m + eta * ((x + x_error.E).sum(axis=1) + m))
        db.append(own.sum(axis=1, keepdims=True) / m + eta * m)
        if k:
            w_back = weights[k].T
            n = w_back.shape[1]
            local = gamma(n + FREE) * (np.abs(w_back) @ (dz + error.E)) + n * m * eta
            error = plus(through(w_back, error), local)
    return Bounds(
        loss=GUARD * loss_error(network.loss, zs[-1], as_[-1], Y, z_errors[-1], output, rounding),
        output=GUARD * output.E,
        dw=tuple(GUARD * E for E in reversed(dw)),
        db=tuple(GUARD * E for E in reversed(db)),
    )
