"""The fairness sheet."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from benchmarks.race import sheet
from gradrace import commands
from impls import registry


def test_list_has_every_implementation_and_every_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {name: registry.REGISTRY[name] for name in ("loops", "numpy")}
    table["absent"] = registry.Entry("no_such_package:Absent", extra="absent")
    monkeypatch.setattr(registry, "REGISTRY", table)
    monkeypatch.setenv("COLUMNS", "400")
    result = CliRunner().invoke(commands, ["list"])
    assert result.exit_code == 0, result.output
    assert "Python floats in lists, one connection at a time" in result.output
    assert "vectorized over the batch: matrices of width m" in result.output
    assert "pip install -e '.[absent]'" in result.output
    for fact in ("that of loops", "its own", "C-contiguous matrices", "numpy-sample", "cores busy"):
        assert fact in result.output


def test_what_is_in_force_is_one_thread_where_one_was_asked_for() -> None:
    found = sheet.in_force("numpy")
    assert isinstance(found, sheet.InForce), found
    assert found.threads
    assert set(found.threads.values()) == {1}
    assert 0 < found.busy < 1.5
    assert re.match(r"\w+ \d+\.\d+", found.blas)


def test_loops_use_no_blas_and_a_broken_implementation_is_reported() -> None:
    found = sheet.in_force("loops")
    assert isinstance(found, sheet.InForce), found
    assert found.blas == "none: its own loops"
    reason = sheet.in_force("nowhere.py:Mine")
    assert isinstance(reason, sheet.Lacking)
    assert "there is no file nowhere.py" in reason.reason
