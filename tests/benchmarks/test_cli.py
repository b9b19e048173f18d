"""The race's commands: what it answers, and how it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.race import journal
from benchmarks.record import race_file
from gradrace import commands

HELP = """
import sys
from gradrace import commands
commands({arguments!r}, standalone_mode=False)
print(*(name for name in ("numpy", "numba", "scipy", "rich", "impls") if name in sys.modules))
"""


@pytest.mark.parametrize(
    "arguments", [["race", "--help"], ["advise", "--help"], ["train", "--help"], ["headline", "--help"]]
)
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
        ("race --phases backward", "'--phases': expected one of forward, gradients, step, got 'backward'"),
        ("race --batch-sizes 0", "'--batch-sizes': 0 is not in the range"),
        ("race --dtype float16", "expected one of float64, float32, got 'float16'"),
        ("race --threads 100000", "the CPUs that this process may use, got 100000"),
        ("race --target 0", "'--target': expected a positive number, got '0'"),
        ("race --budget soon", "'--budget': expected a positive number, got 'soon'"),
        ("race --network 64", "at least one layer"),
        ("race --resume", "--resume: expected a race at"),
        ("race --baseline nunpy", "did you mean 'numpy'?"),
        ("race --impl numpy --baseline loops", "expected one of the implementations that race (numpy)"),
        ("race --until ranking --baseline numpy", "expected it without --baseline, got both"),
        ("race --until soon", "'soon' is not one of"),
        ("advise", "Missing argument 'NETWORK'"),
        ("advise 64", "at least one layer"),
        ("advise 64-x", "expected widths like 784-128-10, got '64-x'"),
        ("advise 64-10 --impl nunpy", "did you mean 'numpy'?"),
        ("advise 64-10 --batch-sizes 0", "'--batch-sizes': 0 is not in the range"),
        ("advise 64-10 --dtype float16", "expected one of float64, float32, got 'float16'"),
        ("advise 64-10 --threads 100000", "the CPUs that this process may use, got 100000"),
        ("advise 64-10 --budget soon", "'--budget': expected a positive number, got 'soon'"),
        ("advise 64-10 --activation swish", "swish"),
        ("merge nowhere.json", "nowhere.json"),
        ("train --impl nunpy", "did you mean 'numpy'?"),
        ("train --impl numpy --workload xor", "expected one on the digits, got 'xor'"),
        ("train --impl numpy --steps 0", "'--steps': 0 is not in the range"),
        ("train --impl numpy --learning-rate -1", "'--learning-rate': expected a positive number, got '-1'"),
        ("train --impl numpy --optimizer sgd", "expected one of gradient_descent, momentum"),
        ("train --impl numpy --dropout 1", "expected a rate from 0 up to, but not, 1, got '1'"),
        ("train --impl numpy --l2 nan", "expected a finite number of 0 or more, got 'nan'"),
        ("train --impl numpy --accuracy 101", "expected a share from 0 up to 100 %, got '101'"),
        ("train --impl numpy --ranks 2", "--ranks: expected --impl with one that takes them"),
        ("train --impl numpy --ranks 0", "'--ranks': 0 is not in the range"),
        ("train --steps 1", "Missing option '--impl'"),
        ("race --optimizer adma", "did you mean 'adam'?"),
        ("race --network 64-10 --dropout 0.5", "expected a network with a hidden layer"),
        ("headline --l2 -1", "expected a finite number of 0 or more, got '-1'"),
        ("headline --impl nunpy", "did you mean 'numpy'?"),
        ("headline --workload mnist", "expected one of digits"),
        ("headline --impl numpy --ranks 2", "--ranks: expected --impl with one that takes them"),
        ("headline --batch-size many", "'--batch-size': 'many' is not a valid integer"),
    ],
)
def test_a_wrong_value_is_refused_before_any_work(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Threads are limited in the process that is asked: not in that of the tests.
    monkeypatch.setattr("benchmarks.measure.threads.limit_threads", lambda threads: None)
    done = CliRunner().invoke(commands, arguments.split())
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("**/*.json"))


def test_what_is_no_record_is_not_merged(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format": "another"}')
    done = CliRunner().invoke(commands, ["merge", str(tmp_path / "a.json")])
    assert done.exit_code == 2
    assert "the file of another tool" in done.stderr


@pytest.mark.parametrize("command", ["race", "advise", "train", "headline", "merge"])
def test_help_fits_80_columns(command: str) -> None:
    done = CliRunner().invoke(commands, [command, "--help"])
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


RACE = "race --workload xor --batch-sizes 1 --budget 1 --quiet --record"


def test_what_was_named_and_not_measured_has_an_exit_status_of_its_own(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = CliRunner().invoke(commands, [*RACE.split(), str(record), "--impl", "nowhere.py:Missing"])
    assert done.exit_code == 4
    assert "not measured: nowhere.py:Missing: unavailable: " in done.stderr
    assert [m.status for m in race_file.read(record).measurements] == ["unavailable"]


def test_advice_names_the_fastest_and_what_could_not_be_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.json"
    asked = "advise 4-3-2 --batch-sizes 2 --budget 25 --impl numpy,numpy-inplace,nowhere.py:Missing --record"
    done = CliRunner().invoke(commands, [*asked.split(), str(record)])
    assert done.exit_code == 4
    assert "not measured: nowhere.py:Missing: unavailable: " in done.stderr
    printed = capfd.readouterr().out
    assert re.search(
        r"4-3-2 sigmoid mean_squared_error, step, .*: numpy(-inplace)? (is|was) fastest", printed
    )
    assert "Not tried (a package is not installed): nowhere.py:Missing" in printed
    found = race_file.read(record)
    assert found.settings["until"] == "ranking"
    assert set(found.implementations["numpy"].versions) == {"numpy"}
    assert found.implementations["numpy"].install_bytes == 0


def test_advice_of_which_nothing_could_be_measured_is_an_error(tmp_path: Path) -> None:
    asked = "advise 4-3-2 --batch-sizes 2 --budget 5 --impl nowhere.py:Missing --quiet --record"
    done = CliRunner().invoke(commands, [*asked.split(), str(tmp_path / "record.json")])
    assert done.exit_code == 4
    assert "not measured: nowhere.py:Missing: unavailable: " in done.stderr


def test_a_race_is_reported_over_its_baseline(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    asked = "race --workload xor --batch-sizes 1 --phases step --target 1e9 --impl numpy,loops"
    done = CliRunner().invoke(commands, [*asked.split(), "--baseline", "numpy", "--record", str(record)])
    assert done.exit_code == 0
    assert race_file.read(record).settings["baseline"] == "numpy"
    assert "numpy: time of one call; the others: times as fast" in done.stdout


def test_a_record_that_another_race_writes_is_refused(tmp_path: Path) -> None:
    with journal.sole(tmp_path / "record.json"):
        done = CliRunner().invoke(commands, [*RACE.split(), str(tmp_path / "record.json"), "--impl=numpy"])
    assert done.exit_code == 2
    assert "another race is writing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_training_of_which_nothing_was_measured_leaves_no_record(tmp_path: Path) -> None:
    asked = "train --impl loops --dtype float32 --steps 1 --seeds 0,1 --record"
    done = CliRunner().invoke(commands, [*asked.split(), str(tmp_path / "record.json")])
    assert done.exit_code == 4
    assert "not measured: loops: unsupported: loops computes in float64" in done.stderr
    assert list(tmp_path.iterdir()) == []
