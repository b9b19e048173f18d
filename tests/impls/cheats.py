"""Implementations that are right and save work that a race would time: by keeping results, by leaving work to
a later call, by handing it to a thread.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from impls.interface import Problem, Result
from tests.impls import later
from tests.impls.mutants import Sound
from tests.impls.narrow import LayerOfZeros, SinglePass


class KeepsGradients(Sound):
    """While nothing has changed, the gradients that it has are right."""

    kept = False

    def gradients(self) -> None:
        if not self.kept:
            super().gradients()
        self.kept = True

    def update(self, learning_rate: float) -> None:
        self.kept = False
        super().update(learning_rate)


class KeepsOutputs(Sound):
    kept = False

    def forward(self) -> None:
        if not self.kept:
            super().forward()
        self.kept = True

    def update(self, learning_rate: float) -> None:
        self.kept = False
        super().update(learning_rate)


class ComputesOnExport(Sound):
    """A call takes note, and the export computes, once."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.noted: list[Callable[[], None]] = []
        super().__init__(problem, dtype, threads)

    def forward(self) -> None:
        self.noted = [super().forward] if hasattr(self, "w") else []

    def backward(self) -> None:
        self.noted = [*self.noted, super().backward]

    def settle(self) -> None:
        noted, self.noted = self.noted, []
        for call in noted:
            call()

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.settle()
        self.update(learning_rate)
        self.next_batch()

    def export(self) -> Result:
        self.settle()
        return super().export()


class ComputesOnEveryExport(ComputesOnExport):
    """The export computes each time."""

    def settle(self) -> None:
        for call in self.noted:
            call()


class WorksInAThread(Sound):
    """A call starts a thread; the export waits for it."""

    thread: threading.Thread | None = None

    def wait(self) -> None:
        if self.thread is not None:
            self.thread.join()
        self.thread = None

    def gradients(self) -> None:
        self.wait()
        self.thread = threading.Thread(target=super().gradients)
        self.thread.start()

    def forward(self) -> None:
        if self.thread is not threading.current_thread():
            self.wait()
        super().forward()

    def step(self, learning_rate: float) -> None:
        self.gradients()
        self.wait()
        self.update(learning_rate)
        self.next_batch()

    def export(self) -> Result:
        self.wait()
        return super().export()


class RepeatsOnce(Sound):
    """Gradients that are asked for several times at once are computed once."""

    def repeat(self, method: str, times: int, *arguments: float) -> None:
        for _ in range(1 if method == "gradients" else times):
            getattr(self, method)(*arguments)


class QueuesForAThread(Sound):
    """Calls are handed to a thread, one after the other; the export waits for all of them."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.pool.submit(super().__init__, problem, dtype, threads).result()
        self.caller = threading.current_thread()

    def _queued(self, call: Callable[[], None]) -> None:
        if threading.current_thread() is getattr(self, "caller", None):
            self.pool.submit(call)
        else:
            call()

    def forward(self) -> None:
        self._queued(super().forward)

    def gradients(self) -> None:
        self._queued(super().gradients)

    def step(self, learning_rate: float) -> None:
        self.pool.submit(super().step, learning_rate)

    def export(self) -> Result:
        self.pool.submit(int).result()
        return super().export()


CHEATS = (
    *(KeepsGradients, KeepsOutputs, RepeatsOnce, ComputesOnExport, ComputesOnEveryExport),
    *(WorksInAThread, QueuesForAThread),
)
"""The cheats that save whole calls."""


# Memory of results


class KeepsByTheParameters(Sound):
    """Gradients are looked up by the bytes of the parameters and the batch."""

    known: dict[Any, Any] | None = None

    def gradients(self) -> None:
        self.known = {} if self.known is None else self.known
        key = (self.batch, *(array.tobytes() for array in (*self.w, *self.b)))
        if key not in self.known:
            super().gradients()
            self.known = {key: (self.dw, self.db, self.a)}
        self.dw, self.db, self.a = self.known[key]


class KeepsTheForwardPass(Sound):
    """Gradients are computed from the outputs of the last pass while nothing has changed."""

    kept = False

    def forward(self) -> None:
        if not self.kept:
            super().forward()
        self.kept = True

    def update(self, learning_rate: float) -> None:
        self.kept = False
        super().update(learning_rate)


class KeepsAfterTheSecondCall(Sound):
    calls = 0

    def gradients(self) -> None:
        self.calls += 1
        if self.calls <= 2:
            super().gradients()

    def update(self, learning_rate: float) -> None:
        self.calls = 0
        super().update(learning_rate)


class KeepsThreeOfFour(KeepsAfterTheSecondCall):
    def gradients(self) -> None:
        if self.calls % 4 == 0:
            Sound.gradients(self)
        self.calls += 1


class KeepsEveryOtherCall(KeepsAfterTheSecondCall):
    def gradients(self) -> None:
        if self.calls % 2 == 0:
            Sound.gradients(self)
        self.calls += 1


class KeepsAtRandom(KeepsAfterTheSecondCall):
    def gradients(self) -> None:
        if self.calls == 0 or random.random() < 0.4:
            Sound.gradients(self)
        self.calls += 1


class KeepsUnlessCompared(KeepsAfterTheSecondCall):
    """Keeps the eighth result after a step, unless steps and calls took turns, as they do in blocks."""

    compared = False

    def gradients(self) -> None:
        self.calls += 1
        if self.calls <= 8 or self.compared:
            Sound.gradients(self)

    def update(self, learning_rate: float) -> None:
        self.compared = self.calls == 1
        super().update(learning_rate)


class PreparesInAStep(Sound):
    """A step computes the gradients of the next batch, too, which then are there."""

    ready = False

    def gradients(self) -> None:
        if not self.ready:
            super().gradients()

    def step(self, learning_rate: float) -> None:
        self.ready = False
        super().step(learning_rate)
        super().gradients()
        self.ready = True


# Work owed, or done elsewhere


class StepsOnExport(Sound):
    """Steps are counted, and made by the next export."""

    rates: list[float] | None = None

    def step(self, learning_rate: float) -> None:
        self.rates = [*(self.rates or []), learning_rate]

    def made(self) -> None:
        rates, self.rates = self.rates or [], []
        for rate in rates:
            super().step(rate)

    def gradients(self) -> None:
        if self.rates:
            self.made()
        super().gradients()

    def export(self) -> Result:
        self.made()
        return super().export()


class FirstDwOnExport(Sound):
    """Gradients leave the product of the first layer's dw to the next export."""

    alone = False
    left: Any = None

    def gradients(self) -> None:
        self.alone = hasattr(self, "y")
        super().gradients()
        self.alone = False

    def layer_dw(self, k: int, dz: Any) -> Any:
        if k == 0 and self.alone:
            self.left = dz
            return None
        return super().layer_dw(k, dz)

    def step(self, learning_rate: float) -> None:
        self.left = None
        self.forward()
        self.backward()
        self.update(learning_rate)
        self.next_batch()

    def export(self) -> Result:
        if self.left is not None:
            self.dw[0], self.left = super().layer_dw(0, self.left), None
        return super().export()


class QueuesForAProcess(Sound):
    """A forked process computes the gradients, and the export fetches them."""

    pool: Any = None

    def gradients(self) -> None:
        if self.pool is None and hasattr(self, "x"):
            self.pool = multiprocessing.get_context("fork").Pool(1)
        if self.pool is None:
            super().gradients()
        else:
            self.pending = self.pool.apply_async(_gradients_of, (self._sound(),))

    def _sound(self) -> Sound:
        other = object.__new__(Sound)
        vars(other).update({k: v for k, v in vars(self).items() if k not in ("pool", "pending")})
        return other

    def fetched(self) -> None:
        if getattr(self, "pending", None) is not None:
            vars(self).update(vars(self.pending.get()))
            self.pending = None

    def step(self, learning_rate: float) -> None:
        self.fetched()
        Sound.gradients(self)
        self.update(learning_rate)
        self.next_batch()

    def forward(self) -> None:
        self.fetched()
        super().forward()

    def export(self) -> Result:
        self.fetched()
        return super().export()


def _gradients_of(sound: Sound) -> Sound:
    sound.gradients()
    return sound


# Detection of the check: honest while it seems to look, without the backward pass where not


class Detects(Sound):
    """Leaves the backward pass out unless `watched`."""

    def watched(self) -> bool:
        raise NotImplementedError

    def backward(self) -> None:
        if not hasattr(self, "kept") or self.watched():
            super().backward()
            self.kept = self.dw, self.db


class DetectsByTheStack(Detects):
    """The referee's own modules call it."""

    def watched(self) -> bool:
        return any("referee" in frame.filename for frame in traceback.extract_stack())


class DetectsByTheCalls(Detects):
    calls = 0

    def watched(self) -> bool:
        self.calls += 1
        return self.calls < 40


class DetectsByManyCalls(DetectsByTheCalls):
    def watched(self) -> bool:
        self.calls += 1
        return self.calls < 400


class DetectsByTheTime(Detects):
    def watched(self) -> bool:
        self.begun = getattr(self, "begun", time.monotonic())
        return time.monotonic() < self.begun + 0.05


class DetectsByAPause(Detects):
    """Between two rounds more time passes than between two calls of one."""

    ended = 0.0

    def watched(self) -> bool:
        return self.begun > self.ended + 2e-5

    def gradients(self) -> None:
        self.begun = time.perf_counter()
        super().gradients()
        self.ended = time.perf_counter()

    def update(self, learning_rate: float) -> None:
        super().update(learning_rate)
        self.ended = time.perf_counter()


class DetectsTheLastCall(Detects):
    """The last call of a round: as many follow a step as in the rounds before."""

    calls = 0

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.counts: list[int] = []
        super().__init__(problem, dtype, threads)

    def watched(self) -> bool:
        self.calls += 1
        known = [count for count in self.counts[-40:] if count > 4]
        return len(known) < 4 or self.calls >= statistics.mode(known)

    def update(self, learning_rate: float) -> None:
        if self.calls > 1:
            self.counts.append(self.calls)
        super().update(learning_rate)
        self.calls = 0


class DetectsByTheModules(Detects):
    """A race is loaded."""

    def watched(self) -> bool:
        return "benchmarks.measure.audit" not in sys.modules


class DetectsByTheCollector(Detects):
    """The garbage collector is off inside the clock."""

    def watched(self) -> bool:
        return gc.isenabled()


class DetectsByTheRate(Detects):
    rate = 0.0

    def step(self, learning_rate: float) -> None:
        self.rate = learning_rate
        super().step(learning_rate)

    def watched(self) -> bool:
        return self.rate != 0.01


class DetectsByTheExport(Detects):
    """The first call after an export is honest."""

    looked = True

    def watched(self) -> bool:
        looked, self.looked = self.looked, False
        return looked

    def export(self) -> Result:
        self.looked = True
        return super().export()


class DetectsByTheBatchSize(Detects):
    """Tests have small batches."""

    def watched(self) -> bool:
        return self.m < 48


class DetectsByTheEnvironment(Detects):
    """A race limits the threads before NumPy is loaded."""

    def watched(self) -> bool:
        return os.environ.get("OMP_NUM_THREADS") != "1"


# Fewer samples


class Samples(Sound):
    """The samples of a batch that it looks at: after some calls, fewer."""

    calls = 0

    def fewer(self) -> slice:
        raise NotImplementedError

    def layer_dw(self, k: int, dz: Any) -> Any:
        self.calls += 1
        if self.calls < 40:
            return super().layer_dw(k, dz)
        s = self.fewer()
        return dz[:, s] @ self.x[k][:, s].T / max(1, dz[:, s].shape[1])


class HalfTheSamples(Samples):
    def fewer(self) -> slice:
        return slice(0, max(1, self.m // 2))


class EveryOtherSample(Samples):
    def fewer(self) -> slice:
        return slice(None, None, 2)


class AllSamplesButOne(Samples):
    def fewer(self) -> slice:
        return slice(0, max(1, self.m - 1))


# Clocks, referee and NumPy patched in the same process; all of these leave the backward pass out


class Patches(DetectsByTheCalls):
    """Replaces something when its first object is constructed."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        self.patch()
        super().__init__(problem, dtype, threads)

    def patch(self) -> None:
        raise NotImplementedError


class PatchesTheClock(Patches):
    def patch(self) -> None:
        own = time.perf_counter
        if own.__name__ != "slower":

            def slower() -> float:
                return own() / 2

            time.perf_counter = slower


class PatchesTheClockInACall(Sound):
    """Time passes at half its speed from a call of gradients to the next step or export."""

    own = staticmethod(time.perf_counter)

    def gradients(self) -> None:
        begun = self.own()
        time.perf_counter = lambda: begun + (self.own() - begun) / 2
        super().gradients()

    def update(self, learning_rate: float) -> None:
        time.perf_counter = self.own
        super().update(learning_rate)

    def export(self) -> Result:
        time.perf_counter = self.own
        return super().export()


class PatchesTheRounds(Patches):
    def patch(self) -> None:
        clock = sys.modules.get("benchmarks.measure.clock")
        if clock is not None and clock.seconds_of.__name__ != "half":
            own = clock.seconds_of

            def half(call: Any, iterations: int) -> float:
                return float(own(call, iterations)) / 2

            clock.seconds_of = half  # type: ignore[attr-defined]


class PatchesTheComparison(Patches):
    def patch(self) -> None:
        verdict = sys.modules.get("impls.referee.verdict")
        if verdict is not None:
            verdict.Comparison.passed = True


class PatchesTheJudge(Patches):
    def patch(self) -> None:
        judgement = sys.modules.get("impls.referee.judgement")
        if judgement is not None:
            passes = lambda *_: judgement.Verdict(True, "", 0.0, None, None)  # noqa: E731
            judgement._verdict = passes  # type: ignore[attr-defined]


class PatchesNumPy(Patches):
    """Every error is 0."""

    def patch(self) -> None:
        np.abs = np.zeros_like  # type: ignore[assignment]


class PatchesTheWatch(Patches):
    """The search for patches finds none, and every verdict is a pass."""

    def patch(self) -> None:
        for module in ("impls.referee", "impls.referee.tampering"):
            if module in sys.modules:
                sys.modules[module].changed = lambda before: []  # type: ignore[attr-defined]
        PatchesTheJudge.patch(self)  # type: ignore[arg-type]


LATER_BY_KIND = {
    "stale state": (
        *(later.GradientsStaleAfterAStep, later.ForwardOfTheLastParameters, later.GradientsOfTheStepBefore),
        *(later.GradientsOfTheConstructor, later.ForwardStaleAfterGradients, later.ThirdBatchLeftOut),
        *(later.SecondEpochOfTheFirstBatch, later.BiasesOfTheFirstEpoch),
    ),
    "wrong optimizer or rate": (
        *(later.Momentum, later.WeightDecayLater, later.RateDecays, later.RateOfTheFirstStep),
        *(later.RateAtMostOne, later.UpdatesClipped, later.StopsLearning, later.TrainsAtMostAHundredSteps),
    ),
}

TABLE: dict[str, tuple[type[Sound], ...]] = {
    "memory of results": (
        *(KeepsGradients, KeepsOutputs, RepeatsOnce, KeepsByTheParameters, KeepsTheForwardPass),
        *(KeepsAfterTheSecondCall, KeepsThreeOfFour, KeepsEveryOtherCall, KeepsAtRandom, KeepsUnlessCompared),
        PreparesInAStep,
    ),
    "work owed": (ComputesOnExport, ComputesOnEveryExport, StepsOnExport, FirstDwOnExport),
    "work elsewhere": (WorksInAThread, QueuesForAThread, QueuesForAProcess),
    "detection of the check": (
        *(DetectsByTheStack, DetectsByTheCalls, DetectsByManyCalls, DetectsByTheTime, DetectsByTheModules),
        *(DetectsByAPause, DetectsTheLastCall),
        *(DetectsByTheCollector, DetectsByTheRate, DetectsByTheExport, DetectsByTheBatchSize),
        DetectsByTheEnvironment,
    ),
    "fewer samples": (HalfTheSamples, EveryOtherSample, AllSamplesButOne),
    **LATER_BY_KIND,
    "narrower arithmetic": (SinglePass, LayerOfZeros),
    "patched in the same process": (
        *(PatchesTheClock, PatchesTheClockInACall, PatchesTheRounds, PatchesTheComparison, PatchesTheJudge),
        PatchesNumPy,
        PatchesTheWatch,
    ),
}
"""Every cheat, by kind: the study says by what each is caught."""
