"""The README's own path: its install in a fresh environment, and what it then runs, on every Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.field.trial import ROOT, SMALL, run, statuses

PYTHONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """A Python of that version: on the path, or among those of pyenv."""
    found = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    for candidate in [*map(str, reversed(installed)), *([found] if found else [])]:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return candidate
    pytest.skip(f"there is no Python {version} here")


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clone, and the commands of a fresh environment into which it was installed as the README does."""
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    python = interpreter(request.param)
    clone, venv = folder / "gradrace", folder / "venv"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run([python, "-m", "venv", str(venv)], check=True)
    run(venv / "bin" / "pip", "install", "-q", "-e", ".", cwd=clone, status=0, within=1200)
    return clone, venv / "bin"


@pytest.mark.field
def test_pytest_races_after_the_readmes_install(installed: tuple[Path, Path]) -> None:
    clone, commands = installed
    asked = ("--benchmark-only", "--impl=numpy,numba", "--workload=xor", "--batch-sizes=1")
    run(commands / "pytest", *asked, "--record=r.json", cwd=clone, status=0, within=300)
    assert statuses(clone / "r.json") == {"numpy": {"measured"}, "numba": {"measured"}}


@pytest.mark.field
@pytest.mark.parametrize("implementations", ["loops,numpy", "numba-loops,numba,numba-blocked"])
def test_the_command_races_and_draws(
    implementations: str, installed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, commands = installed
    asked = ("race", *SMALL, "--impl", implementations, "--budget", "120", "--record", "r.json")
    run(commands / "gradrace", *asked, cwd=tmp_path, status=0, within=600)  # each compiles, on any machine
    assert set(statuses(tmp_path / "r.json")) == set(implementations.split(","))
    assert (tmp_path / "speedup.svg").is_file()


@pytest.mark.field
def test_the_other_commands_run(installed: tuple[Path, Path], tmp_path: Path) -> None:
    clone, commands = installed
    gradrace = commands / "gradrace"
    run(gradrace, "list", cwd=tmp_path, status=0, within=300)
    run(gradrace, "train", "--impl", "numpy", "--steps", "50", cwd=tmp_path, status=0)
    run(gradrace, "check", clone / "examples" / "outside.py:Outside", cwd=tmp_path, status=0, within=300)
    run(gradrace, "standings", clone / "docs" / "gallery" / "race.json", cwd=tmp_path, status=0)
    for asked in (("page", clone / "docs" / "gallery" / "race.json", "--out", "out"), ("history", "show")):
        ended = run(gradrace, *asked, cwd=tmp_path)  # extras that the README's install does not bring
        assert ended.status == 2
        assert "pip install -e" in ended.err or "history" in ended.err


@pytest.mark.field
def test_an_absent_library_is_asked_for_by_name_in_vain(installed: tuple[Path, Path], tmp_path: Path) -> None:
    _, commands = installed
    asked = ("race", "--quiet", *SMALL, "--impl", "torch", "--record", "r.json")
    ended = run(commands / "gradrace", *asked, cwd=tmp_path, status=4)
    assert "pip install -e '.[torch]'" in ended.err
