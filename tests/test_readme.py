"""README.md: its commands exist, its code computes the same gradients, and it is short.

`nox -s readme` runs the commands for real: tests/fresh_clone.py.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from math import exp
from typing import Any

import click
import numpy as np
import pytest

import gradrace
import impls
from tests.documents import ROOT, blocks, commands

README = ROOT / "README.md"


def test_it_has_at_most_900_words() -> None:
    assert len(README.read_text("utf-8").split()) <= 900


def checked_gradrace(arguments: list[str]) -> None:
    """Fails where there is no such command, or no such option of it."""
    command: click.Command = gradrace.commands
    context = click.Context(command)
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command, context = found, click.Context(found, parent=context)
    command.make_parser(context).parse_args(arguments)


def checked_nox(arguments: list[str]) -> None:
    """Fails where noxfile.py has no such session."""
    assert arguments[0] == "-s"
    listed = re.findall(
        r"^@nox\.session.*\ndef (\w+)|^@nox\.session\(name=\"([\w-]+)\"", noxfile(), re.MULTILINE
    )
    assert arguments[1] in {name for names in listed for name in names}


def noxfile() -> str:
    return (ROOT / "noxfile.py").read_text("utf-8")


def checked_install(arguments: list[str]) -> None:
    """Fails where the project has no such extra."""
    if arguments == ["nox"]:
        return
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    found = re.fullmatch(r"-e \.(?:\[([\w,]+)\])?", " ".join(arguments))
    assert found
    assert set((found[1] or "").split(",")) - {""} <= set(extras)


def checked_pytest(arguments: list[str]) -> None:
    """Fails where pytest does not know an option, or finds nothing to run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CHECKS = {
    "gradrace": checked_gradrace,
    "pytest": checked_pytest,
    "pip install": checked_install,
    "python -m pip install": checked_install,
    "python -m nox": checked_nox,
}


def check(command: str) -> None:
    """Fails where a command cannot be run as it stands in a document."""
    begin = max((begin for begin in CHECKS if f"{command} ".startswith(f"{begin} ")), key=len)
    CHECKS[begin](shlex.split(command.removeprefix(begin)))


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
    assert not impls.registry.faults_of(names["Mine"])
