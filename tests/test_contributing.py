"""CONTRIBUTING.md: its commands exist, and its exercise does what it says in a copy of the repository."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.copies import copied
from tests.documents import ROOT, check, commands

PAGE = ROOT / "CONTRIBUTING.md"
EXERCISE = re.search(r"\n## A first exercise\n.*?(?=\n## )", PAGE.read_text("utf-8"), re.DOTALL)

EDIT = re.compile(
    r"^(?:(?P<new>New file)|(?P<end>At the end of)|In) `(?P<path>[^`]+)`(?:, below `(?P<below>[^`]+)`)?:\n\n"
    r"```python\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
STEP = re.compile(rf"{EDIT.pattern}|^```sh\n(?P<shell>.*?)^```", re.DOTALL | re.MULTILINE)

PROGRAMS = {"gradrace": "gradrace.py", "pytest": "-m pytest"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exercise") / "gradrace"
    copied(ROOT, folder, ".*", "docs", "out", "*.egg-info", "shared")
    return folder


def applied(step: re.Match[str], folder: Path) -> None:
    """Edit a file of the copy as the page says."""
    path, code = folder / step["path"], step["code"]
    if step["new"]:
        assert not path.exists()
        path.write_text(code, "utf-8")
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    if step["end"]:
        lines += ["\n\n", code]
    else:
        place = next(k for k, line in enumerate(lines) if step["below"] in line)
        indent = re.match(r" *", lines[place])
        assert indent
        lines.insert(place + 1, indent[0] + code)
    path.write_text("".join(lines), "utf-8")


def run(command: str, folder: Path) -> None:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program].split(), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_exercise_works(copy: Path) -> None:
    assert EXERCISE
    steps = list(STEP.finditer(EXERCISE[0]))
    assert [bool(step["shell"]) for step in steps].count(True) == 3
    assert [step["code"].count("\n") for step in steps if step["below"]] == [1, 1, 1]  # one line each
    for step in steps:
        if step["path"]:
            applied(step, copy)
        else:
            for command in step["shell"].splitlines():
                run(command, copy)
    record = json.loads((copy / "wide" / "record.json").read_text("utf-8"))
    measured = {(each["implementation"], each["workload"]) for each in record["measurements"]}
    assert measured == {("numpy", "digits-wide"), ("numpy-einsum", "digits-wide")}
    assert (copy / "wide" / "throughput.svg").exists()
    assert "(throughput.svg)" in (copy / "wide" / "summary.md").read_text("utf-8")
    run("pytest -q -p no:cacheprovider tests/test_imports.py -k implementation", copy)


def other_commands() -> list[str]:
    assert EXERCISE
    return [command for command in commands(PAGE) if command not in EXERCISE[0]]


@pytest.mark.parametrize("command", other_commands())
def test_every_other_command_is_there_with_its_options(command: str) -> None:
    check(command)
