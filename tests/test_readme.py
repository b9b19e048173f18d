"""README.md: its commands exist, its code computes the same gradients, and it is short.

`nox -s readme` runs the commands for real: tests/fresh_clone.py.
"""

from __future__ import annotations

from math import exp
from typing import Any

import click
import numpy as np
import pytest

from impls import registry
from tests.documents import ROOT, blocks, check, commands

README = ROOT / "README.md"


def test_it_has_at_most_900_words() -> None:
    assert len(README.read_text("utf-8").split()) <= 900


@pytest.mark.parametrize("command", list(commands(README)))
def test_every_command_is_there_with_its_options(command: str) -> None:
    check(command)


@pytest.mark.parametrize(
    "command",
    [
        "gradrace rase",
        "gradrace race --implementations numpy",
        "python -m nox -s testing",
        "pip install -e .[jacks]",
        "pytest --benchmark-only --implementations numpy",
        "make race",
    ],
)
def test_a_command_that_is_not_there_is_found(command: str) -> None:
    with pytest.raises((AssertionError, ValueError, click.NoSuchOption)):
        check(command)


def test_the_loops_and_the_arrays_have_the_same_gradients() -> None:
    loops, arrays, _ = blocks(README, "python")
    names: dict[str, Any] = {"exp": exp}
    exec(loops, names)
    in_loops = names["layer"]
    names = {"np": np}
    exec(arrays, names)
    rng = np.random.default_rng(0)
    w, b, X, DA = (rng.standard_normal(shape) for shape in ((3, 5), (3, 1), (5, 7), (3, 7)))
    dw, db = names["layer"](w, b, X, DA)
    wanted_dw, wanted_db = in_loops(w.tolist(), b[:, 0].tolist(), X.T.tolist(), DA.T.tolist())
    assert np.abs(dw - wanted_dw).max() < 1e-14
    assert np.abs(db - wanted_db).max() < 1e-14


def test_the_skeleton_has_what_the_contract_asks_for() -> None:
    names: dict[str, Any] = {}
    exec(blocks(README, "python")[2], names)
    assert isinstance(names["Mine"], type)
    assert not registry.faults_of(names["Mine"])
