"""The survey of a race: memory and compilation, each in processes of its own."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import workloads
from benchmarks.race import messages, survey
from benchmarks.record import race_file
from benchmarks.record.cells import Cell

DIGITS = workloads.named("digits")


def of(cell: Cell) -> dict[str, float]:
    return survey.of(cell, DIGITS.described(), timeout=300.0)


def test_an_implementation_needs_at_least_what_any_must_hold() -> None:
    found = of(Cell("digits", "gradients", 8192, "float64", 1, "numpy"))
    assert found["peak_bytes"] >= found["least_bytes"] > 0
    assert found["construct_peak_bytes"] >= workloads.problem(DIGITS, 8192).X.nbytes


def test_compilation_is_found_cold_and_cached() -> None:
    found = of(Cell("digits", "gradients", 4, "float64", 1, "numba-loops"))
    assert found["cold_construct_seconds"] >= found["cold_compile_seconds"] > 0
    assert found["cached_compile_seconds"] >= 0
    assert found["peak_bytes"] >= 0
    assert set(found) < {field.name for field in dataclasses.fields(race_file.Measurement)}


def test_an_implementation_that_cannot_is_no_error_of_the_survey() -> None:
    assert of(Cell("digits", "gradients", 1, "float32", 1, "loops")) == {}


def test_one_whose_process_ends_is_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "WORKER", "os:_exit")
    assert of(Cell("digits", "gradients", 1, "float64", 1, "numpy")) == {}
