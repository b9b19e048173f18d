"""The commands of impls, as a user meets them: tables, reasons, exit codes, no traceback for a mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradrace import commands
from impls import facts

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No words broken over lines."""
    monkeypatch.setenv("COLUMNS", "400")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


def test_check_passes_the_example_and_shows_what_it_does_not_support() -> None:
    result = run("check", str(ROOT / "examples" / "outside.py:Outside"))
    assert result.exit_code == 0, result.output
    assert re.search(r"Outside: \d+ passed, 0 failed, \d+ not supported", result.output)
    assert "sigmoid, mean_squared_error, plain descent, one thread only" in result.output


def test_check_fails_a_wrong_implementation_with_the_law_and_the_reason() -> None:
    result = run("check", "tests.impls.mutants:AverageLeftOut")
    assert result.exit_code == 1
    assert "every activation and cost" in result.output
    assert re.search(r"times its bound", result.output)


def test_check_fails_an_implementation_that_supports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "idle.py"
    path.write_text(
        "import impls\nfrom impls.numpy_batch import NumpyBatch\n"
        "class Idle(NumpyBatch):\n"
        "    def __init__(self, problem, dtype='float64', threads=1):\n"
        "        raise impls.Unsupported('it is Sunday')\n"
    )
    result = run("check", f"{path}:Idle")
    assert result.exit_code == 1
    assert "it is Sunday" in result.output
    assert "there is nothing to race" in result.output


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("numpie", "expected one of loops, "),
        ("nowhere.py:Mine", "there is no file nowhere.py"),
        ("impls.loops:Layer", "Layer is no implementation: it lacks the facts idea"),
        ("no_such_package:Mine", "importing no_such_package failed with ModuleNotFoundError"),
        ("numpy --ranks 1,2", "ranks: expected an implementation that takes them (numpy-mpi, "),
        ("numpy --ranks 0", "'--ranks': 0 is not in the range"),
    ],
)
def test_check_of_what_cannot_be_loaded_shows_why(target: str, words: str) -> None:
    result = run("check", *target.split())
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings() -> None:
    source = '"""Two\nlines."""\n\n# a comment\nx = [  # one\n    1,\n]\n\n'
    source += 'def f():\n    """Doc."""\n    return """a\nb"""\n'
    assert facts.lines_of_code(source) == 6


def test_the_module_runs_and_helps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "impls", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("check", "accuracy"):
        assert command in done.stdout
