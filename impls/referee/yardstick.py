"""The yardstick: the error of each array as a whole in float32 arithmetic.

The elementwise bound holds for the worst order of sums and the worst case of roundings, so that arithmetic of
11 or 8 bits stays below it where sums are long or networks deep. Actual roundings cancel like random numbers
(Higham and Mary 2019; Connolly, Higham and Mary 2021). This module measures what remains of them: it runs the
same pass in float32 with every sum strictly sequential, the least accurate order in use. The 2-norm of an
implementation's error in each array is compared with that of this pass.

Derivation, calibration and the rate of false rejections: docs/error-bound.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impls.interface import Network
from impls.referee.double_double import high
from impls.referee.kinks import Kinks, joined, kinks_of
from impls.referee.oracle import Pass

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]

U = 2.0**-24
"""The unit roundoff of float32."""

ELEMENTARY = 4
"""The largest random error, in units of U, of each exp and tanh; elementwise, 4 ulp are granted."""

SLACK = 2.0
"""The limit of an array of many elements, in errors of the yardstick; calibrated (docs/error-bound.md)."""

COPIES = 16
"""The number of copies of each distinct sample from which the limit has no slack: the yardstick then adds up
copies one after another, which no implementation does.
"""

DEVIATIONS = 6.0
"""The standard deviations up to which the ratio of two measured variances may be due to chance: 1 in 10^9."""

UNDERFLOW = 1e4
"""The absolute error of each dz from operations that underflow, in units of the smallest normal number."""

KINK = 8.0
"""The standard deviations of the error of z within which relu may have either derivative, and those of the
error of da that are added to the change by the other derivative.
"""

WORK, PASSES = 1_000_000, 64
"""The largest number of multiplications, and of passes, for which the pass is repeated where arrays are
small."""

SAMPLES = 4
"""The smallest number of passes times samples. One pass of one sample through ten outputs measures a variance
by ten numbers, so that any ratio of two may be due to chance.
"""

THROUGH = 512
"""The largest number of samples that all go through the network in float32. Of a larger batch only the first
part does: the errors of single samples add up to far less than the error of the long sums.
"""

COLUMNS = 32
"""The columns of dw that are computed if there is only one pass."""

BLOCK = 2**15
"""The number of products that are in memory at once."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest 2-norm of each array's error that arithmetic of the dtype explains; of dw and db after what
    `kinks_dw` and `kinks_db` explain is subtracted.
    """

    output: float
    dw: tuple[float, ...]
    db: tuple[float, ...]
    kinks_dw: tuple[Kinks | None, ...]
    kinks_db: tuple[Kinks | None, ...]


def variance_ratio(nu: float, nu_yardstick: float) -> float:
    """The ratio of two measured variances, of nu and nu_yardstick degrees of freedom, at DEVIATIONS.

    The quantile of the F distribution as E. Paulson (1942), Annals of Mathematical Statistics 13, 233-235,
    approximates it; infinite if the yardstick has too few degrees of freedom for any ratio to matter.
    """
    a, b, z = 2 / (9 * nu), 2 / (9 * nu_yardstick), DEVIATIONS
    free = (1 - b) ** 2 - z * z * b
    if free <= 0:
        return math.inf
    root = math.sqrt((1 - a) ** 2 * b + (1 - b) ** 2 * a - a * b * z * z)
    return (((1 - a) * (1 - b) + z * root) / free) ** 3


def each(array: Reals, order: NDArray[np.intp]) -> Singles:
    """(n, m) as (R, n, m) of float32, the samples of each pass in its order (R, m)."""
    return array.astype(np.float32)[:, order].transpose(1, 0, 2)


def sequential(p: Singles, q: Singles, total: Singles | None = None) -> Singles:
    """`total` and the sum of p q over their first axis, one product at a time."""
    if total is None:
        total = np.zeros(np.broadcast_shapes(p.shape[1:], q.shape[1:]), np.float32)
    block = max(1, BLOCK // total.size)
    for start in range(0, len(p), block):
        products = p[start : start + block] * q[start : start + block]
        if len(products) == 1:
            total = total + products[0]
        else:
            products[0] += total
            # accumulate keeps the order; reduce is faster and keeps it too, except along an axis of single
            # numbers
            total = np.add.reduce(products, axis=0) if total.size > 1 else np.add.accumulate(products)[-1]
    return total


class Errors:
    """The squared errors of one array over all passes, and their degrees of freedom."""

    def __init__(self) -> None:
        self.squares = self.fourths = 0.0

    def add(self, errors: Reals) -> None:
        """Add the errors of some elements, of any shape."""
        squares = errors * errors
        self.squares += float(squares.sum())
        self.fourths += float(np.vdot(squares, squares))

    @property
    def freedom(self) -> float:
        """The participation ratio: the number of elements if all have the same size."""
        return self.squares**2 / self.fourths if self.fourths > 0 else 0.0


class Yardstick:
    """Sequential float32 passes through a network on a batch of m samples, which comes in parts."""

    def __init__(
        self, network: Network, weights: Sequence[Reals], biases: Sequence[Reals], m: int, dtype: str
    ) -> None:
        self.network = network
        self.m = m
        info = np.finfo(dtype)
        self.eta = UNDERFLOW * float(info.smallest_normal)
        self.largest = [0.0 for _ in weights]  # |x| of each layer
        self.scale = float(info.eps) / 2 / U
        size = m * sum(w.size for w in weights)
        self.R = R = int(np.clip(WORK // size, math.ceil(SAMPLES / m), PASSES))
        self.random = np.random.default_rng(0)
        with np.errstate(over="ignore"):
            self.w = [w.astype(np.float32) for w in weights]
            self.b = [b.astype(np.float32) for b in biases]
        # a few columns of a large dw are enough: those of the largest inputs
        few = COLUMNS if R == 1 else max(network.widths)
        self.dw = [np.zeros((R, len(w), min(w.shape[1], few)), np.float32) for w in self.w]
        self.columns: list[NDArray[np.intp] | None] = [None for _ in self.w]
        self.db = [np.zeros((R, *b.shape), np.float32) for b in self.b]
        self.weights, self.biases = list(weights), list(biases)
        self.kinks: list[list[Kinks]] = [[] for _ in weights]  # of each layer, part by part
        self.output = Errors()
        self.inputs = [Errors() for _ in weights]  # of each layer except the first
        self.samples = [Errors() for _ in weights]  # each sample's share in dw of a layer
        self.units = [Errors() for _ in weights]  # each unit's share in a sample, by its dz
        self.energy = [np.zeros(w.shape[1]) for w in self.w]  # sums of squares of each layer's inputs
        self.doubt = [0.0 for _ in self.w]  # |z| up to which either sign is possible
        self.astray = [0.0 for _ in self.w]  # the largest error of da
        self.hashes: list[Reals] = []  # a number for each sample, the same for equal ones
        self.equal: NDArray[np.intp] | None = None  # numbers of the distinct samples of a part, (R, m)
        self.passed = 0  # samples that went through the network in float32
        self.narrowest = float(min(network.widths[1:]))  # units that a sample has in some layer

    def moved(self, array: Singles, units: float = 1.0) -> Singles:
        """Each number times 1 + d, d random within `units` roundings (D. S. Parker's Monte Carlo arithmetic,
        1997).
        """
        return self.factors(array.shape, units) * array

    def factors(self, shape: tuple[int, ...], units: float) -> Singles:
        """1 + d for each number of an array of `shape`."""
        d = self.random.random(shape, np.float32)
        d -= np.float32(0.5)
        d *= np.float32(2 * units * U)
        d += np.float32(1)
        return d

    def rounded(self, array: Singles, units: float = 1.0) -> Singles:
        """`moved`, by the same factors for equal samples; (R, n, m)."""
        if self.equal is None:
            return self.moved(array, units)
        R, n, _ = array.shape
        factors = self.factors((R, n, int(self.equal.max()) + 1), units)
        return np.take_along_axis(factors, self.equal[:, None, :], axis=2) * array

    def product(self, w: Singles, x: Singles) -> Singles:
        """w x, (n, k) by (R, k, m); each pass but the first sums the terms in an order of its own."""
        R, k = x.shape[:2]
        order = np.argsort(self.random.random((R, k)), axis=1)
        order[0] = np.arange(k)
        terms = self.moved(w.T[order]).transpose(1, 0, 2)  # (k, R, n)
        columns = x[np.arange(R), order.T]  # (k, R, m)
        return sequential(terms[:, :, :, None], columns[:, :, None, :])

    def activation(self, g: str, z: Singles) -> Singles:
        """a = g(z), by the least accurate of the usual formulas."""
        if g == "sigmoid":
            half = np.float32(0.5)
            return self.rounded(1 + self.rounded(np.tanh(z * half), ELEMENTARY)) * half
        if g == "tanh":
            return self.rounded(np.tanh(z), ELEMENTARY)
        if g == "relu":
            return np.maximum(z, 0)
        if g == "softmax":
            # e^(z - ln sum e^z), as automatic differentiation has it: an exponent is rounded at the size of z
            top = z.max(axis=1, keepdims=True)
            total = np.cumsum(np.exp(z - top), axis=1, dtype=np.float32)[:, -1:]
            a: Singles = np.exp(z - self.rounded(top + np.log(total)))
            return self.rounded(a, ELEMENTARY)
        return z

    @staticmethod
    def slope(g: str, a: Singles, exact: Singles) -> Singles:
        """g'(z) from a; for relu the exact one, as the kinks account for a mask that differs."""
        if g == "sigmoid":
            return a * (1 - a)
        if g == "tanh":
            return 1 - a * a
        if g == "relu":
            return (exact > 0).astype(np.float32)
        return np.ones_like(a)

    def add(self, X: Reals, Y: Reals, exact: Pass) -> None:
        """Add a part of the batch, with the oracle's pass on it; X (n_0, m), Y (n_L, m)."""
        with np.errstate(all="ignore"):
            hashes = np.cos(np.arange(1, 1 + len(X))) @ X
            self.hashes.append(hashes)
            # equal samples one after another, where their partial sums are the largest
            _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
            places = self.random.random((self.R, X.shape[1]))[:, first[group]]
            order = np.argsort(places, axis=1, kind="stable")
            order[0] = np.arange(X.shape[1])
            self.equal = group[order] if len(first) < len(group) else None
            if self.passed == 0 or self.m <= THROUGH:
                xs, dzs = self.through(X, Y, exact, order)
            else:
                xs, dzs = ([each(high(q), order) for q in qs] for qs in (exact.x, exact.dz))
            self.add_gradients(xs, dzs)
            found = kinks_of(self.network, self.weights, self.biases, exact, self.doubt, self.astray)
            for part, parts in zip(found, self.kinks, strict=True):
                parts.append(part)

    def through(
        self, X: Reals, Y: Reals, exact: Pass, order: NDArray[np.intp]
    ) -> tuple[list[Singles], list[Singles]]:
        """x and dz of each layer, (R, n, m), by a pass forward and backward in float32."""
        last = self.network.layers - 1
        a = each(X, order)
        xs, slopes = [], []
        kept = [None if keep is None else each(keep, order) for keep in exact.kept]
        for k, (w, b, g) in enumerate(zip(self.w, self.b, self.network.activations, strict=True)):
            xs.append(a)
            if k:
                self.inputs[k].add(a - high(exact.x[k])[:, order].transpose(1, 0, 2))
            # where one of two terms is small, all passes would round their sum alike
            z = self.rounded(self.product(w, a) + b)
            self.doubt[k] = max(
                self.doubt[k], self.typical(z - high(exact.z[k])[:, order].transpose(1, 0, 2))
            )
            a = self.activation(g, z)
            slopes.append(self.slope(g, a, each(high(exact.a[k]), order)))
            keep = kept[k]
            if keep is not None:
                a = a * keep
                self.narrowest = min(self.narrowest, float((keep > 0).sum(axis=1).mean()))
        exact_output = high(exact.a[last])[:, order].transpose(1, 0, 2)
        self.output.add(a - exact_output)
        self.passed += X.shape[1]
        dzs: list[Singles] = []
        if self.network.loss == "binary_cross_entropy":
            # its derivative may be e^(z - ln(1 + e^z)) - y, and (1 - y) - (1 - a)
            a = 1 - self.rounded(1 - np.exp(z - self.rounded(np.logaddexp(np.float32(0), z))))
        dz = a - each(Y, order)
        for k in range(last, -1, -1):
            da = exact.da[k]
            if da is not None:
                self.astray[k] = max(self.astray[k], self.typical(dz - high(da)[:, order].transpose(1, 0, 2)))
            if k < last or self.network.loss == "mean_squared_error":
                dz = dz * slopes[k]
            dzs.insert(0, dz)
            if k:
                dz = self.product(np.ascontiguousarray(self.w[k].T), dz)
                keep = kept[k - 1]
                dz = dz if keep is None else dz * keep
        return xs, dzs

    def typical(self, error: Reals) -> float:
        """KINK standard deviations of an error, scaled to the implementation's dtype."""
        return KINK * self.scale * math.sqrt(np.mean(error * error))

    def add_gradients(self, xs: list[Singles], dzs: list[Singles]) -> None:
        """Add the products of all samples to dw and db one by one, in the order of each pass."""
        for k, (x, dz) in enumerate(zip(xs, dzs, strict=True)):
            x_squares, dz_squares = (np.square(q[0], dtype=np.float64) for q in (x, dz))
            energy = x_squares.sum(axis=1)
            self.samples[k].add(np.sqrt(dz_squares.sum(axis=0) * x_squares.sum(axis=0)))
            self.units[k].add(np.sqrt(dz_squares))
            if self.columns[k] is None:
                self.columns[k] = np.sort(np.argsort(-energy)[: self.dw[k].shape[2]])
            self.energy[k] += energy
            self.largest[k] = max(self.largest[k], float(np.abs(x[0]).max()))
            p = np.ascontiguousarray(self.rounded(dz).transpose(2, 0, 1))[:, :, :, None]  # (m, R, n, 1)
            q = np.ascontiguousarray(x[:, self.columns[k]].transpose(2, 0, 1))[:, :, None, :]
            self.dw[k] = sequential(p, q, self.dw[k])
            self.db[k] = sequential(p, np.ones((len(p), 1, 1, 1), np.float32), self.db[k])

    def limits(self, dw: Sequence[Reals], db: Sequence[Reals]) -> Limits:
        """The limits for the whole batch; `dw` and `db` are the exact sums over it."""
        R, m = self.R, self.m
        # all contributions of a sample share its own error: their degrees of freedom are at most the width of
        # its narrowest layer, and at most its units with a dz, which are few where a layer is saturated
        distinct = len(np.unique(np.concatenate(self.hashes)))
        fewest = min((units.freedom for units in self.units if units.fourths > 0), default=0.0)
        slack = 1.0 if distinct * COPIES <= m else SLACK

        def limit(errors: Errors, square: float, freedom: float, shared: float, lost: float) -> float:
            if not math.isfinite(square):
                return math.inf  # the numbers are beyond the range of float32
            if square == 0:
                return lost
            nu = max(1.0, min(errors.freedom / R, shared))
            ratio = variance_ratio(nu, max(1.0, R * min(freedom / R, shared)))
            return slack * math.sqrt(ratio * square / R) * self.scale + lost

        found_dw, found_db = [], []
        kinks = [joined(parts, m) for parts in self.kinks]
        for k in range(self.network.layers):
            w_errors, b_errors = Errors(), Errors()
            columns = self.columns[k]
            shared = min(self.samples[k].freedom * self.narrowest, fewest) * distinct / m
            with np.errstate(all="ignore"):
                w_errors.add(self.dw[k] - dw[k][:, columns])
                b_errors.add(self.db[k] - db[k])
            # the error of a column is proportional to its inputs; a bias is a weight whose input is 1
            per_input = w_errors.squares / max(float(self.energy[k][columns].sum()), math.ulp(0.0))
            weights, biases = per_input * float(self.energy[k].sum()), max(per_input * m, b_errors.squares)
            lost = self.eta * m * math.sqrt(dw[k].size)
            if kinks[k] is None:
                lost = math.inf
            freedom = max(w_errors.freedom, b_errors.freedom)
            found_dw.append(
                limit(w_errors, weights, w_errors.freedom, shared, lost * (1 + self.largest[k])) / m
            )
            found_db.append(limit(b_errors, biases, freedom, shared, lost) / m)
        # where most units are saturated, all later layers share the errors of the few that are not
        carried = min((errors.freedom / R for errors in self.inputs if errors.fourths > 0), default=math.inf)
        output = self.output.squares * m / self.passed
        lost = self.eta * math.sqrt(self.network.widths[-1] * m)
        return Limits(
            limit(self.output, output, self.output.freedom, min(distinct * self.narrowest, carried), lost),
            tuple(found_dw),
            tuple(found_db),
            tuple(kinks),
            tuple(q and dataclasses.replace(q, x=np.ones((1, q.x.shape[1]))) for q in kinks),
        )
