"""Peak memory, against allocations of known size."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

import impls
from benchmarks import workloads
from benchmarks.measure import costs, isolation, memory
from benchmarks.measure.session import CellError
from benchmarks.race import survey
from benchmarks.record import race_file
from benchmarks.record.cells import Cell

MIB = 1 << 20


def test_the_peak_is_what_was_there_at_once() -> None:
    def work() -> int:
        first = np.ones(16 * MIB // 8)
        del first
        second, third = np.ones(16 * MIB // 8), np.ones(8 * MIB // 8)
        return second.nbytes + third.nbytes

    held, most = memory.peak(work)
    assert held == 24 * MIB
    assert 24 * MIB <= most <= 25 * MIB


def test_what_stood_before_is_not_counted() -> None:
    before = np.ones(32 * MIB // 8)
    _, most = memory.peak(lambda: before[:10] + 1)
    assert most < MIB


def test_a_implementation_needs_at_least_what_any_must_hold() -> None:
    workload = workloads.named("digits")
    cell = Cell("digits", "gradients", 8192, "float64", 1, "numpy")
    peaks = isolation.fresh(memory.measure, cell, workload)
    assert peaks.gradients >= peaks.least
    problem = workloads.problem(workload, 8192)
    assert peaks.construct >= problem.X.nbytes


def test_the_least_is_the_output_the_gradients_and_one_sample() -> None:
    network = impls.Network((3, 5, 2), ("relu", "identity"), "mean_squared_error")
    assert memory.least(network, 10, 4) == 4 * (10 * 2 + costs.parameters(network) + (5 + 2) + 5)


def test_a_implementation_that_cannot_says_so_across_processes() -> None:
    cell = Cell("digits", "gradients", 1, "float32", 1, "loops")
    with pytest.raises(CellError) as caught:
        isolation.fresh(memory.measure, cell, workloads.named("digits"))
    assert caught.value.status == "unsupported"
    assert survey.of(cell, workloads.named("digits")) == {}


def test_a_survey_finds_what_a_race_cannot_see() -> None:
    cell = Cell("digits", "gradients", 4, "float64", 1, "numba-loops")
    found = survey.of(cell, workloads.named("digits"))
    assert found["cold_construct_seconds"] >= found["cold_compile_seconds"] > 0
    assert found["peak_bytes"] >= 0
    assert set(found) < {field.name for field in dataclasses.fields(race_file.Measurement)}


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(isolation.Died, match="out of memory"):
        isolation.fresh(os._exit, 1)
