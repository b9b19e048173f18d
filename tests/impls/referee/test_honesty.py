"""An implementation that saves work that a race would time is found out, and an honest one is not accused."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest

import impls
from impls.referee import honesty
from tests.impls.cheats import CHEATS
from tests.impls.mutants import Sound


@pytest.mark.parametrize(
    ("cheat", "network"),
    list(zip(CHEATS, itertools.cycle(honesty.NETWORKS), strict=False)),
    ids=[cheat.__name__ for cheat in CHEATS],
)
def test_saved_work_is_found_out(cheat: type[Sound], network: impls.Network) -> None:
    assert honesty.broken(cheat, network, "float64")


@pytest.mark.parametrize("name", ["numba-loops", "numba"])  # loops and numpy pass all of the conformance test
def test_an_honest_implementation_is_not_accused(name: str) -> None:
    implementation = impls.load(name)
    for network in honesty.NETWORKS:
        for dtype in implementation.dtypes:
            assert honesty.broken(implementation, network, dtype) == {}


class WaitsBusily(Sound):
    """An honest one of several ranks, on a busy machine: each order finds one of them without a CPU, and the
    others wait for it busily.
    """

    def ordered(self) -> None:
        end = time.process_time() + 5e-3
        while time.process_time() < end:
            pass

    def gradients(self) -> None:
        self.ordered()
        super().gradients()

    def repeat(self, method: str, times: int, *arguments: float) -> None:
        self.ordered()
        for _ in range(times):
            getattr(super(), method)(*arguments)


def test_ranks_that_wait_busily_are_not_accused() -> None:
    assert honesty.broken(WaitsBusily, honesty.NETWORKS[0], "float64") == {}


def series(**changed: list[float]) -> honesty.RoundSeconds:
    """Nine rounds of an honest implementation, but for what is changed."""
    honest = {field.name: [0.01] * 9 for field in dataclasses.fields(honesty.RoundSeconds)}
    honest |= {"step": [0.012] * 9, "export": [0.0002] * 9, "export_again": [0.0001] * 9, "idle": [1e-5] * 9}
    return honesty.RoundSeconds(**(honest | changed))


@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ({"again": [1e-5] * 9}, "a second gradients takes what the first takes"),
        ({"forward_again": [1e-5] * 9}, "a second forward takes what the first takes"),
        ({"repeated": [1e-3] * 9}, "gradients repeated 8 times take 8 times as long"),
        ({"step": [1e-3] * 9}, "a step takes what its gradients take"),
        ({"gradients": [1e-4] * 9, "export": [0.01] * 9}, "a first export takes what a second takes"),
        ({"gradients": [1e-5] * 9, "export_again": [0.01] * 9}, "an export copies and nothing more"),
        ({"busy": [1e-4] * 9, "idle": [0.009] * 9}, "nothing is at work when a call has returned"),
    ],
)
def test_each_law_is_named(changed: dict[str, list[float]], law: str) -> None:
    assert law in dict(honesty.offences(series(**changed)))


def test_an_honest_series_breaks_no_law_though_some_of_its_rounds_are_disturbed() -> None:
    assert dict(honesty.offences(series())) == {}
    disturbed = series(gradients=[0.01] * 6 + [0.1] * 3, export=[0.0002] * 6 + [0.05] * 3)
    assert dict(honesty.offences(disturbed)) == {}
