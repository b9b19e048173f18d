"""A small correct implementation, and wrong ones that differ from it in one place each.

Every mutant is a mistake that has occurred in practice: in a backward pass, in a tile loop, in a copy that
was not updated, in an export. The referee has to find each of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, TypeAlias

import numpy as np

from impls.interface import Network, Problem, Result

Array: TypeAlias = Any  # of the implementation's dtype


class Sound:
    """No mistake: the batch as matrices, one method for each thing that can go wrong."""

    idea: ClassVar[str] = "a batch as matrices, one method for each thing that can go wrong"
    differs_from: ClassVar[str | None] = "numpy"
    dtypes: ClassVar[tuple[str, ...]] = ("float64", "float32")
    same_order: ClassVar[bool] = False
    fast_math: ClassVar[str] = "none"
    layout: ClassVar[str] = "C-contiguous matrices, samples in columns"

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.network, self.dtype, self.m = problem.network, dtype, problem.batch_size
        self.L = problem.network.layers
        self.dw: list[Array] = []
        self.db: list[Array] = []
        self.w = [w.astype(dtype) for w in problem.weights]
        self.b = [b.astype(dtype) for b in problem.biases]
        self.X, self.Y = problem.X.astype(dtype), problem.Y.astype(dtype)
        self.batches = problem.batches
        self.batch = 0
        self.compile_seconds = 0.0
        self.gradients()

    def columns(self) -> slice:
        return slice(self.batch * self.m, (self.batch + 1) * self.m)

    def z(self, k: int, x: Array) -> Array:
        return self.w[k] @ x + self.b[k]

    def sigmoid(self, z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    def softmax(self, z: Array) -> Array:
        e = np.exp(z - z.max(axis=0))
        return e / e.sum(axis=0)

    def relu(self, z: Array) -> Array:
        return np.maximum(z, 0)

    def activation(self, g: str, z: Array) -> Array:
        if g == "identity":
            return z
        if g == "tanh":
            return np.tanh(z)
        return {"sigmoid": self.sigmoid, "relu": self.relu, "softmax": self.softmax}[g](z)

    def slope(self, g: str, z: Array, a: Array) -> Array:
        if g == "sigmoid":
            return a * (1 - a)
        if g == "tanh":
            return 1 - a * a
        if g == "relu":
            return (a > 0).astype(a.dtype)
        return np.ones_like(a)

    def forward(self) -> None:
        self.x: list[Array] = []
        self.zs: list[Array] = []
        self.a: list[Array] = []
        a = self.X[:, self.columns()]
        self.y = self.Y[:, self.columns()]
        with np.errstate(all="ignore"):
            for k, g in enumerate(self.network.activations):
                self.x.append(a)
                self.zs.append(self.z(k, a))
                a = self.activation(g, self.zs[k])
                self.a.append(a)

    def last_dz(self) -> Array:
        d = self.a[-1] - self.y
        if self.network.loss == "mean_squared_error":
            d = d * self.slope(self.network.activations[-1], self.zs[-1], self.a[-1])
        return d

    def da_prev(self, k: int, dz: Array) -> Array:
        return self.w[k].T @ dz

    def dz(self, k: int, da: Array) -> Array:
        return da * self.slope(self.network.activations[k], self.zs[k], self.a[k])

    def average(self, total: Array) -> Array:
        return total / self.m

    def layer_dw(self, k: int, dz: Array) -> Array:
        return self.average(dz @ self.x[k].T)

    def layer_db(self, k: int, dz: Array) -> Array:
        return self.average(dz.sum(axis=1, keepdims=True))

    def gradients(self) -> None:
        self.forward()
        self.backward()

    def backward(self) -> None:
        self.dw = list(self.w)
        self.db = list(self.b)
        with np.errstate(all="ignore"):
            dz = self.last_dz()
            for k in range(self.L - 1, -1, -1):
                self.dw[k], self.db[k] = self.layer_dw(k, dz), self.layer_db(k, dz)
                if k:
                    dz = self.dz(k - 1, self.da_prev(k, dz))

    def update(self, learning_rate: float) -> None:
        rate = np.dtype(self.dtype).type(learning_rate)
        self.w = [w - rate * dw for w, dw in zip(self.w, self.dw, strict=True)]
        self.b = [b - rate * db for b, db in zip(self.b, self.db, strict=True)]

    def next_batch(self) -> None:
        self.batch = (self.batch + 1) % self.batches

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.update(learning_rate)
        self.next_batch()

    def train(self, steps: int, learning_rate: float) -> None:
        for _ in range(steps):
            self.step(learning_rate)

    def loss(self) -> float:
        z, a, y, m = self.zs[-1].astype(float), self.a[-1].astype(float), self.y.astype(float), self.m
        if self.network.loss == "mean_squared_error":
            return float(((a - y) ** 2).sum() / (2 * m))
        if self.network.loss == "binary_cross_entropy":
            return float((np.logaddexp(0, z) - y * z).sum() / m)
        s = z - z.max(axis=0)
        return float((y * (np.log(np.exp(s).sum(axis=0)) - s)).sum() / m)

    def export(self) -> Result:
        def wide(arrays: list[Array]) -> tuple[Array, ...]:
            return tuple(np.array(array, np.float64) for array in arrays)

        return Result(
            loss=self.loss(),
            output=np.array(self.a[-1], np.float64),
            dw=wide(self.dw),
            db=wide(self.db),
            weights=wide(self.w),
            biases=wide(self.b),
        )


# Mistakes of the forward pass


class BiasLeftOut(Sound):
    def z(self, k: int, x: Array) -> Array:
        return self.w[k] @ x


class BiasOfTheFirstUnitForAll(Sound):
    def z(self, k: int, x: Array) -> Array:
        return self.w[k] @ x + self.b[k][0, 0]


class SoftmaxUnshifted(Sound):
    def softmax(self, z: Array) -> Array:
        e = np.exp(z)
        return e / e.sum(axis=0)


class SoftmaxOverTheBatch(Sound):
    def softmax(self, z: Array) -> Array:
        e = np.exp(z - z.max())
        return e / e.sum(axis=1, keepdims=True)


class ReluLeaks(Sound):
    def relu(self, z: Array) -> Array:
        return np.where(z > 0, z, z.dtype.type(1e-6) * z)


class OutputClipped(Sound):
    """The output is clipped before its logarithm is taken."""

    def softmax(self, z: Array) -> Array:
        return np.clip(super().softmax(z), 1e-7, 1 - 1e-7).astype(z.dtype)

    def sigmoid(self, z: Array) -> Array:
        return np.clip(super().sigmoid(z), 1e-7, 1 - 1e-7).astype(z.dtype)


class CoarseExponential(Sound):
    """A table and a straight line: right to 5 digits."""

    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z) * z.dtype.type(1 + 1e-5)


# Mistakes of the derivatives


class SigmoidSlopeOfZ(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return z * (1 - z) if g == "sigmoid" else super().slope(g, z, a)


class SigmoidSlopeLeftOut(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return np.ones_like(a) if g == "sigmoid" else super().slope(g, z, a)


class TanhSlopeOfZ(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return 1 - z * z if g == "tanh" else super().slope(g, z, a)


class TanhSlopeUnsquared(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return 1 - a if g == "tanh" else super().slope(g, z, a)


class ReluSlopeAtZero(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return (z >= 0).astype(a.dtype) if g == "relu" else super().slope(g, z, a)


class ReluSlopeLeftOut(Sound):
    def slope(self, g: str, z: Array, a: Array) -> Array:
        return np.ones_like(a) if g == "relu" else super().slope(g, z, a)


class ReluSlopeOfTheLayerBelow(Sound):
    """The right mask at the wrong layer, where shapes allow."""

    def dz(self, k: int, da: Array) -> Array:
        g = self.network.activations[k]
        other = self.x[k]
        if g == "relu" and other.shape == da.shape:
            return da * (other > 0)
        return super().dz(k, da)


class CrossEntropySlopeTwice(Sound):
    def last_dz(self) -> Array:
        a = self.a[-1]
        d = a - self.y
        return d if self.network.activations[-1] == "identity" else d * a * (1 - a)


class SquaredErrorWithoutSlope(Sound):
    def last_dz(self) -> Array:
        return self.a[-1] - self.y


class SquaredErrorTwice(Sound):
    def last_dz(self) -> Array:
        return 2 * super().last_dz() if self.network.loss == "mean_squared_error" else super().last_dz()


# Mistakes of the products


class WeightTransposed(Sound):
    def da_prev(self, k: int, dz: Array) -> Array:
        w = self.w[k]
        return w @ dz if w.shape[0] == w.shape[1] else super().da_prev(k, dz)


class WeightReshaped(Sound):
    """Row-major memory read as if it were transposed."""

    def da_prev(self, k: int, dz: Array) -> Array:
        return self.w[k].reshape(self.w[k].shape[::-1]) @ dz


class GradientTransposed(Sound):
    def layer_dw(self, k: int, dz: Array) -> Array:
        dw = super().layer_dw(k, dz)
        return dw.T.copy() if dw.shape[0] == dw.shape[1] else dw


class OutputForInput(Sound):
    """dw from the layer's own a, where shapes allow."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        x = self.a[k] if self.a[k].shape == self.x[k].shape else self.x[k]
        return self.average(dz @ x.T)


class AverageLeftOut(Sound):
    def average(self, total: Array) -> Array:
        return total


class AverageTwice(Sound):
    def average(self, total: Array) -> Array:
        return total / self.m**2


class AverageOverOutputs(Sound):
    def average(self, total: Array) -> Array:
        return total / (self.m * self.network.widths[-1])


class AverageOfBiasesLeftOut(Sound):
    def layer_db(self, k: int, dz: Array) -> Array:
        return dz.sum(axis=1, keepdims=True)


class AverageUnbiased(Sound):
    """Divided by m - 1, as a variance is."""

    def average(self, total: Array) -> Array:
        return total / max(self.m - 1, 1)


class BiasOfOneSample(Sound):
    def layer_db(self, k: int, dz: Array) -> Array:
        return dz[:, :1].copy()


class LayerZeroed(Sound):
    def layer_dw(self, k: int, dz: Array) -> Array:
        return super().layer_dw(k, dz) * (k != 0)


class LayerBiasZeroed(Sound):
    def layer_db(self, k: int, dz: Array) -> Array:
        return super().layer_db(k, dz) * (k != self.L - 1)


class LayerSignFlipped(Sound):
    def layer_dw(self, k: int, dz: Array) -> Array:
        return super().layer_dw(k, dz) * (-1 if k == self.L - 1 else 1)


class Scaled(Sound):
    def average(self, total: Array) -> Array:
        return super().average(total) * total.dtype.type(1.001)


class OneElementOff(Sound):
    def layer_dw(self, k: int, dz: Array) -> Array:
        dw = super().layer_dw(k, dz)
        dw[-1, -1] *= dw.dtype.type(1.0005)
        return dw


# Mistakes of tiles, blocks and precision


class TileOffByOne(Sound):
    """The samples of dz and of x, one apart."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        return self.average(dz @ np.roll(self.x[k], 1, axis=1).T)


class LastBlockForgotten(Sound):
    BLOCK = 8

    def layer_dw(self, k: int, dz: Array) -> Array:
        whole = self.m - self.m % self.BLOCK if self.m > self.BLOCK else self.m
        return self.average(dz[:, :whole] @ self.x[k][:, :whole].T)


class LastBlockTwice(Sound):
    BLOCK = 8

    def layer_db(self, k: int, dz: Array) -> Array:
        tail = dz[:, self.m - self.m % self.BLOCK :]
        return self.average(dz.sum(axis=1, keepdims=True) + tail.sum(axis=1, keepdims=True))


class LastUnitForgotten(Sound):
    """A loop over the units of the layer above that ends one early."""

    def da_prev(self, k: int, dz: Array) -> Array:
        n = max(len(dz) - 1, 1)
        return self.w[k][:n].T @ dz[:n]


class SinglePrecisionInside(Sound):
    """Sums in float32 inside a float64 implementation."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        return self.average((dz.astype("f4") @ self.x[k].T.astype("f4")).astype(dz.dtype))

    dtypes = ("float64",)


class SinglePrecisionForward(Sound):
    def z(self, k: int, x: Array) -> Array:
        return (self.w[k].astype("f4") @ x.astype("f4")).astype(x.dtype) + self.b[k]

    dtypes = ("float64",)


class HalfPrecisionBias(Sound):
    def layer_db(self, k: int, dz: Array) -> Array:
        with np.errstate(all="ignore"):
            return super().layer_db(k, dz).astype("f2").astype(dz.dtype)


class DoublePrecisionInside(Sound):
    """float64 where float32 was asked for: more precise, and not what is raced."""

    dtypes = ("float32",)

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, "float64", threads)


# Mistakes of state


class BatchNeverMoves(Sound):
    def next_batch(self) -> None:
        pass


class BatchMovesTwice(Sound):
    def next_batch(self) -> None:
        self.batch = (self.batch + 2) % self.batches


class TargetsOfTheFirstBatch(Sound):
    def last_dz(self) -> Array:
        self.y = self.Y[:, : self.m]
        return super().last_dz()


class StaleActivation(Sound):
    """The output layer's x is that of the pass before, once a pass has been."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        kept = getattr(self, "kept", None)
        x = self.x[k]
        if k == self.L - 1:
            self.kept = x
            x = x if kept is None else kept
        return self.average(dz @ x.T)


class StaleTranspose(Sound):
    """A copy of w, transposed once at construction, on the way back."""

    def da_prev(self, k: int, dz: Array) -> Array:
        if not hasattr(self, "wt"):
            self.wt = [w.T.copy() for w in self.w]
        return self.wt[k] @ dz


class ForwardOfOldWeights(Sound):
    def z(self, k: int, x: Array) -> Array:
        if not hasattr(self, "old"):
            self.old = [w.copy() for w in self.w]
        return self.old[k] @ x + self.b[k]


class ForwardDoesNothing(Sound):
    def forward(self) -> None:
        if not hasattr(self, "a") or getattr(self, "inside", False):
            super().forward()

    def gradients(self) -> None:
        self.inside = True
        super().gradients()
        self.inside = False


class GradientsAccumulate(Sound):
    """Not zeroed between passes."""

    def layer_db(self, k: int, dz: Array) -> Array:
        total = getattr(self, "total", {})
        total[k] = total.get(k, 0) + super().layer_db(k, dz)
        self.total = total
        return total[k]


class UpdateAscends(Sound):
    def update(self, learning_rate: float) -> None:
        super().update(-learning_rate)


class UpdateForgetsBiases(Sound):
    def update(self, learning_rate: float) -> None:
        kept = self.b
        super().update(learning_rate)
        self.b = kept


class UpdateByTheSum(Sound):
    def update(self, learning_rate: float) -> None:
        super().update(learning_rate * self.m)


class UpdateTwice(Sound):
    def update(self, learning_rate: float) -> None:
        super().update(learning_rate)
        super().update(learning_rate)


class UpdateAtHalfTheRate(Sound):
    """A rate rounded to half precision."""

    def update(self, learning_rate: float) -> None:
        super().update(float(np.float16(learning_rate)) * (1 - 2.0**-9))


class BackwardThroughNewWeights(Sound):
    """A fused update: the layer's weights change before da_prev is taken."""

    def step(self, learning_rate: float) -> None:
        self.forward()
        dz = self.last_dz()
        rate = np.dtype(self.dtype).type(learning_rate)
        for k in range(self.L - 1, -1, -1):
            self.dw[k], self.db[k] = self.layer_dw(k, dz), self.layer_db(k, dz)
            self.w[k] = self.w[k] - rate * self.dw[k]
            self.b[k] = self.b[k] - rate * self.db[k]
            if k:
                dz = self.dz(k - 1, self.da_prev(k, dz))
        self.next_batch()


# Mistakes of the cost


class LossNotHalved(Sound):
    def loss(self) -> float:
        return super().loss() * (2 if self.network.loss == "mean_squared_error" else 1)


class LossOverOutputs(Sound):
    """A cost averaged one way and its gradient another."""

    def loss(self) -> float:
        return super().loss() / self.network.widths[-1]


class LossClipped(Sound):
    """-ln(a + 1e-7), lest it be infinite."""

    def loss(self) -> float:
        if self.network.loss != "softmax_cross_entropy":
            return super().loss()
        return float(-(self.y * np.log(self.a[-1].astype(float) + 1e-7)).sum() / self.m)


# Mistakes of the export


class ChangedResult(Sound):
    def change(self, result: Result) -> Result:
        raise NotImplementedError

    def export(self) -> Result:
        return self.change(super().export())


class NaNInGradient(ChangedResult):
    def change(self, result: Result) -> Result:
        result.dw[-1][0, 0] = np.nan
        return result


class InfinityInBias(ChangedResult):
    def change(self, result: Result) -> Result:
        result.db[0][-1, 0] = np.inf
        return result


class NaNLoss(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, loss=float("nan"))


class WrongShape(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(
            result, dw=tuple(dw.T if dw.shape[0] != dw.shape[1] else dw[:, :-1] for dw in result.dw)
        )


class FlatBias(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, db=tuple(db[:, 0] for db in result.db))


class WrongDtype(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, dw=tuple(dw.astype("f4") for dw in result.dw))


class MissingLayer(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, dw=result.dw[1:], db=result.db[1:])


class LayersReversed(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, db=result.db[::-1])


class OutputTransposed(ChangedResult):
    def change(self, result: Result) -> Result:
        return dataclasses.replace(result, output=result.output.T.copy())


class LiveViews(Sound):
    """Its own arrays instead of copies."""

    def export(self) -> Result:
        return dataclasses.replace(super().export(), weights=tuple(self.w), biases=tuple(self.b))

    dtypes = ("float64",)


ABSTRACT = (Sound, ChangedResult)


def _all(root: type[Sound]) -> Iterator[type[Sound]]:
    for cls in root.__subclasses__():
        yield cls
        yield from _all(cls)


MUTANTS = tuple(cls for cls in _all(Sound) if cls not in ABSTRACT)


def _problem(
    widths: tuple[int, ...],
    activations: tuple[str, ...],
    loss: str,
    m: int,
    batches: int = 3,
    scale: float = 1.0,
    seed: int = 0,
) -> Problem:
    return Problem.random(Network(widths, activations, loss), m * batches, m, seed=seed, scale=scale)


def _with_zeros() -> Problem:
    """Relu units at exactly 0: samples of zeros, and biases of zero in the first layer."""
    given = _problem((5, 6, 6, 3), ("relu", "relu", "identity"), "mean_squared_error", 12)
    X = given.X.copy()
    X[:, ::3] = 0
    biases = (np.zeros_like(given.biases[0]), *given.biases[1:])
    return Problem(given.network, given.weights, biases, X, given.Y, given.batch_size)


def battery() -> tuple[Problem, ...]:
    """Problems that between them show every mistake: each activation and cost, square layers and others, a
    batch that is no multiple of any block, exact zeros, saturation.
    """
    return (
        _problem((7, 6, 6, 5), ("sigmoid", "tanh", "sigmoid"), "mean_squared_error", 13),
        _problem((6, 6, 6, 6), ("tanh", "relu", "softmax"), "softmax_cross_entropy", 21),
        _problem((4, 9, 3), ("relu", "sigmoid"), "binary_cross_entropy", 11),
        _with_zeros(),
        _problem((5, 8, 8, 4), ("relu", "relu", "softmax"), "softmax_cross_entropy", 10, scale=30.0),
        _problem((3, 4), ("softmax",), "softmax_cross_entropy", 9, scale=1000.0),
    )
