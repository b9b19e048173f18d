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
    rows = [re.split(r"\s*[│|]\s*", line) for line in result.output.splitlines()]
    ideas = {row[1]: row[2] for row in rows if len(row) == 7 and row[5].isdigit()}
    assert ideas["loops"] == "Python floats in lists, one connection at a time"
    assert ideas["numpy"] == "vectorized over the batch: matrices of width m"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_has_every_fact_whole_beside_its_name(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "REGISTRY", {name: registry.REGISTRY[name] for name in ("loops", "numpy")})
    monkeypatch.setattr(sheet, "in_force", lambda name: sheet.Lacking(f"{name} was not run"))
    monkeypatch.setenv("COLUMNS", str(width))
    result = CliRunner().invoke(commands, ["list"])
    assert result.exit_code == 0, result.output
    assert "…" not in result.output
    words = " ".join(re.sub(r"[│|┃]", " ", result.output).split())
    for fact in ("Implementations", "How they compute", "What is in force", "loops", "numpy", "was not run"):
        assert fact in words
    if width == 40:
        assert "numpy idea: vectorized over the batch: matrices of width m" in words
        assert "loops idea: Python floats in lists, one connection at a time" in words


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
