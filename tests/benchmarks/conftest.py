"""Cells are measured at once: no test asserts a time, and beside other tests no moment is undisturbed."""

from __future__ import annotations

import pytest

from benchmarks.measure import noise
from benchmarks.race import messages
from tests.benchmarks import at_once


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "WAIT_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(noise, "LISTEN_SECONDS", 0.0)
    monkeypatch.setattr(messages, "WORKER", f"{at_once.__name__}:serve")
