"""The benchmarks that the gate watches in this project: methods of implementations that pass the referee.

numba compiles anew in every process: `numba-loops` and `numba`, which take as long to compile as
`numba-blocked`, would cost more than half of the pairs that a budget holds. At m = 1 `numba-blocked` takes a
microsecond, which differs by 4 % from one process to the next with the machine code that it happens to
compile: no budget of minutes shows 5 % there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

import impls
from benchmarks import options, workloads
from benchmarks.measure import session
from benchmarks.record.cells import Cell

GATED = (
    Cell("digits", "gradients", 1, "float64", 1, "loops"),
    Cell("digits", "gradients", 16, "float64", 1, "numpy-sample"),
    Cell("digits", "gradients", 1, "float64", 1, "numpy"),
    Cell("digits", "forward", 64, "float64", 1, "numpy"),
    Cell("digits", "step", 64, "float64", 1, "numpy"),
    Cell("digits", "gradients", 1024, "float64", 1, "numpy"),
    Cell("digits", "gradients", 64, "float64", 1, "numpy-inplace"),
    Cell("digits", "step", 1024, "float64", 1, "numpy-inplace"),
    Cell("digits", "gradients", 64, "float64", 1, "numba-blocked"),
    Cell("digits", "forward", 1024, "float64", 1, "numba-blocked"),
    Cell("digits", "step", 64, "float64", 1, "numba-blocked"),
    Cell("digits", "gradients", 1024, "float64", 1, "numba-blocked"),
)

LEARNING_RATE = 0.01
"""Small: however often a step is timed, the network stays in its curved part."""


def watched(implementations: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of these implementations; all that `GATED` names where there are none.

    An implementation that `GATED` does not name is watched in its gradients, at a small, a middling and a
    large batch.
    """
    if not implementations:
        return GATED
    listed: list[Cell] = []
    for name in implementations:
        own = [cell for cell in GATED if cell.implementation == name]
        listed += own or [Cell("digits", "gradients", m, "float64", 1, name) for m in (1, 64, 1024)]
    return tuple(listed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each cell, of the implementations that `--impl` names."""
    option = options.IMPLEMENTATIONS_OPTION
    pieces = metafunc.config.getoption(str(option.name)) or ()
    cells = watched([name for piece in pieces for name in option.type.convert(piece, None, None)])
    names = [field.name for field in dataclasses.fields(Cell) if field.name != "ranks"]  # pytest is one
    metafunc.parametrize(
        names,
        [tuple(getattr(cell, name) for name in names) for cell in cells],
        ids=[f"{cell.implementation} {cell.phase} m={cell.batch_size} {cell.dtype}" for cell in cells],
    )


def test_watched(
    benchmark: Any,
    workload: str,
    phase: str,
    batch_size: int,
    dtype: str,
    threads: int,
    implementation: str,
) -> None:
    """Time a method, once its implementation has passed the referee."""
    session.refuse_instruments()
    try:
        implementation_class = session.load(implementation)
    except session.CellError as error:
        pytest.skip(error.reason)
    problem = workloads.problem(workloads.named(workload), batch_size)
    verdict = impls.check(implementation_class(problem, dtype, threads), problem, dtype)
    assert verdict.passed, verdict.message
    timed = getattr(implementation_class(problem, dtype, threads), phase)
    benchmark(timed, LEARNING_RATE) if phase == "step" else benchmark(timed)
