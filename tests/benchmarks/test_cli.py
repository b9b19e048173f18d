"""The race's commands: what it answers, and how it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradrace import commands

HELP = """
import sys
from gradrace import commands
commands({arguments!r}, standalone_mode=False)
print(*(name for name in ("numpy", "numba", "scipy", "rich", "impls") if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [["race", "--help"], ["train", "--help"], ["headline", "--help"]])
def test_help_loads_nothing_that_computes(arguments: list[str]) -> None:
    code = HELP.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("race --impl nunpy", "did you mean 'numpy'?"),
        ("race --workload digit", "did you mean 'digits'?"),
        ("race --phases backward", "--phases: expected one of forward, gradients, step, got 'backward'"),
        ("race --batch-sizes 0", "--batch-sizes: expected a whole number of 1 or more, got '0'"),
        ("race --dtype float16", "--dtype: expected one of float64, float32, got 'float16'"),
        ("race --threads 100000", "the CPUs that this process may use, got 100000"),
        ("race --target 0", "--target: expected a positive number, got '0'"),
        ("race --budget soon", "--budget: expected a positive number, got 'soon'"),
        ("race --network 64", "at least one layer"),
        ("race --resume", "--resume: expected a race at"),
        ("merge nowhere.json", "nowhere.json"),
        ("train --impl nunpy", "did you mean 'numpy'?"),
        ("train --impl numpy --workload xor", "expected one on the digits, got 'xor'"),
        ("train --impl numpy --steps 0", "--steps: expected a whole number of 1 or more, got '0'"),
        ("train --impl numpy --learning-rate -1", "--learning-rate: expected a positive number, got '-1'"),
        ("train --impl loops --dtype float32", "loops computes in float64"),
        ("headline --impl nunpy", "did you mean 'numpy'?"),
        ("headline --workload mnist", "workload: expected one of digits"),
        ("headline --batch-size many", "--batch-size: expected a whole number of 1 or more, got 'many'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Threads are limited in the process that is asked: not in that of the tests.
    monkeypatch.setattr("benchmarks.measure.environment.limit_threads", lambda threads: None)
    done = CliRunner().invoke(commands, arguments.split())
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("**/*.json"))


def test_what_is_no_record_is_not_merged(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format": "another"}')
    done = CliRunner().invoke(commands, ["merge", str(tmp_path / "a.json")])
    assert done.exit_code == 2
    assert "the file of another tool" in done.stderr
