"""The oracle: loss, output and gradients of one batch, in arithmetic wider than the racer's.

It shares no code with any racer, and writes the mathematics differently: derivatives come from z, by
formulas that lose no digits where a unit saturates (not from a, as `a (1 - a)` does), and the products are
split so that their leading part is free of rounding.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network

Wide = NDArray[Any]
Reals = NDArray[np.float64]

DIRECT = 200_000
"""Up to so many multiplications a product is summed in the wide type; above, it is split for the BLAS."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """Every quantity of one pass: `x[l]` (n_{l-1}, m), `z`, `a`, `slope` = g'(z), `da`, `dz` (n_l, m) of each
    layer, its `dw` and `db` (averages over the batch), and the cost J.

    Under a cross-entropy `da` of the last layer is None: there dz = a - y comes in one piece. Softmax has no
    `slope`, being no function of one z.
    """

    loss: Any
    x: list[Wide]
    z: list[Wide]
    a: list[Wide]
    slope: list[Wide | None]
    da: list[Wide | None]
    dz: list[Wide]
    dw: list[Wide]
    db: list[Wide]

    @property
    def output(self) -> Wide:
        """The `a` of the last layer, (n_L, m)."""
        return self.a[-1]


def split(array: Wide, terms: int, axis: int) -> tuple[Reals, Reals]:
    """`array` = head + tail, the head so short that products of heads, summed over `axis`, are exact.

    Each line along `axis` keeps its leading `(53 - log2(terms)) / 2` bits, counted from its largest element.
    Ozaki, Ogita, Oishi, Rump (2012), Error-free transformations of matrix multiplication by using fast
    routines of matrix multiplication and its applications, Numerical Algorithms 59, 95-118.
    """
    bits = (53 - int(np.ceil(np.log2(terms)))) // 2
    wide = array.astype(np.float64, copy=False)
    _, exponent = np.frexp(np.abs(wide).max(axis=axis, keepdims=True))
    unit = np.ldexp(1.0, np.maximum(exponent - bits, -1022))
    head = np.rint(wide / unit) * unit
    tail = (array - head).astype(np.float64, copy=False)
    return head, tail


def product(p: Wide, q: Wide) -> Wide:
    """p q, of shapes (i, k) and (k, j), in the type of q: float64 by BLAS, a wider one to about 2^-64.

    A large product is head(p) head(q), which is exact in float64, plus two products smaller by 2^-20, whose
    roundings are smaller by as much.
    """
    if q.dtype == np.float64:
        return p.astype(np.float64, copy=False) @ q
    if p.shape[0] * p.shape[1] * q.shape[1] <= DIRECT:
        return p.astype(q.dtype, copy=False) @ q
    p_head, p_tail = split(p, p.shape[1], axis=1)
    q_head, q_tail = split(q, p.shape[1], axis=0)
    total: Wide = (p_head @ q_head).astype(q.dtype)
    total += p_head @ q_tail + p_tail @ q.astype(np.float64)
    return total


def activate(g: str, z: Wide) -> tuple[Wide, Wide | None]:
    """a = g(z) and, but for softmax, g'(z)."""
    if g == "sigmoid":
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1, e) / (1 + e), e / (1 + e) ** 2
    if g == "tanh":
        e = np.exp(-2 * np.abs(z))
        return np.tanh(z), 4 * e / (1 + e) ** 2
    if g == "relu":
        return np.maximum(z, 0), (z > 0).astype(z.dtype)
    if g == "softmax":
        e = np.exp(z - z.max(axis=0))
        return e / e.sum(axis=0), None
    return z, np.ones_like(z)


def cost(loss: str, z: Wide, a: Wide, y: Reals) -> Any:
    """J, the cross-entropies from z, where no logarithm meets a zero."""
    m = z.shape[1]
    if loss == "mean_squared_error":
        return ((a - y) ** 2).sum() / (2 * m)
    if loss == "binary_cross_entropy":
        # -ln a = ln(1 + e^-z) and -ln(1 - a) = ln(1 + e^z)
        return (y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)).sum() / m
    top = z.max(axis=0)
    return (y * (np.log(np.exp(z - top).sum(axis=0)) - (z - top))).sum() / m


def propagate(
    network: Network,
    weights: tuple[Reals, ...],
    biases: tuple[Reals, ...],
    X: Reals,
    Y: Reals,
    wide: type[np.floating[Any]] = np.longdouble,
) -> Pass:
    """Forward and backward in the arithmetic of `wide`; X (n_0, m), Y (n_L, m)."""
    m = X.shape[1]
    last = network.layers - 1
    xs, zs, as_, slopes = [], [], [], []
    a = X.astype(wide)
    for w, b, g in zip(weights, biases, network.activations, strict=True):
        xs.append(a)
        z = product(w, a) + b
        a, slope = activate(g, z)
        zs.append(z)
        as_.append(a)
        slopes.append(slope)
    das: list[Wide | None] = [None] * (last + 1)
    dzs: list[Wide] = [a] * (last + 1)
    da = a - Y  # dJ/da of the mean squared error, dJ/dz of the cross-entropies, times m
    for k in range(last, -1, -1):
        slope = slopes[k]
        if slope is None or (k == last and network.loss == "binary_cross_entropy"):
            dzs[k] = da
        else:
            das[k] = da
            dzs[k] = da * slope
        if k:
            da = product(weights[k].T, dzs[k])
    return Pass(
        loss=cost(network.loss, zs[-1], a, Y),
        x=xs,
        z=zs,
        a=as_,
        slope=slopes,
        da=das,
        dz=dzs,
        dw=[product(dz, x.T) / m for dz, x in zip(dzs, xs, strict=True)],
        db=[dz.sum(axis=1, keepdims=True) / m for dz in dzs],
    )
