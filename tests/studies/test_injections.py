"""Injected slowdowns: they apply to the implementations as they stand, slow them, and leave their results
right.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate.watched import GATED
from tests.copies import ROOT, copied
from tests.studies.injections import GATED_IMPLEMENTATIONS, INJECTIONS, Edit

PROBE = """
import json, sys
import impls
from impls import referee
implementation_class = impls.load({implementation!r})
network = impls.Network((6, 5, 4), ("sigmoid", "sigmoid"), "mean_squared_error")
problem = impls.Problem.random(network, samples=12, batch_size=4)
verdict = referee.check(implementation_class(problem, "float64", 1), problem, "float64")
print(json.dumps([verdict.passed, verdict.message, impls.__file__]))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copied(ROOT / "impls", tmp_path / "impls")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "side"),
    [(kind, side) for kind in INJECTIONS for side in ("base", "head") if getattr(INJECTIONS[kind], side)],
)
def test_an_injected_implementation_is_still_right(checkout: Path, kind: str, side: str) -> None:
    injection = INJECTIONS[kind]
    for edit in getattr(injection, side):
        edit.apply(checkout)
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(implementation=injection.slowed[0])],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[true"), done.stdout
    assert str(checkout) in done.stdout


SPUN = """
import time
from impls.numpy_sample import NumpySample
now = 0.0

def clock():
    global now
    now += {call} / 1000
    return now

def gradients(self):
    global now
    now += {call}

time.perf_counter = clock
NumpySample.gradients = gradients
import impls
network = impls.Network((6, 5, 4), ("sigmoid", "sigmoid"), "mean_squared_error")
implementation = impls.load("numpy-sample")(impls.Problem.random(network, samples=4, batch_size=4))
start = now
for _ in range(1000):
    implementation.gradients()
print((now - start) / (1000 * {call}))
"""


@pytest.mark.parametrize("call", [1e-6, 1e-3])
def test_a_spin_takes_the_share_that_it_is_named_after(checkout: Path, call: float) -> None:
    # By a clock of its own: the implementation's calls take what they are said to take.
    for edit in INJECTIONS["spin-20"].head:
        edit.apply(checkout)
    done = subprocess.run(
        [sys.executable, "-c", SPUN.format(call=call)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert float(done.stdout) == pytest.approx(1.2, abs=0.01), done.stderr


def test_the_implementations_that_are_slowed_are_gated() -> None:
    gated = {benchmark.implementation for benchmark in GATED}
    assert gated == set(GATED_IMPLEMENTATIONS)
    assert all(set(injection.slowed) <= gated for injection in INJECTIONS.values())


def test_an_edit_that_no_longer_fits_is_an_error(checkout: Path) -> None:
    with pytest.raises(ValueError, match="'no such text' once, got it 0 times"):
        Edit("impls/loops.py", "no such text", "").apply(checkout)
