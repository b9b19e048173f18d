"""The oracle: loss, output and gradients of one batch, in arithmetic wider than the implementation's.

It shares no code with any implementation and uses other formulas. Derivatives come from exponentials of z, as
`a (1 - a)` loses its digits where a unit saturates; every sum is a matrix product of split operands, whose
leading part has no rounding error.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network
from impls.referee.double_double import DoubleDouble, Number, exp, expm1, high, log, two_sum, where
from impls.referee.masks import Kept

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """Every quantity of one pass: `x[l]` (n_{l-1}, m), `z`, `a`, `slope` = g'(z), `da`, `dz` (n_l, m) of each
    layer. `cost`, `dw` and `db` are sums over the samples, not averages, so that those of parts can be added.

    With dropout, `x` of the layer above is `a` times `kept`, and `da` is the derivative by `a`. `da` of the
    last layer is None under a cross-entropy, where dz = a - y directly. `slope` is None for softmax, which is
    not a function of one z.
    """

    cost: Number
    x: list[Number]
    z: list[Number]
    a: list[Number]
    slope: list[Number | None]
    da: list[Number | None]
    dz: list[Number]
    dw: list[Number]
    db: list[Number]
    kept: Kept


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A matrix as head + tail, with heads so short that the product of two is exact in float64.

    Each line along the summed axis keeps its leading `(53 - log2(terms)) / 2` bits, counted from its largest
    element. K. Ozaki, T. Ogita, S. Oishi, S. M. Rump (2012), Error-free transformations of matrix
    multiplication by using fast routines of matrix multiplication and its applications, Numerical
    Algorithms 59, 95-118.
    """

    head: Reals
    tail: Reals
    whole: Reals

    @classmethod
    def of(cls, q: Number, axis: int) -> Split:
        """Split for a sum over `axis`."""
        hi = high(q)
        top = np.maximum(hi.max(axis=axis, keepdims=True), -hi.min(axis=axis, keepdims=True))
        _, exponent = np.frexp(top)
        # adding and subtracting 1.5 * 2^52 units rounds to a multiple of the unit
        anchor = np.ldexp(1.5, np.maximum(exponent - head_bits(hi.shape[axis]), -1022) + 52)
        head = (hi + anchor) - anchor
        tail = hi - head
        if isinstance(q, DoubleDouble):
            tail += q.lo
        return cls(head, tail, hi)


def head_bits(terms: int) -> int:
    """The bits of a factor for which a sum of `terms` products is exact in 53 bits."""
    return (53 - (terms - 1).bit_length()) // 2


def product(p: Split | Number, q: Number, doubled: bool) -> Number:
    """p q, of shapes (i, k) and (k, j): in float64, or doubled, to about 2^-70 of k max|p_i| max|q_j|.

    The doubled product is head(p) head(q), which is exact, plus two products smaller by 2^-20, whose rounding
    errors are smaller by the same factor.
    """
    if not doubled:
        return p @ q
    p = p if isinstance(p, Split) else Split.of(p, axis=1)
    s = Split.of(q, axis=0)
    return DoubleDouble(*two_sum(p.head @ s.head, p.head @ s.tail + p.tail @ s.whole))


def down(q: Number, doubled: bool) -> Number:
    """The sum of each column, (1, m)."""
    return product(np.ones((1, q.shape[0])), q, doubled)


def across(q: Number, doubled: bool) -> Number:
    """The sum of each row, (n, 1)."""
    return product(q, np.ones((q.shape[1], 1)), doubled)


def shifted(z: Number) -> Number:
    """z less the largest of its column; subtracted twice, as it is a doubled number and `high` is float64."""
    once = z - high(z).max(axis=0)
    return once - high(once).max(axis=0)


def activate(g: str, z: Number, doubled: bool) -> tuple[Number, Number | None]:
    """a = g(z), and g'(z) or, for softmax, None."""
    hi = high(z)
    if g == "sigmoid":
        e = exp(-abs(z))
        whole = e + 1.0
        a = where(hi >= 0, 1.0, e) / whole
        return a, e / (whole * whole)
    if g == "tanh":
        t = expm1(abs(z) * -2.0)
        whole = t + 2.0
        a = t / whole
        return where(hi >= 0, -a, a), (t + 1.0) * 4.0 / (whole * whole)
    if g == "relu":
        return where(hi > 0, z, z * 0.0), (hi > 0).astype(np.float64)
    if g == "softmax":
        e = exp(shifted(z))
        return e / down(e, doubled), None
    return z, np.ones_like(hi)


def cost(loss: str, z: Number, a: Number, y: Reals, doubled: bool) -> Number:
    """m J as (1, 1); cross-entropies are computed from z, so that no logarithm of 0 is taken."""
    if loss == "mean_squared_error":
        distance = a - y
        terms = distance * distance * 0.5
    elif loss == "binary_cross_entropy":
        # -ln a = ln(1 + e^-|z|) + max(-z, 0), and -ln(1 - a) the same of -z
        hi = high(z)
        terms = log(exp(-abs(z)) + 1.0) + where(hi >= 0, z - z * y, z * -y)  # 1 - y would be rounded
    else:
        s = shifted(z)
        terms = (log(down(exp(s), doubled)) - s) * y
    return across(down(terms, doubled), doubled)


class Oracle:
    """A network with exact parameters, whose weights are split once for all batches.

    With `doubled`, for float64 implementations, it computes in pairs of float64, to about 2^-70; otherwise in
    float64.
    """

    def __init__(
        self, network: Network, weights: tuple[Reals, ...], biases: tuple[Reals, ...], doubled: bool
    ) -> None:
        self.network = network
        self.doubled = doubled
        self.biases = biases
        self.forth: list[Split | Reals] = [Split.of(w, axis=1) if doubled else w for w in weights]
        self.back: list[Split | Reals] = [Split.of(w.T, axis=1) if doubled else w.T for w in weights]

    def propagate(self, X: Reals, Y: Reals, kept: Kept | None = None) -> Pass:
        """The pass forward and backward; X (n_0, m), Y (n_L, m), without dropout unless `kept` is given."""
        doubled, network = self.doubled, self.network
        kept = kept or [None] * network.layers
        xs: list[Number] = []
        zs: list[Number] = []
        as_: list[Number] = []
        slopes: list[Number | None] = []
        a: Number = X
        for w, b, g, keep in zip(self.forth, self.biases, network.activations, kept, strict=True):
            xs.append(a)
            z = product(w, a, doubled) + b
            a, slope = activate(g, z, doubled)
            zs.append(z)
            as_.append(a)
            slopes.append(slope)
            a = a if keep is None else a * keep
        das: list[Number | None] = []
        dzs: list[Number] = []
        d: Number = a - Y  # dJ/da of the mean squared error, dJ/dz of the cross-entropies, times m
        fused = network.loss != "mean_squared_error"
        for k in reversed(range(network.layers)):
            slope = slopes[k]
            if fused or slope is None:
                das.insert(0, None)
                dzs.insert(0, d)
            else:
                das.insert(0, d)
                dzs.insert(0, d * slope)
            fused = False
            if k:
                d = product(self.back[k], dzs[0], doubled)
                keep = kept[k - 1]
                d = d if keep is None else d * keep
        return Pass(
            cost=cost(network.loss, zs[-1], a, Y, doubled),
            x=xs,
            z=zs,
            a=as_,
            slope=slopes,
            da=das,
            dz=dzs,
            dw=[product(dz, x.T, doubled) for dz, x in zip(dzs, xs, strict=True)],
            db=[across(dz, doubled) for dz in dzs],
            kept=kept,
        )
