"""Kinks of relu: the part of a gradient's error that its other derivative explains where z is near 0.

Derivation: docs/error-bound.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network
from impls.referee.double_double import high
from impls.referee.oracle import Pass

Reals = NDArray[np.float64]

ROUNDED = 64
"""The relative error, in roundings, granted to the part of a gradient that kinks explain."""

FIT, PASSES_OF_FIT = 1e-10, 3
"""The error granted to a fit of kinks, as a share of what it explains, and the number of times that the fit
is repeated on its residual."""

KINKS = 512
"""The largest number of kinks, over units and samples; gradients of a batch with more have no limit."""

BLOCK = 2**15
"""The number of products that are in memory at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Kinks:
    """The changes of a gradient by the other derivative of relu, for K units near their kink in some sample.

    Each change is the product of a column of `dz` (n, K) and one of `x` (n_below, K), times a share between
    `least` (K,) and `most` (K,). All four are exact.
    """

    dz: Reals
    x: Reals
    least: Reals
    most: Reals

    def taken_from(self, error: Reals) -> Reals:
        """`error` (n, n_below) less the sum of changes that is nearest to it."""
        from scipy.optimize import lsq_linear  # imported on use: few arrays need it

        sizes = np.linalg.norm(self.dz, axis=0) * np.linalg.norm(self.x, axis=0)
        some = (sizes > 0) & (self.most > self.least)
        if not some.any():
            return error
        dz, x, least, most = self.dz[:, some] / sizes[some], self.x[:, some], self.least, self.most
        least, most = least[some] * sizes[some], most[some] * sizes[some]
        left = error
        for _ in range(PASSES_OF_FIT):
            top = float(np.abs(left).max())
            if not np.finfo(np.float64).eps * float(np.abs(error).max()) < top < math.inf:
                break
            products, aim = least_squares(dz, x, left / top)
            low = least / top
            ends = low, np.maximum(most / top, np.nextafter(low, math.inf))
            share = top * lsq_linear(products, aim, ends, tol=FIT / 100).x
            left, least, most = left - (dz * share) @ x.T, least - share, most - share
        return left


def least_squares(dz: Reals, x: Reals, error: Reals) -> tuple[Reals, Reals]:
    """The matrix and the right-hand side of the least-squares fit of products of the columns of dz (n, K) and
    x (n_below, K) to `error` (n, n_below), reduced to K + 1 rows at most by QR, block by block.
    """
    K = dz.shape[1]
    triangle = np.zeros((0, K + 1))
    rows = max(1, BLOCK // (len(x) * K))
    for start in range(0, len(dz), rows):
        block = slice(start, start + rows)
        products = (dz[block, None, :] * x).reshape(-1, K)
        both = np.hstack([products, error[block].reshape(-1, 1)])
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, both]), mode="r"))
    return triangle[:, :K], triangle[:, K]


def kinks_of(
    network: Network,
    weights: Sequence[Reals],
    biases: Sequence[Reals],
    exact: Pass,
    doubt: Sequence[float],
    astray: Sequence[float],
) -> list[Kinks]:
    """The kinks in each layer's gradients on a batch, those of the layers above included.

    A unit of a sample is at its kink if its z is within the layer's `doubt` of 0 and is not a sum of zeros.
    `astray` is the largest error of each layer's da.
    """
    dz, samples = np.zeros((len(weights[-1]), 0)), np.zeros(0, np.intp)
    least, most = np.zeros(0), np.zeros(0)
    near = [np.abs(high(z)) <= each for z, each in zip(exact.z, doubt, strict=True)]
    found: list[Kinks] = []
    for k in range(network.layers - 1, -1, -1):
        x, da, keep, slope = high(exact.x[k]), exact.da[k], exact.kept[k], exact.slope[k]
        above = np.zeros((len(weights[k]), 0))  # the changes of da by kinks of the layers above
        if len(samples):
            above = weights[k + 1].T @ dz
            above = above if keep is None else above * keep[:, samples]
            dz = above * high(slope)[:, samples]
        else:
            dz = above
        if network.activations[k] == "relu" and da is not None:
            # an input that is 0 because of a kink below is not 0 with the other derivative
            some = (x != 0) | near[k - 1] if k and network.activations[k - 1] == "relu" else x != 0
            units, columns = _summed(near[k], weights[k], biases[k], some)
            own = np.zeros((len(dz), len(units)))
            own[units, np.arange(len(units))] = 1.0
            # the other derivative times da, with any changes by the kinks above in that sample
            moved = above[units] * (samples == columns[:, None])
            parts = np.stack([moved * least, moved * most])
            da_ends = high(da)[units, columns] + [parts.min(axis=0).sum(1), parts.max(axis=0).sum(1)]
            ends = (1 - 2 * high(slope)[units, columns]) * da_ends
            dz, samples = np.hstack([dz, own]), np.concatenate([samples, columns])
            least = np.concatenate([least, np.minimum(ends.min(axis=0), 0) - astray[k]])
            most = np.concatenate([most, np.maximum(ends.max(axis=0), 0) + astray[k]])
        found.insert(0, Kinks(dz, x[:, samples], least, most))
    return found


def _summed(
    near: NDArray[np.bool_], w: Reals, b: Reals, some: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Units and samples `near` their kinks whose z has a term other than 0; KINKS + 1 of them at most."""
    units, columns = np.nonzero(near)
    summed = ((w[units] != 0) & some[:, columns].T).any(axis=1) | (b[units, 0] != 0)
    return units[summed][: KINKS + 1], columns[summed][: KINKS + 1]


def joined(parts: Sequence[Kinks], m: int) -> Kinks | None:
    """The kinks of the mean gradient of a batch of m samples, from those of its parts; None if there are more
    than KINKS.
    """
    if sum(part.x.shape[1] for part in parts) > KINKS:  # a fit of more takes minutes
        return None
    return Kinks(
        np.hstack([part.dz for part in parts]),
        np.hstack([part.x for part in parts]),
        np.concatenate([part.least for part in parts]) / m,
        np.concatenate([part.most for part in parts]) / m,
    )
