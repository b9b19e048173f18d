"""The machine and its software, as a record has them."""

import json
import os
from pathlib import Path

import numba
import numpy as np
import pytest

from benchmarks.record import machine


def test_the_machine_and_the_versions_can_be_written_down() -> None:
    described, versions = machine.machine(), machine.versions()
    assert json.loads(json.dumps(described)) == described
    assert described["cpu"]
    assert described["cores"] >= 1
    assert (versions["numpy"], versions["numba"]) == (np.__version__, numba.__version__)
    assert {"python", "blas"} <= set(versions)
    assert all(isinstance(value, str) for value in versions.values())


def test_every_fact_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "text", lambda path: "")
    described = machine.machine()
    assert described["cpu"]
    assert described["caches"] == {}


def test_a_file_that_is_absent_or_closed_says_nothing(tmp_path: Path) -> None:
    assert machine.text(tmp_path / "absent") == ""
    assert machine.text(tmp_path) == ""


def test_settings_that_matter_are_known_and_name_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(machine.TUNING):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/home/somebody")
    assert machine.variables() == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("LD_PRELOAD", "/home/somebody/malloc.so")
    assert machine.variables() == {"variables": {"LD_PRELOAD": "a path", "OPENBLAS_CORETYPE": "Haswell"}}
