"""The speed of the machine, and the compilations on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import calibration
from benchmarks.measure.compilers import Compilations
from impls import caches


def test_the_machine_can_do_something() -> None:
    found = calibration.calibrate()
    dots = {f"dot_{level}" for level in caches()}
    assert set(found) == {"gemm_float64", "gemm_float32", "triad", "interpreter", "timer", "call"} | dots
    assert all(value > 0 for value in found.values())
    # An interpreter's iteration is a call's length; both are far above one operation of a large product.
    assert found["interpreter"] * found["gemm_float64"] > 1


def test_the_caches_are_those_for_data_as_the_system_has_them(tmp_path: Path) -> None:
    for k, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1M"), ("3", "Unified", "")]
    ):
        (tmp_path / f"index{k}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{k}" / name).write_text(f"{value}\n")
    assert caches(tmp_path) == {"L1": 32 * 1024, "L2": 1024 * 1024}
    assert caches(tmp_path / "nowhere") == {}


def test_what_numba_compiles_is_counted() -> None:
    numba = pytest.importorskip("numba")
    watch = Compilations()
    before = watch.count()
    double = numba.njit(lambda x: x + x)
    assert double(2) == 4
    compiled = watch.count()
    assert compiled > before
    assert double(3) == 6
    assert watch.count() == compiled
    assert double(2.5) == 5.0
    assert watch.count() > compiled


def test_what_jax_compiles_is_counted() -> None:
    jax = pytest.importorskip("jax")
    from impls.jax_jit import start_with

    start_with(1)  # XLA sizes its pool of threads once in a process: for the tests that come later, too
    watch = Compilations()
    before = watch.count()
    double = jax.jit(lambda x: x * 2 + 1)
    double(jax.numpy.ones(3)).block_until_ready()
    compiled = watch.count()
    assert compiled > before
    double(jax.numpy.zeros(3)).block_until_ready()
    assert watch.count() == compiled
    double(jax.numpy.ones(4)).block_until_ready()
    assert watch.count() > compiled
