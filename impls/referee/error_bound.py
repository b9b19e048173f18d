"""The error bound: how far an implementation's loss, output and gradients may lie from the exact ones.

The derivation is in docs/error-bound.md. In short: each quantity q of a pass has two bounds: `E`, an array
that bounds |q_computed - q| element by element, and `r` (m,), which bounds the 2-norm of that error in each
column. A layer propagates them by |w| E and ||w|| r, takes the smaller one, and adds its own roundings:
gamma(k) = k u / (1 - k u) times the magnitudes of the terms, for sums of k terms in any order. In networks of
three layers or more, up to a given cost, each sample's exact derivatives of the z and dz of a layer by those
of every other layer replace |w| and ||w||. Source: N. J. Higham (2002), Accuracy and Stability of Numerical
Algorithms, 2nd ed., SIAM, chapter 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network
from impls.referee.double_double import high
from impls.referee.oracle import Pass, head_bits

Reals = NDArray[np.float64]
Numbers = NDArray[Any]
"""An array of the implementation's dtype."""

ELEMENTARY = 8
"""The relative error, in units of u, granted to one exp, tanh, log or log1p: 4 ulp, an ulp being at most 2 u.

NumPy's are within 4 ulp ("max ULP error" in the SIMD loops of numpy/_core/src/umath), glibc's within 1
or 2 ("Errors in math functions" in the GNU C Library manual), SLEEF's, which torch uses, within 1 to 3.5.
"""

FREE = 8
"""The roundings granted to an element besides those of a sum: scaling by 1/m, the factors of g',
conversion."""

DROPPED = 4
"""The roundings granted to dropout: a product, or a quotient by 1 - p, which is rounded itself."""

UNDERFLOW = 4
"""The absolute error of one operation below the normal range, in units of the smallest normal number, which
covers hardware and exponentials that flush denormals to zero."""

GUARD = 1 + 2.0**-10
"""The factor on each bound that covers the roundings of the bound's own computation, and those of a float64
oracle for a float32 implementation (2^-29).
"""

COARSEST = 2.0**-8
"""The unit roundoff of the coarsest arithmetic that is called coarse, bfloat16; larger errors are wrong."""

HUGE = 700.0
"""The largest exponent of e, below overflow; a bound that large excludes nothing."""

AFFORDABLE = 4e9
"""The largest number of multiplications for the derivatives of a batch, about 0.1 ns each."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bounds:
    """The largest |computed - exact| that rounding can explain, of `output` (n_L, m) and of `cost`, `dw` and
    `db` as sums over the samples, not averages, so that those of parts can be added.
    """

    cost: float
    output: Reals
    dw: list[Reals]
    db: list[Reals]


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Bounds on an error: `E` (n, m) on each element, and `r` (m,) on the 2-norm of each column.

    `new` (n, m) bounds the part that does not follow, by exact derivatives, from errors of earlier z and dz.
    """

    E: Reals
    r: Reals
    new: Reals

    @classmethod
    def alone(cls, E: Reals) -> Spread:
        """The bounds of an error that is only known to be at most `E`."""
        return cls(E, column_norms(E), E)

    @classmethod
    def of(cls, E: Reals, r: Reals, new: Reals) -> Spread:
        """The bounds with the smaller of `r` and the norm of `E`."""
        return cls(E, np.minimum(column_norms(E), r), new)

    def plus(self, local: Reals) -> Spread:
        """The bounds after adding an error of at most `local`."""
        return Spread.of(self.E + local, self.r + column_norms(local), self.new + local)

    def with_another(self, other: Spread) -> Spread:
        """The bounds of the sum of two errors."""
        return Spread.of(self.E + other.E, self.r + other.r, self.new + other.new)

    def times(self, factor: Reals) -> Spread:
        """The bounds after multiplication by `factor`, element by element."""
        return Spread.of(factor * self.E, factor.max(axis=0) * self.r, factor * self.new)

    def times_about(self, factor: Reals, most: Reals, off: Reals) -> Spread:
        """The bounds after multiplication by a factor that is at most `most` and within `off` of `factor`."""
        return Spread.of(most * self.E, most.max(axis=0) * self.r, factor * self.new + off * self.E)

    def known(self, E: Reals) -> Spread:
        """The bounds of the same error with `E` from derivatives; these include what was new until now."""
        return Spread.of(np.where(np.isfinite(E), E, self.E), self.r, np.zeros_like(E))


def column_norms(E: Reals) -> Reals:
    """The 2-norm of each column, (m,), computed without overflow or underflow."""
    top = E.max(axis=0)
    part = E / np.where(top > 0, top, 1.0)
    norms: Reals = top * np.sqrt(np.einsum("is,is->s", part, part))
    return norms


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """A matrix w, with the norms that bound its product with an error."""

    size: Reals  # |w|
    rows: Reals  # 2-norm of each row, (n, 1)
    norm: float  # of the matrix
    top: Reals  # largest |w| of each row, (n, 1)

    @classmethod
    def of(cls, w: Reals, norm: float) -> Linear:
        """From w and `norm`, which is at least its 2-norm."""
        size = np.abs(w)
        return cls(size, column_norms(size.T)[:, None], norm, size.max(axis=1, keepdims=True))

    def __call__(self, error: Spread) -> Spread:
        """The error of w x, from that of x."""
        E = np.minimum(self.size @ error.E, self.rows * error.r)
        return Spread.of(E, self.norm * error.r, self.size @ error.new)


def batched(q: Numbers) -> Numbers:
    """(n, m) as (m, n, 1)."""
    return q.T[:, :, None]


def each(J: Numbers, E: Numbers) -> Numbers:
    """J E for each sample, (n, m); J (m, n, k), E (k, m)."""
    return (J @ batched(E))[:, :, 0].T


class Derivatives:
    """Propagates errors of the z and dz of each layer to all others, to first order, for each sample.

    `z[k]` (m, n_k, N) has the derivatives of z_k by z_0, ..., z_k side by side, N = n_0 + ... + n_k; its
    transpose has those of dz_0, ..., dz_k by dz_k. The derivatives of dz_k by z_i are the transpose of those
    of dz_i by z_k, as both are second derivatives of the cost.
    """

    def __init__(self, weights: Sequence[Reals], activations: Sequence[str], exact: Pass, dtype: str) -> None:
        a = [high(q) for q in exact.a]
        slopes = [np.zeros_like(z) if q is None else high(q) for z, q in zip(a, exact.slope, strict=True)]
        bends = {"sigmoid": lambda a: 1 - 2 * a, "tanh": lambda a: -2 * a}  # g'' / g'
        curves = [  # da g''(z)
            np.zeros_like(a) if da is None or g not in bends else high(da) * bends[g](a) * slope
            for g, a, slope, da in zip(activations, a, slopes, exact.da, strict=True)
        ]
        self.curves = [batched(curve).astype(dtype) for curve in curves]
        # the derivatives of each z by the one before
        handed = (q if keep is None else q * keep for q, keep in zip(slopes, exact.kept, strict=True))
        self.forward = [
            (w * D.T[:, None, :]).astype(dtype) for w, D in zip(weights[1:], handed, strict=False)
        ]
        if activations[-1] == "softmax":
            end = np.eye(len(a[-1])) * batched(a[-1]) - batched(a[-1]) * a[-1].T[:, None, :]
        else:  # dz = a - y, or (a - y) g'
            own = slopes[-1] if exact.da[-1] is None else slopes[-1] ** 2 + curves[-1]
            end = np.eye(len(own)) * batched(own)
        self.end = end.astype(dtype)
        m = len(end)
        self.z: list[Numbers] = []
        self.new = np.empty((0, m), dtype)  # the new errors of z, of all layers in one column
        self.dz = np.empty((m, 0, 0), dtype)  # of dz_k by every z up to layer k, for the last layer k visited
        self.later = np.empty((0, m), dtype)  # the errors of dz, of all layers, that come from layers above

    @staticmethod
    def cost(network: Network) -> int:
        """The number of multiplications for each sample."""
        n = network.widths[1:]
        return sum(n[k] * n[k - 1] * 2 * sum(n[:k]) for k in range(1, len(n)))

    def forth(self, new: Reals) -> Reals:
        """The error of z in the next layer, (n, m), whose new errors are at most `new` (n, m)."""
        n, k, N = len(new), len(self.z), len(self.new)
        J = np.empty((new.shape[1], n, N + n), self.new.dtype)
        if k:
            np.matmul(self.forward[k - 1], self.z[-1], out=J[:, :, :N])
        J[:, :, N:] = np.eye(n)
        self.z.append(J)
        self.new = np.concatenate([self.new, new.astype(J.dtype)])
        return each(np.abs(J), self.new).astype(np.float64)

    def back(self, new: Reals) -> Reals:
        """The error of dz in the layer before, (n, m), whose new errors are at most `new` (n, m)."""
        J = self.z.pop()
        k, N = len(self.z), J.shape[2]
        own = slice(N - len(new), N)
        if len(self.later):
            self.dz = self.forward[k].swapaxes(1, 2) @ self.dz[:, :, :N]
            self.dz += self.curves[k] * J
        else:
            self.dz, self.later = self.end @ J, np.zeros_like(self.new)
        H, J = np.abs(self.dz), np.abs(J)
        E: Reals = new + self.later[own] + each(H, self.new[:N])
        self.later[:N] += each(H.swapaxes(1, 2), self.new[own]) + each(J.swapaxes(1, 2), new.astype(J.dtype))
        return E


def resolution(p_top: Reals, q: Reals) -> Reals:
    """The error of the oracle's split products, sum_k p_ik q_kj; `p_top` (i, 1) is max_k |p_ik|, q >= 0.

    It is that of two float64 products of n terms, in each of which one factor is a tail, which is less than
    2^-head_bits of the largest element.
    """
    n = len(q)
    small = 4.0 * n * (n + 2) * 2.0 ** (-53 - head_bits(n))
    error: Reals = small * p_top * q.max(axis=0)
    return error


class Rounding:
    """The unit roundoff `u` of a dtype, the error `eta` of an operation that underflows, and gamma."""

    def __init__(self, dtype: str) -> None:
        info = np.finfo(dtype)
        self.u = float(info.eps) / 2
        self.eta = UNDERFLOW * float(info.smallest_normal)

    def gamma(self, k: int) -> float:
        """k u / (1 - k u), Higham (2002), lemma 3.1; infinite from k u = 1 on."""
        return k * self.u / (1 - k * self.u) if k * self.u < 1 else np.inf


def softmax_drift(a: Reals, E: Reals) -> Reals:
    """The largest change of log(sum(e^z)), (m,), if each z changes by at most E: log(sum(a e^E))."""
    drift: Reals = np.log1p((a * np.expm1(np.minimum(E, HUGE))).sum(axis=0))
    return drift


def log_softmax_size(z: Reals) -> Reals:
    """The magnitudes that are summed to compute log(a): the shift, the logarithm, 1."""
    top = z.max(axis=0)
    size: Reals = np.log(np.exp(z - top).sum(axis=0)) + (top - z) + 1
    return size


class ErrorBound:
    """The error bounds of a network, for an implementation of `dtype` that holds the parameters exactly and
    has batches of m samples. With `lossy`, formulas that lose digits where an output saturates are granted
    that loss.
    """

    def __init__(
        self,
        network: Network,
        weights: tuple[Reals, ...],
        biases: tuple[Reals, ...],
        m: int,
        dtype: str,
        lossy: bool = False,
    ) -> None:
        self.network = network
        self.lossy = lossy
        self.weights = weights
        self.dtype = dtype
        self.by_derivatives = network.layers > 2 and m * Derivatives.cost(network) <= AFFORDABLE
        # the first layer has no error in its input and propagates none backward
        norms = [np.inf] + [float(np.linalg.norm(w, 2)) for w in weights[1:]]
        self.forth = [Linear.of(w, norm) for w, norm in zip(weights, norms, strict=True)]
        self.back = [Linear.of(w.T, norm) for w, norm in zip(weights, norms, strict=True)]
        self.biases = biases
        self.m = m
        self.rounding = Rounding(dtype)

    def magnitudes(self, w: Linear, q: Reals, error: Spread | None) -> Reals:
        """The magnitudes that are summed in w q, with the error of q; where derivatives are used, the error
        counts again for their own roundings.
        """
        if error is None:
            return np.asarray(w.size @ q)
        n_out, n = w.size.shape
        again = 1 + (n_out + FREE) / n if self.by_derivatives else 0.0
        return np.asarray(w.size @ (q + (1 + again) * error.E))

    def activation(
        self, g: str, z: Reals, a: Reals, slope: Reals | None, error: Spread
    ) -> tuple[Spread, Spread | None]:
        """The error of a = g(z) and that of g'(z), which is None for softmax, from the error of z."""
        E, gamma, eta = error.E, self.rounding.gamma, self.rounding.eta
        if g == "softmax":
            # a = e^(z - log sum e^z)
            rounded = gamma(FREE) * log_softmax_size(z) + gamma(len(z) + 2 * ELEMENTARY + FREE)
            rounded = rounded + self.logarithm_at_size(z, E)
            exponent = np.minimum(E + softmax_drift(a, E) + rounded, HUGE)
            relative = np.expm1(exponent)
            # the error less its linear part a (e - sum a e): e^t - 1 - t is at most t (e^t - 1), and ln(sum a
            # e^e) is within half the square of the largest e of sum a e, by Hoeffding's lemma
            top = E.max(axis=0)
            new = np.minimum(a * (exponent * relative + top**2 / 2 + rounded), 1 + 2 * a * top)
            a_error = Spread.alone(np.minimum(a * relative, 1) + eta)
            return dataclasses.replace(a_error, new=new + eta), None
        assert slope is not None  # every other activation has one
        if g == "identity":
            return error, Spread.alone(np.zeros_like(z))
        if g == "relu":
            # within E of the kink either derivative is right; an exact sum has only one
            unsure = (np.abs(z) <= E) & (E > 0)
            new = slope * error.new + np.maximum(E - np.abs(z), 0)
            return Spread.of(np.clip(z + E, 0, E), error.r, new), Spread.alone(unsure.astype(np.float64))
        # |d/dz ln g'| is at most 1 (sigmoid) or 2 (tanh), so that g' within E of z is at most g'(z) e^E or
        # e^2E
        steepness, top = (1.0, 0.25) if g == "sigmoid" else (2.0, 1.0)
        # far out a float64 oracle has no digits of g'; an error beyond HUGE may reach the largest g'
        exponent = steepness * E
        known = np.maximum(slope, 2.0**-52)
        more = np.where(exponent < HUGE, known * np.expm1(np.minimum(exponent, HUGE)), top)
        moved = error.times_about(slope, np.minimum(slope + more, top), np.minimum(more, top))
        # sigmoid may be computed as (1 + tanh(z / 2)) / 2: the error of tanh is relative to 1, and halved
        size = np.maximum(a, 0.5) if g == "sigmoid" else np.abs(a)
        a_error = moved.plus(gamma(ELEMENTARY + FREE) * (size + moved.E) + eta)
        if g == "sigmoid":  # a (1 - a), whose derivative by a is 1 - 2 a
            bend = np.abs(1 - 2 * a)
            doubt = a_error.times_about(bend, bend + a_error.E, a_error.E)
            return a_error, doubt.plus(gamma(FREE) * (slope + doubt.E + a_error.E))
        bend = 2 * np.abs(a)  # 1 - a^2
        doubt = a_error.times_about(bend, bend + a_error.E, a_error.E)
        return a_error, doubt.plus(gamma(FREE) * (1 + doubt.E))

    def dropped(self, error: Spread, result: Reals, keep: Reals | None) -> Spread:
        """The error of `result`, which is a quantity times `keep`, from that of the quantity."""
        if keep is None:
            return error
        error = error.times(keep)
        local = self.rounding.gamma(DROPPED) * (np.abs(result) + error.E) + self.m * self.rounding.eta
        return error.plus(local * (keep > 0))

    def cost(self, z: Reals, a: Reals, y: Reals, z_error: Spread, a_error: Spread) -> float:
        """The error of m J, a sum over n_L m terms."""
        loss = self.network.loss
        terms = len(z) * self.m
        if loss == "mean_squared_error":
            distance, E = np.abs(a - y), a_error.E
            moved = distance * E + E**2 / 2
            size = (distance + E) ** 2 / 2
        elif loss == "binary_cross_entropy":
            # the derivative by z is a - y, and the second derivative is at most 1/4
            E = z_error.E
            moved = np.abs(a - y) * E + E**2 / 8
            size = (1 + y) * (np.abs(z) + E) + 1
        else:
            E = z_error.E
            moved = y * (E + softmax_drift(a, E))
            size = y * (log_softmax_size(z) + 2 * E.max(axis=0))
        gamma = self.rounding.gamma(terms + FREE + 2 * ELEMENTARY)
        return float((moved + gamma * size).sum()) + self.rounding.eta * self.m * z.size

    def logarithm_at_size(self, z: Reals, E: Reals) -> Reals:
        """The rounding of log(sum(e^z)) as one number, at the size of the largest z, which is a number of the
        dtype itself: the logarithm is rounded by no more than it differs from that, (m,).
        """
        order = np.argsort(z, axis=0)
        ahead, others = order[-1:], order[:-1]
        top, e = (np.take_along_axis(q, ahead, axis=0)[0] for q in (z, E))
        behind = np.take_along_axis(z, others, axis=0) + np.take_along_axis(E, others, axis=0)
        rest: Reals = np.exp(np.minimum(behind - (top - e), HUGE)).sum(axis=0)
        rounded: Reals = np.minimum(self.rounding.gamma(2) * (np.abs(top) + np.log(len(z)) + e), rest)
        return rounded

    def saturated(self, a: Reals, y: Reals) -> Reals:
        """The error of a cross-entropy's dz that is computed from y / a, where a has fewer than three digits
        left.

        Products of two outputs below the square root of the smallest normal number underflow as well.
        """
        E = self.rounding.gamma(ELEMENTARY + FREE) + np.sqrt(self.rounding.eta)

        def lost(q: Reals) -> Reals:
            share: Reals = E / np.maximum(q, E)
            return share * (share > 1e-3)

        if self.network.loss == "mean_squared_error":
            return np.zeros_like(a)
        own: Reals = y * lost(a)
        other: Reals = a * own.sum(axis=0)
        return own + ((1 - y) * lost(1 - a) if self.network.loss == "binary_cross_entropy" else other)

    def of(self, exact: Pass, Y: Reals) -> Bounds:
        """The bounds of a part of a batch, given the oracle's pass on it."""
        gamma, eta, m = self.rounding.gamma, self.rounding.eta, self.m
        last = self.network.layers - 1
        zs, as_, dzs = ([high(q) for q in qs] for qs in (exact.z, exact.a, exact.dz))
        slopes, das = ([None if q is None else high(q) for q in qs] for qs in (exact.slope, exact.da))
        samples = Y.shape[1]

        derivatives = None
        if self.by_derivatives:
            derivatives = Derivatives(self.weights, self.network.activations, exact, self.dtype)

        moved: list[Spread] = []  # the errors of z
        x_errors: list[Spread | None] = []
        doubts: list[Spread | None] = []
        reaches: list[Reals] = []  # the largest |x| of an implementation
        error: Spread | None = None  # an implementation holds X exactly
        for k, (w, b, g) in enumerate(zip(self.forth, self.biases, self.network.activations, strict=True)):
            x = np.abs(high(exact.x[k]))
            reach = x if error is None else x + error.E
            n = len(x)
            summed = self.magnitudes(w, x, error) + np.abs(b)
            # a sum of zeros is exact, and relu'(0) = 0 has to hold there
            local = (gamma(n + 1) * summed + resolution(w.top, x) + (n + 1) * eta) * (summed > 0)
            z_error = Spread.alone(local) if error is None else w(error).plus(local)
            if derivatives:
                z_error = z_error.known(derivatives.forth(z_error.new))
            moved.append(z_error)
            x_errors.append(error)
            reaches.append(reach)
            error, doubt = self.activation(g, zs[k], as_[k], slopes[k], z_error)
            doubts.append(doubt)
            if k < last:
                error = self.dropped(error, high(exact.x[k + 1]), exact.kept[k])
        assert error is not None  # a network has a layer at least

        output = error
        local = gamma(FREE) * (np.abs(as_[last] - Y) + output.E) + m * eta
        # a / m - y / m may be divided before it is subtracted
        local = local + gamma(2) * (np.abs(as_[last]) + np.abs(Y))
        if self.network.loss == "softmax_cross_entropy":
            # dz = a - y if the targets sum to 1; an implementation that differentiates J has a sum(y) - y
            drift = np.abs(Y.sum(axis=0) - 1) + gamma(len(Y) + FREE)
            local = local + drift * (as_[last] + output.E)
        if self.network.loss == "binary_cross_entropy":
            # an implementation that differentiates ln(1 + e^z) has e^(z - ln(1 + e^z)) for a. The exponent is
            # rounded relative to z, but by no more than ln(1 + e^z) differs from max(z, 0)
            z, a, E = np.abs(zs[last]), as_[last], moved[last].E
            exponent = np.minimum(gamma(2) * (z + E + 1), np.exp(np.minimum(E - z, HUGE)))
            # J is the same for -z and 1 - y; (1 - y) - (1 - a) has rounding errors relative to 1 for small a
            local = local + (a + output.E) * np.expm1(exponent) + gamma(ELEMENTARY + FREE) * (1 - a)
        if self.lossy:
            local = local + self.saturated(as_[last], Y)
        error = output.plus(local)
        dw: list[Reals] = []
        db: list[Reals] = []
        sum_gamma = gamma(m + FREE)
        for k in range(last, -1, -1):
            slope, doubt, da = slopes[k], doubts[k], das[k]
            if slope is not None and doubt is not None and da is not None:
                error = self.dropped(error, da, exact.kept[k])
                steepest = np.minimum(slope + doubt.E, 1)  # every g' is at most 1
                size = np.abs(da)
                local = gamma(FREE) * (size + error.E) * steepest + m * eta
                error = error.times_about(slope, steepest, np.minimum(doubt.E, 1))
                error = error.with_another(doubt.times(size)).plus(local)
            if derivatives:
                error = error.known(derivatives.back(error.new))
            dz, reach, x_error = np.abs(dzs[k]), reaches[k], x_errors[k]
            own = error.E * (1 + sum_gamma) + sum_gamma * dz
            E = own @ reach.T + resolution(dz.max(axis=1, keepdims=True), reach.T)
            if x_error is not None:
                E += dz @ x_error.E.T
            dw.insert(0, GUARD * E + m * eta * (reach.sum(axis=1) + samples))
            db.insert(0, GUARD * own.sum(axis=1, keepdims=True) + m * eta * samples)
            if k:
                w = self.back[k]
                n = len(dz)
                local = gamma(n + FREE) * self.magnitudes(w, dz, error)
                local = local + resolution(w.top, dz) + n * m * eta
                error = w(error).plus(local)
        return Bounds(
            cost=GUARD * self.cost(zs[last], as_[last], Y, moved[last], output),
            output=GUARD * output.E,
            dw=dw,
            db=db,
        )
