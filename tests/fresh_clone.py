"""Every command of README.md, run as a reader types it, in a fresh clone and a fresh environment.

It takes minutes and downloads: `nox -s readme`. Here commands race less than a reader's would.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

from tests.documents import ROOT, commands

QUICK = {
    "python -m nox -s bench": " -- --impl loops,numpy --batch-sizes 1 --target 50 --budget 60",
    "python -m nox -s tests": " -- tests/impls/test_interface.py",
    "gradrace race": " --batch-sizes 1 --target 50 --budget 60",
    "gradrace advise": " --impl numpy,numpy-inplace --budget 30",
    "gradrace headline": " --impl numpy --steps 100",
    "gradrace gate run --base main": " --head HEAD~0 --pairs 1 -- --impl numpy",
    "pytest --benchmark-only": " --batch-sizes 1",
}
"""The options that are added to commands with this beginning, so that all take minutes, not an hour."""

STATUS = {"gradrace gate judge": {2}}
"""Exit statuses other than 0: one pair of processes shows nothing, and the gate has no verdict."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last commit, on a branch `main` of its own, and beside it an environment that nothing is in."""
    folder = tmp_path_factory.mktemp("reader") / "gradrace"
    git = ("git", "-c", "advice.detachedHead=false")
    subprocess.run([*git, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    subprocess.run([*git, "checkout", "--quiet", "-B", "main"], cwd=folder, check=True)
    venv.create(folder.parent / "environment", with_pip=True)
    return folder


@pytest.mark.parametrize("command", list(commands(ROOT / "README.md")))
def test_a_command_of_the_readme_works(command: str, clone: Path) -> None:
    added = next((words for begin, words in QUICK.items() if command.startswith(begin)), "")
    status = next((also for begin, also in STATUS.items() if command.startswith(begin)), {0})
    environment = clone.parent / "environment"
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NOX"))}
    done = subprocess.run(
        command + added,
        shell=True,
        cwd=clone,
        env=variables | {"PATH": path, "VIRTUAL_ENV": str(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in status, done.stdout + done.stderr
