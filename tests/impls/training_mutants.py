"""Wrong ways to train, which differ from the right one (`SoundTraining`) in one place each: in dropout, in
L2, in an optimizer, in its state, in an export. The referee has to see each of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from impls.interface import Problem, Result, Training
from impls.kernels import masks
from tests.impls.trained import Array, SoundTraining

# Mistakes of dropout


class MaskOfTheLastStep(SoundTraining):
    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, max(self.t - 1, 0), k)


class MaskOfTheNextStep(SoundTraining):
    """The steps counted from 1."""

    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, self.t + 1, k)


class MaskOfTheFirstStep(SoundTraining):
    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, 0, k)


class MaskOfTheBatch(SoundTraining):
    """The same in every epoch."""

    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, self.batch, k)


class MaskOfAnotherLayer(SoundTraining):
    """The layers counted from 1."""

    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, self.t, k + 1)


class MaskOfTheFirstLayerForAll(SoundTraining):
    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, self.t, 0)


class SeedIgnored(SoundTraining):
    def key(self, k: int) -> Any:
        return masks.key(0, self.t, k)


class MaskDrawnAnewByEveryCall(SoundTraining):
    """`gradients` moves on to another mask."""

    drawn = 0

    def gradients(self) -> None:
        super().gradients()
        self.drawn += 1

    def key(self, k: int) -> Any:
        return masks.key(self.training.seed, max(self.drawn - 1, 0), k)


class IndexTransposed(SoundTraining):
    """Sample by sample."""

    def index(self, shape: tuple[int, int]) -> Array:
        return np.ascontiguousarray(super().index(shape[::-1]).T)


class IndexOfTheWholeData(SoundTraining):
    """Samples counted over all batches."""

    def index(self, shape: tuple[int, int]) -> Array:
        n, m = shape
        rows = np.arange(n, dtype=np.uint32)[:, None] * np.uint32(self.m * self.batches)
        return rows + np.uint32(self.batch * self.m) + np.arange(m, dtype=np.uint32)


class InnerHashLeftOut(SoundTraining):
    def hashed(self, k: int, shape: tuple[int, int]) -> Array:
        return self.hash(self.index(shape) ^ np.uint32(self.key(k)))


class LastShiftLeftOut(SoundTraining):
    def hash(self, x: Array) -> Array:
        x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
        return (x ^ (x >> 15)) * np.uint32(0x846CA68B)


class SignedShift(SoundTraining):
    """Signed 32-bit integers, whose shift to the right keeps the sign."""

    def hash(self, x: Array) -> Array:
        s = x.astype(np.int32)
        s = (s ^ (s >> 16)) * np.int32(0x7FEB352D)
        s = (s ^ (s >> 15)) * np.uint32(0x846CA68B).astype(np.int32)
        return (s ^ (s >> 16)).astype(np.uint32)


class KeepsWhatIsToBeDropped(SoundTraining):
    def kept(self, k: int, shape: tuple[int, int]) -> Array:
        return ~super().kept(k, shape)


class KeepsTheShareDropped(SoundTraining):
    """`dropout` taken for the share that is kept."""

    def kept(self, k: int, shape: tuple[int, int]) -> Array:
        return self.hashed(k, shape) >= np.uint32(masks.threshold(1 - self.rates[k]))


class RatesReversed(SoundTraining):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        self.rates = self.rates[::-1]
        self.gradients()


class FirstRateForAll(SoundTraining):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        self.rates = self.rates[:1] * len(self.rates)
        self.gradients()


class OneUnitKept(SoundTraining):
    """A single number of a mask is wrong."""

    def kept(self, k: int, shape: tuple[int, int]) -> Array:
        kept = super().kept(k, shape)
        kept[0, 0] ^= k == 0
        return kept


class WholeUnitsDropped(SoundTraining):
    """One decision for all samples of a unit."""

    def kept(self, k: int, shape: tuple[int, int]) -> Array:
        return np.broadcast_to(super().kept(k, shape)[:, :1], shape)


class MaskNotScaled(SoundTraining):
    def scale(self, k: int) -> Array:
        return self.number(1.0)


class MaskScaledByTheShareDropped(SoundTraining):
    def scale(self, k: int) -> Array:
        return self.number(1 / self.rates[k])


class MaskNotAppliedBackward(SoundTraining):
    def drop_backward(self, k: int, da: Array) -> Array:
        return da


class MaskNotScaledBackward(SoundTraining):
    def drop_backward(self, k: int, da: Array) -> Array:
        return np.where(self.kept(k, da.shape), da, da.dtype.type(0)) if self.rates[k] else da


class MaskScaledBackwardOnly(SoundTraining):
    """The scale without the mask."""

    def drop_backward(self, k: int, da: Array) -> Array:
        return da * self.scale(k)


class MaskInForward(SoundTraining):
    def forward(self) -> None:
        self.propagate(dropout=True)


class ScaledInForward(SoundTraining):
    """Dropout as in the first paper, which scales activations in use instead of in training."""

    def scale(self, k: int) -> Array:
        return self.number(1.0)

    def forward(self) -> None:
        self.x, self.zs, self.a = [], [], []
        a, self.y = self.X[:, self.columns()], self.Y[:, self.columns()]
        for k, g in enumerate(self.network.activations):
            self.x.append(a)
            self.zs.append(self.z(k, a))
            self.a.append(self.activation(g, self.zs[k]))
            a = self.a[k] * self.number(1 - self.rates[k]) if k < self.L - 1 else self.a[k]


class InputsDroppedToo(SoundTraining):
    def z(self, k: int, x: Array) -> Array:
        if k == 0 and any(self.rates):
            x = np.where(self.hashed(9, x.shape) >= 2**30, x, x.dtype.type(0))
        return super().z(k, x)


class OutputsDroppedToo(SoundTraining):
    def propagate(self, dropout: bool) -> None:
        super().propagate(dropout)
        if dropout and any(self.rates):
            self.a[-1] = np.where(self.hashed(self.L, self.a[-1].shape) >= 2**31, self.a[-1], self.number(0))


class SlopeOfWhatWasDropped(SoundTraining):
    """g' from the scaled activations."""

    def dz(self, k: int, da: Array) -> Array:
        return da * self.slope(self.network.activations[k], self.zs[k], self.drop(k, self.a[k]))


class DropoutOfTheGradientsInput(SoundTraining):
    """dw from activations that were not dropped."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        x = self.a[k - 1] if k else self.x[k]
        return self.average(dz @ x.T)


# Mistakes of L2


class L2OnBiases(SoundTraining):
    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d + self.number(self.training.l2) * p


class L2Ignored(SoundTraining):
    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d


class L2Doubled(SoundTraining):
    """The derivative of l2 w^2."""

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d + self.number(2 * self.training.l2) * p if self.is_weight(j) else d


class L2Averaged(SoundTraining):
    """Divided by m, as gradients are."""

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d + self.number(self.training.l2 / self.m) * p if self.is_weight(j) else d


class L2OfTheFirstLayerOnly(SoundTraining):
    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return super().gradient(j, p, d) if j == 0 else d


class L1(SoundTraining):
    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d + self.number(self.training.l2) * np.sign(p) if self.is_weight(j) else d


class L2Decoupled(SoundTraining):
    """Taken from the weights beside the optimizer, as adamw does with its decay."""

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        return d

    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        decayed = super().decayed(j, p, rate)
        l2 = self.number(self.training.l2)
        plain = self.training.optimizer == "gradient_descent"  # there it is the same
        return decayed - rate * l2 * p if self.is_weight(j) and not plain else decayed


class L2InTheGradients(SoundTraining):
    """dw has it, and so the step has it twice."""

    def layer_dw(self, k: int, dz: Array) -> Array:
        return super().layer_dw(k, dz) + self.number(self.training.l2) * self.w[k]


class L2InTheLoss(SoundTraining):
    def loss(self) -> float:
        squares = sum(float((w.astype(float) ** 2).sum()) for w in self.w)
        return super().loss() + self.training.l2 / 2 * squares


# Mistakes of optimizers


class TrainingIgnored(SoundTraining):
    """Plain descent for every training."""

    def moved(self, j: int, p: Array, d: Array, rate: Array) -> Array:
        return p - rate * d


class ConstantsIgnored(SoundTraining):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        given = problem.training
        self.training = Training(given.optimizer, given.l2, given.dropout, given.seed)


class RateInTheVelocity(SoundTraining):
    """v = mu v + rate g."""

    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.number(self.training.mu) * self.v[j] + rate * g
        return self.v[j]


class VelocityOfTheOtherSign(SoundTraining):
    """v = mu v - rate g, as others define it."""

    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.number(self.training.mu) * self.v[j] - rate * g
        return -self.v[j]


class Dampened(SoundTraining):
    """v = mu v + (1 - mu) g."""

    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.mean(self.training.mu, self.v[j], g)
        return rate * self.v[j]


class MomentumOfTheOldVelocity(SoundTraining):
    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        old = self.v[j]
        super().momentum(j, g, rate)
        return rate * (g + old)


class VelocityNeverDecays(SoundTraining):
    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.v[j] + g
        return rate * self.v[j]


class NesterovAsMomentum(SoundTraining):
    def nesterov(self, j: int, g: Array, rate: Array) -> Array:
        return self.momentum(j, g, rate)


class MomentumAsNesterov(SoundTraining):
    def momentum(self, j: int, g: Array, rate: Array) -> Array:
        return self.nesterov(j, g, rate)


class NesterovOfTheOldVelocity(SoundTraining):
    def nesterov(self, j: int, g: Array, rate: Array) -> Array:
        mu, old = self.number(self.training.mu), self.v[j]
        self.v[j] = mu * old + g
        return rate * (g + mu * old)


class NesterovTwice(SoundTraining):
    """g + mu (g + mu v)."""

    def nesterov(self, j: int, g: Array, rate: Array) -> Array:
        mu = self.number(self.training.mu)
        super().nesterov(j, g, rate)
        return rate * (g + mu * (g + mu * self.v[j]))


class RmspropWithoutTheRoot(SoundTraining):
    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        super().rmsprop(j, g, rate)
        return rate * g / (self.v[j] + self.number(self.training.eps))


class RmspropSums(SoundTraining):
    """v = rho v + g^2, not an average."""

    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.number(self.training.rho) * self.v[j] + g * g
        return rate * g / (np.sqrt(self.v[j]) + self.number(self.training.eps))


class RmspropOfTheOldAverage(SoundTraining):
    """From the second step on, when there is an old average."""

    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        old = self.v[j]
        change = super().rmsprop(j, g, rate)
        return change if not self.t else rate * g / (np.sqrt(old) + self.number(self.training.eps))


class RmspropEpsilonInsideTheRoot(SoundTraining):
    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        super().rmsprop(j, g, rate)
        return rate * g / np.sqrt(self.v[j] + self.number(self.training.eps))


class RmspropOfMagnitudes(SoundTraining):
    """v averages |g|."""

    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j] = self.mean(self.training.rho, self.v[j], np.abs(g))
        return rate * g / (self.v[j] + self.number(self.training.eps))


class Adam(SoundTraining):
    """adam by the parts that its mutants change."""

    def corrections(self) -> tuple[float, float]:
        return self.correction(self.training.b1), self.correction(self.training.b2)

    def root(self, v: Array, eps: Array) -> Array:
        return np.sqrt(v) + eps

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        c1, c2 = map(self.number, self.corrections())
        return rate * (self.m1[j] / c1) / self.root(self.v[j] / c2, self.number(self.training.eps))


class BiasCorrectionLeftOut(Adam):
    def corrections(self) -> tuple[float, float]:
        return 1.0, 1.0


class BiasCorrectionOfTheFirstMomentOnly(Adam):
    def corrections(self) -> tuple[float, float]:
        return self.correction(self.training.b1), 1.0


class BiasCorrectionOfTheSecondMomentOnly(Adam):
    def corrections(self) -> tuple[float, float]:
        return 1.0, self.correction(self.training.b2)


class BiasCorrectionsSwapped(Adam):
    def corrections(self) -> tuple[float, float]:
        return self.correction(self.training.b2), self.correction(self.training.b1)


class BiasCorrectionOfTheFirstStep(Adam):
    """A stale t."""

    def corrections(self) -> tuple[float, float]:
        return 1 - self.training.b1, 1 - self.training.b2


class BiasCorrectionOfTheStepBefore(Adam):
    """A stale t, but for the first step, where it would divide by 0."""

    def correction(self, b: float) -> float:
        return 1 - b ** max(self.t, 1)


class BiasCorrectionOfTheNextStep(Adam):
    def correction(self, b: float) -> float:
        return 1 - b ** (self.t + 2)


class BiasCorrectionStartsAnewEachEpoch(Adam):
    def correction(self, b: float) -> float:
        return 1 - b ** (self.t % self.batches + 1)


class BiasCorrectionInSinglePrecision(Adam):
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def correction(self, b: float) -> float:
        return float(np.float32(1) - np.float32(b) ** np.float32(self.t + 1))


class EpsilonInsideTheRoot(Adam):
    def root(self, v: Array, eps: Array) -> Array:
        return np.sqrt(v + eps)


class EpsilonSquaredInsideTheRoot(Adam):
    def root(self, v: Array, eps: Array) -> Array:
        return np.sqrt(v + eps * eps)


class EpsilonLeftOut(Adam):
    def root(self, v: Array, eps: Array) -> Array:
        return np.maximum(np.sqrt(v), eps)


class EpsilonHat(SoundTraining):
    """sqrt(c2) is taken out of the sum, and eps stays as it is: Kingma and Ba's faster form."""

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        c1, c2 = self.correction(self.training.b1), self.correction(self.training.b2)
        of_step = rate * self.number(np.sqrt(c2) / c1)
        return of_step * self.m1[j] / (np.sqrt(self.v[j]) + self.number(self.training.eps))


class AdamWithoutTheRoot(Adam):
    def root(self, v: Array, eps: Array) -> Array:
        return v + eps


class AdamByTheGradient(SoundTraining):
    """The first moment is kept, and not used."""

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        self.moments(j, g)
        v = self.v[j] / self.number(self.correction(self.training.b2))
        return rate * g / (np.sqrt(v) + self.number(self.training.eps))


class BetasSwapped(SoundTraining):
    def moments(self, j: int, g: Array) -> None:
        self.m1[j] = self.mean(self.training.b2, self.m1[j], g)
        self.v[j] = self.mean(self.training.b1, self.v[j], g * g)


class SecondMomentOfTheFirst(SoundTraining):
    def moments(self, j: int, g: Array) -> None:
        super().moments(j, g)
        self.v[j] = self.mean(self.training.b2, self.v[j], self.m1[j] * self.m1[j])


class SecondMomentCentred(SoundTraining):
    """Of g - m, as AdaBelief has it."""

    def moments(self, j: int, g: Array) -> None:
        old = self.v[j]
        super().moments(j, g)
        self.v[j] = self.mean(self.training.b2, old, (g - self.m1[j]) ** 2)


class LargestSecondMoment(SoundTraining):
    """It never shrinks, as AMSGrad has it."""

    def moments(self, j: int, g: Array) -> None:
        old = self.v[j]
        super().moments(j, g)
        self.v[j] = np.maximum(old, self.v[j])


class LazyWhereNothingCame(SoundTraining):
    """Elements of a gradient of 0 are left as they are, moments and all."""

    def adam(self, j: int, g: Array, rate: Array) -> Array:
        m, v = self.m1[j], self.v[j]
        change = super().adam(j, g, rate)
        self.m1[j], self.v[j] = np.where(g == 0, m, self.m1[j]), np.where(g == 0, v, self.v[j])
        return np.where(g == 0, g.dtype.type(0), change)


class WeightsOfTheAverageInSinglePrecision(SoundTraining):
    """1 - float32(b): 500 roundings off where b is 0.999."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def mean(self, b: float, old: Array, new: Array) -> Array:
        beta = self.number(b)
        return beta * old + (self.number(1) - beta) * new


class HalfPrecisionMoments(SoundTraining):
    def moments(self, j: int, g: Array) -> None:
        super().moments(j, g)
        self.m1[j] = self.m1[j].astype("f2").astype(g.dtype)


class HalfPrecisionChange(SoundTraining):
    def adam(self, j: int, g: Array, rate: Array) -> Array:
        return super().adam(j, g, rate).astype("f2").astype(g.dtype)


class SinglePrecisionUpdate(SoundTraining):
    dtypes: ClassVar[tuple[str, ...]] = ("float64",)

    def moved(self, j: int, p: Array, d: Array, rate: Array) -> Array:
        change = p - super().moved(j, p, d, rate)
        return p - change.astype("f4").astype(p.dtype)


class RootByTwelveBits(Adam):
    """The processor's own estimate of 1 / sqrt(v), without a step of Newton's method."""

    def root(self, v: Array, eps: Array) -> Array:
        fraction, exponent = np.frexp(np.sqrt(v))
        return np.ldexp(np.rint(np.ldexp(fraction, 12)), exponent - 12).astype(v.dtype) + eps


class DecayCoupled(SoundTraining):
    """In the gradient, as L2 is."""

    def gradient(self, j: int, p: Array, d: Array) -> Array:
        g = super().gradient(j, p, d)
        return g + self.number(self.training.weight_decay) * p if self.is_weight(j) else g

    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        return p


class DecayLeftOut(SoundTraining):
    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        return p


class DecayWithoutTheRate(SoundTraining):
    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        return super().decayed(j, p, self.number(1))


class DecayOnBiases(SoundTraining):
    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        return super().decayed(0, p, rate)


class DecayOfTheNewWeights(SoundTraining):
    def moved(self, j: int, p: Array, d: Array, rate: Array) -> Array:
        new = p - getattr(self, self.training.optimizer)(j, self.gradient(j, p, d), rate)
        return self.decayed(j, new, rate)


class DecayOfPlainAdamToo(SoundTraining):
    def decayed(self, j: int, p: Array, rate: Array) -> Array:
        plain = self.training.optimizer == "adam" and self.is_weight(j)
        return p - rate * self.number(0.01) * p if plain else super().decayed(j, p, rate)


# Mistakes of state


class StateNotReset(SoundTraining):
    """The arrays belong to the class: another construction goes on where the last one ended."""

    shared: ClassVar[dict[Any, Any]] = {}

    def start(self) -> None:
        super().start()
        key = (self.dtype, tuple(w.shape for w in self.w))
        self.m1, self.v = self.shared.setdefault(key, (self.m1, self.v))


class StateStartsAtANumber(SoundTraining):
    """Not at 0: lest anything be divided by it."""

    def start(self) -> None:
        super().start()
        self.v = [v + self.number(1e-8) for v in self.v]


class StateForgottenEachEpoch(SoundTraining):
    def next_batch(self) -> None:
        super().next_batch()
        if self.batch == 0:
            self.start()


class StateMovedByGradients(SoundTraining):
    """`gradients` takes part in the averages."""

    def gradients(self) -> None:
        super().gradients()
        if hasattr(self, "v"):
            self.v = [v * v.dtype.type(0.999) for v in self.v]


class CountsGradients(SoundTraining):
    def gradients(self) -> None:
        super().gradients()
        self.calls = getattr(self, "calls", 0) + 1

    def state(self) -> tuple[Any, ...]:
        state = super().state()
        return (*state[:-1], self.calls - 1) if state else state


class TrainCountsOneStep(SoundTraining):
    """However many it makes."""

    def train(self, steps: int, learning_rate: float) -> None:
        before = self.t
        super().train(steps, learning_rate)
        self.t = before + min(steps, 1)


class GradientOfTheStepBefore(SoundTraining):
    def update(self, learning_rate: float) -> None:
        own = self.dw, self.db
        self.dw, self.db = getattr(self, "last", own)
        super().update(learning_rate)
        self.dw, self.db = self.last = own


# Mistakes of the export


class ChangedState(SoundTraining):
    def change(self, state: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    def export(self) -> Result:
        result = super().export()
        return dataclasses.replace(result, state=self.change(result.state))


class StateNotExported(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return ()


class StateOfPlainDescent(ChangedState):
    """t, where nothing was asked for."""

    def change(self, state: tuple[Any, ...]) -> Any:
        return state or (self.t,)


class StateAsAList(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return list(state)


class StateOfZeros(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return (*(array * 0 for array in state[:-1]), *state[-1:])


class StateReversed(ChangedState):
    """m and v, weights and biases the other way round."""

    def change(self, state: tuple[Any, ...]) -> Any:
        return (*state[-2::-1], *state[-1:])


class StateLayerByLayer(ChangedState):
    """Weights and biases by turns."""

    def change(self, state: tuple[Any, ...]) -> Any:
        order = [j for k in range(self.L) for j in (k, self.L + k)]
        arrays = [state[i * 2 * self.L + j] for i in range(len(state) // (2 * self.L)) for j in order]
        return (*arrays, *state[-1:])


class StateWithANaN(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        for array in state[:-1]:
            array[0, 0] = np.nan
        return state


class StateInSinglePrecision(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return (*(array.astype("f4") for array in state[:-1]), *state[-1:])


class StateOfOtherShapes(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return (*(array.ravel() for array in state[:-1]), *state[-1:])


class CountMissing(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return state[:-1]


class CountOfTheNextStep(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return (*state[:-1], state[-1] + 1) if state else state


class CountAsAFloat(ChangedState):
    def change(self, state: tuple[Any, ...]) -> Any:
        return (*state[:-1], float(state[-1])) if state else state


class StateOfLiveViews(ChangedState):
    """Its own arrays instead of copies."""

    dtypes: ClassVar[tuple[str, ...]] = ("float64",)

    def change(self, state: tuple[Any, ...]) -> Any:
        return (*self.v, *state[-1:]) if self.training.optimizer == "rmsprop" else state

    def rmsprop(self, j: int, g: Array, rate: Array) -> Array:
        self.v[j][...] = self.mean(self.training.rho, self.v[j], g * g)
        return rate * g / (np.sqrt(self.v[j]) + self.number(self.training.eps))


ABSTRACT = (Adam, ChangedState)


def _all(root: type[SoundTraining]) -> list[type[SoundTraining]]:
    return [cls for sub in root.__subclasses__() for cls in (sub, *_all(sub)) if cls.__module__ == __name__]


MUTANTS = tuple(cls for cls in _all(SoundTraining) if cls not in ABSTRACT)
