"""Functions that an implementation replaces are found by name."""

from __future__ import annotations

import time

import numpy as np
import pytest

import impls
from impls import processes
from impls.referee import changed, snapshot, verdict


def test_nothing_is_changed_where_nothing_was() -> None:
    assert changed(snapshot()) == []


@pytest.mark.parametrize(
    ("where", "name", "value", "found"),
    [
        (time, "perf_counter", lambda: 0.0, "time.perf_counter"),
        (np, "abs", np.zeros_like, "numpy.abs"),
        (verdict.Comparison, "passed", True, "impls.referee.verdict.Comparison.passed"),
        (verdict.Comparison, "compare", print, "impls.referee.verdict.Comparison.compare"),
        (verdict, "digits", print, "impls.referee.verdict.digits"),
        (impls, "check", print, "impls.check"),
        (impls, "cpu_seconds", lambda: 0.0, "impls.cpu_seconds"),
        (processes, "descendants", list, "impls.processes.descendants"),
    ],
)
def test_a_replaced_name_is_found(
    where: object, name: str, value: object, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()
    monkeypatch.setattr(where, name, value)
    assert found in changed(before)
    # the package hands on what its modules have
    assert len(changed(before)) == 1 + (where is processes)


def test_other_code_behind_the_same_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    monkeypatch.setattr(verdict.digits, "__code__", (lambda error, size: 17).__code__)
    assert "impls.referee.verdict.digits" in changed(before)


def test_what_is_added_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot()
    monkeypatch.setattr(np, "of_our_own", print, raising=False)
    assert changed(before) == []
