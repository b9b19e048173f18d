"""python -m impls, as a user meets it: tables, reasons, exit codes, and no traceback for a user's mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from impls import facts, registry
from impls.__main__ import main

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No words broken over lines."""
    monkeypatch.setattr("impls.__main__.console.width", 400)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_check_passes_the_example_and_shows_what_it_does_not_support() -> None:
    result = run("check", str(ROOT / "examples" / "outside.py:Outside"))
    assert result.exit_code == 0, result.output
    assert re.search(r"Outside: \d+ passed, 0 failed, \d+ not supported", result.output)
    assert "sigmoid and mean_squared_error, float64 or float32, one thread only" in result.output


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
        ("numpie", "expected one of loops, loops-ndarray"),
        ("nowhere.py:Mine", "there is no file nowhere.py"),
        ("impls.loops:Layer", "Layer is no implementation: it lacks the facts idea"),
        ("no_such_package:Mine", "importing no_such_package failed with ModuleNotFoundError"),
    ],
)
def test_check_of_what_cannot_be_loaded_shows_why(target: str, words: str) -> None:
    result = run("check", target)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_list_has_every_implementation_and_every_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {name: registry.REGISTRY[name] for name in ("loops", "numpy")}
    table["absent"] = registry.Entry("no_such_package:Absent", extra="absent")
    monkeypatch.setattr(registry, "REGISTRY", table)
    result = run("list")
    assert result.exit_code == 0, result.output
    assert "Python floats in lists, one connection at a time" in result.output
    assert "vectorized over the batch: matrices of width m" in result.output
    assert "pip install -e '.[absent]'" in result.output
    for fact in ("that of loops", "its own", "C-contiguous matrices", "numpy-sample", "cores busy"):
        assert fact in result.output


def test_what_is_in_force_is_one_thread_where_one_was_asked_for() -> None:
    found = facts.in_force("numpy")
    assert isinstance(found, facts.InForce), found
    assert found.threads
    assert set(found.threads.values()) == {1}
    assert 0 < found.busy < 1.5
    assert re.match(r"\w+ \d+\.\d+", found.blas)


def test_loops_use_no_blas_and_a_broken_implementation_is_reported() -> None:
    found = facts.in_force("loops")
    assert isinstance(found, facts.InForce), found
    assert found.blas == "none: its own loops"
    reason = facts.in_force("nowhere.py:Mine")
    assert isinstance(reason, str)
    assert "there is no file nowhere.py" in reason


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings() -> None:
    source = '"""Two\nlines."""\n\n# a comment\nx = [  # one\n    1,\n]\n\n'
    source += 'def f():\n    """Doc."""\n    return """a\nb"""\n'
    assert facts.lines_of_code(source) == 6


def test_the_module_runs_and_helps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "impls", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("list", "check", "accuracy"):
        assert command in done.stdout
