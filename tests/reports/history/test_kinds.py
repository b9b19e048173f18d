"""Kinds of machine side by side: each commit's effect on each of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gradrace import commands
from tests.reports.history.made import MACHINE, NUMBA, NUMPY, levels, opened, sha

COMMITS, COMMON, OWN = 18, 6, 12
"""At one commit both kinds step, at another only the larger machine does."""


def history(db: str) -> None:
    """Two kinds of machine; the larger one was not there for the first commit."""
    rng = np.random.default_rng(0)
    store = opened(db)
    for k in range(COMMITS):
        for cores in (2, 64):
            if cores == 64 and k == 0:
                continue
            factor = (1.1 if k >= COMMON else 1.0) * (1.2 if k >= OWN and cores == 64 else 1.0)
            noise = np.exp(0.002 * rng.standard_normal((2, 3)))
            seconds = {NUMPY: 3e-5 * noise[0], NUMBA: 1e-5 * factor * noise[1]}
            store.add([levels(k, seconds, machine={**MACHINE, "cores": cores})])


def trend(db: str, *options: str) -> str:
    found = CliRunner().invoke(commands, ["history", "trend", "--db", db, *options])
    assert found.exit_code == 0, found.output
    return found.output


def refused(db: str, *options: str) -> str:
    found = CliRunner().invoke(commands, ["history", "trend", "--db", db, *options])
    assert found.exit_code == 2, found.output
    return found.output


@pytest.fixture
def db(tmp_path: Path) -> str:
    """SQLite alone, as these tests do not depend on the database."""
    return str(tmp_path / "history.sqlite")


def test_a_commit_is_told_apart_by_the_kinds_of_machine_that_it_changed(db: str) -> None:
    history(db)
    output = trend(db, "--machine", "all")
    assert output.count("commits\n") == 2
    _, _, table = output.partition("Steps by kind of machine")
    rows = {
        line.split()[0]: line
        for line in table.splitlines()
        if line.strip()[:10] in {sha(COMMON)[:10], sha(OWN)[:10]}
    }
    assert set(rows) == {sha(COMMON)[:10], sha(OWN)[:10]}
    assert rows[sha(COMMON)[:10]].count("in 1 of 2") == 2
    assert rows[sha(OWN)[:10]].count("in 1 of 2") == 1
    assert "none of 2" in rows[sha(OWN)[:10]]


def test_programs_get_a_list_of_kinds(db: str) -> None:
    history(db)
    documents = json.loads(trend(db, "--machine", "all", "--json", "--changed"))
    assert sorted(each["machine"]["cores"] for each in documents) == [2, 64]
    assert [len(each["series"]) for each in documents] == [1, 1]
    assert isinstance(json.loads(trend(db, "--json")), dict)


def test_a_kind_without_what_was_asked_for_is_left_out(db: str) -> None:
    store = opened(db)
    store.add([levels(0, {NUMPY: [1e-5]})])
    store.add([levels(0, {NUMBA: [1e-5]}, machine={**MACHINE, "cores": 64})])
    assert "64 cores" not in trend(db, "--machine", "all", "--impl", "numpy")
    assert "expected series with" in refused(db, "--machine", "all", "--impl", "jax")
    assert "got --machine all" in refused(db, "--machine", "all", "--page", "page.html")
