"""Implementations that are right at first and wrong only later: at the second step, the third batch, the end
of an epoch, a larger rate, a longer training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from impls.interface import Problem
from tests.impls.mutants import Array, Sound


class Counting(Sound):
    """Counts its steps and the epochs that they complete."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.steps = 0
        super().__init__(problem, dtype, threads)

    @property
    def epochs(self) -> int:
        return self.steps // self.batches

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        self.steps += 1


class Momentum(Sound):
    """The first step is that of plain descent."""

    def update(self, learning_rate: float) -> None:
        kept = getattr(self, "velocity", None)
        gradients = [*self.dw, *self.db]
        if kept is not None:
            gradients = [g + g.dtype.type(0.9) * v for g, v in zip(gradients, kept, strict=True)]
        self.velocity = gradients
        own = self.dw, self.db
        self.dw, self.db = gradients[: self.L], gradients[self.L :]
        super().update(learning_rate)
        self.dw, self.db = own


class WeightDecayLater(Counting):
    def update(self, learning_rate: float) -> None:
        super().update(learning_rate)
        if self.steps:
            self.w = [w * w.dtype.type(1 - 1e-4) for w in self.w]


class RateDecays(Counting):
    def update(self, learning_rate: float) -> None:
        super().update(learning_rate * 0.99**self.steps)


class RateOfTheFirstStep(Sound):
    def update(self, learning_rate: float) -> None:
        self.rate = getattr(self, "rate", learning_rate)
        super().update(self.rate)


class RateAtMostOne(Sound):
    def update(self, learning_rate: float) -> None:
        super().update(min(learning_rate, 1.0))


class RateAtLeastOneHundredth(Sound):
    def update(self, learning_rate: float) -> None:
        super().update(max(learning_rate, 0.01))


class UpdatesClipped(Sound):
    """No parameter moves by more than 0.2 in a step."""

    def update(self, learning_rate: float) -> None:
        before = self.w, self.b
        super().update(learning_rate)
        self.w = [w + np.clip(new - w, -0.2, 0.2) for w, new in zip(before[0], self.w, strict=True)]
        self.b = [b + np.clip(new - b, -0.2, 0.2) for b, new in zip(before[1], self.b, strict=True)]


class ThirdBatchWithOtherTargets(Sound):
    def last_dz(self) -> Array:
        if self.batch == 2:
            self.y = self.Y[:, : self.m]
        return super().last_dz()


class ThirdBatchLeftOut(Sound):
    def next_batch(self) -> None:
        self.batch = (self.batch + 1) % min(self.batches, 2)


class SecondEpochBackwards(Counting):
    def next_batch(self) -> None:
        self.batch = (self.batch + (-1 if self.steps >= self.batches else 1)) % self.batches


class SecondEpochOfTheFirstBatch(Counting):
    def next_batch(self) -> None:
        super().next_batch()
        if self.steps >= self.batches:
            self.batch = 0


class GradientsOfTheConstructor(Sound):
    """Every step applies them; `gradients` is right."""

    def step(self, learning_rate: float) -> None:
        if not hasattr(self, "kept"):
            self.kept = self.dw, self.db
        self.gradients()
        own = self.dw, self.db
        self.dw, self.db = self.kept
        self.update(learning_rate)
        self.dw, self.db = own
        self.next_batch()


class GradientsOfTheStepBefore(Counting):
    """From the third step on."""

    last: tuple[list[Array], list[Array]]

    def update(self, learning_rate: float) -> None:
        own = self.dw, self.db
        if self.steps >= 2:
            self.dw, self.db = self.last
        super().update(learning_rate)
        self.dw, self.db = self.last = own


class BackwardLeftOutAfterTwoSteps(Counting):
    def backward(self) -> None:
        if self.steps < 2:
            super().backward()


class BiasesOfTheFirstEpoch(Counting):
    """They are updated in the first epoch only."""

    def update(self, learning_rate: float) -> None:
        kept = self.b
        super().update(learning_rate)
        if self.epochs:
            self.b = kept


class StopsLearning(Counting):
    """After five steps."""

    def update(self, learning_rate: float) -> None:
        if self.steps < 5:
            super().update(learning_rate)


class GradientsStaleAfterAStep(Sound):
    """`gradients` right after a step leaves the step's own, unless a forward pass is between."""

    stepped = False

    def forward(self) -> None:
        self.stepped = False
        super().forward()

    def gradients(self) -> None:
        if not self.stepped:
            super().gradients()

    def step(self, learning_rate: float) -> None:
        self.stepped = False
        super().step(learning_rate)
        self.stepped = True


class ForwardStaleAfterGradients(Counting):
    """A forward pass right after gradients shows the output of the first batch."""

    def export(self) -> Any:
        return super().export()

    def forward(self) -> None:
        super().forward()
        if getattr(self, "fresh", False) and not self.steps:
            self.a[-1] = self.a[-1] * 0
        self.fresh = False

    def backward(self) -> None:
        super().backward()
        self.fresh = True


class ForwardOfTheLastParameters(Counting):
    """After two steps a forward pass uses the parameters from before the last one."""

    def step(self, learning_rate: float) -> None:
        self.old = self.w
        super().step(learning_rate)

    def z(self, k: int, x: Array) -> Array:
        w = self.old[k] if self.steps >= 2 and not getattr(self, "inside", False) else self.w[k]
        return w @ x + self.b[k]

    def gradients(self) -> None:
        self.inside = True
        super().gradients()
        self.inside = False


class TrainsAtMostAHundredSteps(Sound):
    def train(self, steps: int, learning_rate: float) -> None:
        super().train(min(steps, 100), learning_rate)


class TrainsOnTheFirstEpochsGradients(Sound):
    """After an epoch it takes the gradients that it had for the batch before."""

    def train(self, steps: int, learning_rate: float) -> None:
        kept: dict[int, tuple[list[Array], list[Array]]] = {}
        for _ in range(steps):
            if len(kept) < 2 * self.batches:
                self.gradients()
                kept[len(kept)] = self.dw, self.db
            else:
                self.forward()
                self.dw, self.db = kept[self.batches + self.batch]
            self.update(learning_rate)
            self.next_batch()


class TrainsFromTheFirstBatch(Sound):
    """Each training begins at the first batch, wherever the last step ended."""

    def train(self, steps: int, learning_rate: float) -> None:
        self.batch = 0 if steps else self.batch
        super().train(steps, learning_rate)


def _all(root: type[Sound]) -> list[type[Sound]]:
    own: Callable[[type[Sound]], bool] = lambda cls: cls.__module__ == __name__  # noqa: E731
    return [cls for sub in root.__subclasses__() for cls in (sub, *_all(sub)) if own(cls)]


LATER = tuple(cls for cls in _all(Sound) if cls is not Counting)
