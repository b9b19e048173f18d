"""The conformance test passes what keeps the contract, and names the law that another class breaks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impls
from impls import registry
from impls.interface import Problem, Result
from impls.numpy_batch import NumpyBatch
from impls.referee import conformance
from impls.referee.conformance import Finding
from tests.impls.mutants import MUTANTS, Sound
from tests.impls.trained import SoundTraining

ARGUMENTS = "wrong arguments are refused"

TRAININGS, TRAIN = "every optimizer, L2 and dropout", "train(n) is n steps, with every optimizer"

OTHERWISE = {ARGUMENTS, TRAININGS}
"""The laws that a test's implementation breaks: it does not look at its arguments, nor at the training."""

OUTSIDE = Path(__file__).parents[3] / "examples" / "outside.py"


class WritesToX(NumpyBatch):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        problem.X[0, 0] = 1.0


class WritesBehindTheView(NumpyBatch):
    """The view is read-only, but its base can be written to."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        base: Any = problem.weights[0].base
        if base is not None and base.flags.writeable:
            base += 1e-9


class KeepsTheCallersArrays(NumpyBatch):
    """Its exports depend on changes of the caller's X."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        self.source, self.given = problem.X, problem.X.copy()

    def export(self) -> Result:
        result = super().export()
        return result if np.array_equal(self.source, self.given) else dataclasses.replace(result, loss=-1.0)


class LooksAtTheCallersArrays(NumpyBatch):
    """Its batches are views of what the caller gave."""

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        m = problem.batch_size
        if dtype == "float64":
            self.X = [problem.X[:, k : k + m] for k in range(0, problem.samples, m)]


class TakesNoThreads(NumpyBatch):
    def __init__(self, problem: Problem, dtype: str = "float64") -> None:
        super().__init__(problem, dtype)


class Quits(NumpyBatch):
    def gradients(self) -> None:
        raise SystemExit(0)


class SharesState(NumpyBatch):
    """Every instance works on the layers of the newest."""

    newest: Any = None

    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        self.mine = self.layers
        SharesState.newest = self.layers

    def gradients(self) -> None:
        if hasattr(self, "mine"):
            self.layers = SharesState.newest
        super().gradients()


class AnotherNetworksGradients(NumpyBatch):
    """The gradients of the first network that it ever saw, wherever they fit."""

    seen: Any = None

    def export(self) -> Result:
        result = super().export()
        if AnotherNetworksGradients.seen is None:
            AnotherNetworksGradients.seen = tuple(dw.copy() for dw in result.dw)
        others = tuple(dw.copy() for dw in self.seen)
        if [dw.shape for dw in others] != [dw.shape for dw in result.dw]:
            return result
        return dataclasses.replace(result, dw=others)


class TrainsItsOwnWay(NumpyBatch):
    def train(self, steps: int, learning_rate: float) -> None:
        super().train(steps, learning_rate * (1 + 2**-40))


class LosesItsNumbers(NumpyBatch):
    """However it is trained."""

    trained = False

    def step(self, learning_rate: float) -> None:
        super().step(learning_rate)
        self.trained = True

    def export(self) -> Result:
        result = super().export()
        if not self.trained:
            return result
        return dataclasses.replace(result, dw=tuple(np.full_like(dw, np.nan) for dw in result.dw))


class RepeatsAStepLess(NumpyBatch):
    def repeat(self, method: str, times: int, *arguments: float) -> None:
        for _ in range(times - (method == "step")):
            getattr(self, method)(*arguments)


class ForgetsAStep(NumpyBatch):
    def train(self, steps: int, learning_rate: float) -> None:
        super().train(max(steps - 1, 0), learning_rate)


class DrawsLots(NumpyBatch):
    """A random change of one unit in the last place."""

    random = np.random.default_rng(0)

    def gradients(self) -> None:
        super().gradients()
        for layer in self.layers:
            layer.dw = layer.dw * (1 + self.random.integers(0, 2) * np.finfo(layer.dw.dtype).eps)


class ExportsItsOwnArrays(NumpyBatch):
    def step(self, learning_rate: float) -> None:
        self.gradients()
        for layer in self.layers:
            layer.w -= learning_rate * layer.dw
            layer.b -= learning_rate * layer.db
        self.batch = (self.batch + 1) % len(self.X)

    def export(self) -> Result:
        result = super().export()
        if self.layers[0].w.dtype != np.float64:
            return result
        weights = tuple(layer.w for layer in self.layers)
        return dataclasses.replace(result, weights=weights)


class ClaimsTheOrderOfLoops(NumpyBatch):
    same_order = True


class TakesAnything(NumpyBatch):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype if dtype in self.dtypes else "float64", max(threads, 1))


class HasNoCompileTime(NumpyBatch):
    def __init__(self, problem: Problem, dtype: str = "float64", threads: int = 1) -> None:
        super().__init__(problem, dtype, threads)
        self.compile_seconds = float("nan")


class RaisesInStep(NumpyBatch):
    def step(self, learning_rate: float) -> None:
        raise KeyError("momentum")


class ReturnsNothing(NumpyBatch):
    def export(self) -> Any:
        return None


def failures(implementation: type[impls.Implementation], laws: Iterable[str]) -> list[Finding]:
    return [finding for finding in conformance.examine(implementation, laws) if finding.status == "failed"]


def test_an_honest_implementation_passes_every_law() -> None:
    findings = list(conformance.examine(impls.load("numpy")))
    assert [finding for finding in findings if finding.status == "failed"] == []
    assert len(findings) == conformance.size()
    # it claims no order of sums, and everything else it can
    assert {f.law for f in findings if f.status != "passed"} <= {
        "bit for bit, where claimed",
        "repeat(n) is n calls",
    }


def test_loops_pass_and_do_not_claim_float32() -> None:
    findings = list(conformance.examine(impls.load("loops")))
    assert {f.status for f in findings if f.dtype == "float64"} == {"passed"}
    assert {f.reason for f in findings if f.dtype == "float32"} == {"it computes in float64"}


@pytest.mark.parametrize(
    ("implementation", "law", "reason"),
    [
        (WritesToX, "every activation and cost", r"read-only \(line \d+ of .*\); it must not write"),
        (WritesBehindTheView, "inputs are never written to", r"it writes to weights\[0\], which belongs to"),
        (KeepsTheCallersArrays, "inputs are never written to", "after the caller changed its own arrays"),
        (LooksAtTheCallersArrays, "inputs are never written to", "after the caller changed its own arrays"),
        (TakesNoThreads, "wrong arguments are refused", "unexpected keyword argument 'threads'"),
        (Quits, "every activation and cost", "it raised SystemExit"),
        (SharesState, "implementations are independent", "another problem's race"),
        (AnotherNetworksGradients, "every activation and cost", r"dw\[\d\] at .* times its bound"),
        (TrainsItsOwnWay, "train(n) is n steps", r"train\(5\) and 5 steps: .*"),
        (LosesItsNumbers, "train(n) is n steps", r"and 5 steps: dw\[0\]: expected finite numbers, got nan"),
        (LosesItsNumbers, "two constructions agree", r"dw\[0\]: expected finite numbers, got nan"),
        (RepeatsAStepLess, "repeat(n) is n calls", r"step repeated 4 times and 4 calls: "),
        (ForgetsAStep, "train(n) is n steps", r"train\(5\) and 5 steps: .*"),
        (
            DrawsLots,
            "two calls agree",
            r"two calls of gradients: dw\[\d\] at .*: expected .*, to the bit, got",
        ),
        (ExportsItsOwnArrays, "exports are copies", r"weights\[0\] of an earlier export changes"),
        (ClaimsTheOrderOfLoops, "bit for bit, where claimed", "bit for bit beside loops: .* at .*: expected"),
        (
            TakesAnything,
            "wrong arguments are refused",
            "for dtype='float16', threads=1, got an object",
        ),
        (HasNoCompileTime, "compile time is reported", "expected seconds of 0 and up, got nan"),
        (
            RaisesInStep,
            "every activation and cost",
            r"it raised KeyError: 'momentum' \(line \d+ of .*conformance",
        ),
        (ReturnsNothing, "every activation and cost", "export: expected a Result, got NoneType"),
    ],
)
def test_a_broken_law_is_named_with_its_reason(
    implementation: type[impls.Implementation], law: str, reason: str
) -> None:
    AnotherNetworksGradients.seen = None
    broken = [f for f in conformance.examine(implementation, [law]) if f.status == "failed"]
    assert broken
    assert any(re.search(reason, finding.reason) for finding in broken), broken


def test_the_right_implementations_of_the_mutants_pass() -> None:
    assert {finding.law for finding in failures(Sound, conformance.LAWS)} == OTHERWISE
    # of trainings it is judged beside their mutants
    laws = [law for law in conformance.LAWS if law not in (TRAININGS, TRAIN)]
    assert {finding.law for finding in failures(SoundTraining, laws)} == {ARGUMENTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_brought_from_outside_is_rejected(mutant: type[Sound]) -> None:
    brought = registry.load(f"tests.impls.mutants:{mutant.__name__}")
    laws = [law for law in conformance.LAWS if law not in OTHERWISE]
    broken = (f for f in conformance.examine(brought, laws) if f.status == "failed")
    assert next(broken, None) is not None


def test_the_example_of_an_outside_implementation_is_short_and_passes() -> None:
    findings = list(conformance.examine(registry.load(f"{OUTSIDE}:Outside")))
    passed = {finding.law for finding in findings if finding.status == "passed"}
    assert not [finding for finding in findings if finding.status == "failed"]
    others = {"bit for bit, where claimed", TRAIN}
    assert passed == set(conformance.LAWS) - {TRAININGS, *others}
    assert len(OUTSIDE.read_text().splitlines()) < 40
