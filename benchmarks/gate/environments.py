"""An environment for each side; both are built together and kept, so that only the commit differs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gate.errors import NoAnswer
from benchmarks.gate.settings import GateSettings
from benchmarks.record.pairs_file import Side

RUNNERS = ("pytest", "pytest-benchmark")
"""The packages that every suite needs, besides those of its project."""

PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")

COMPILED = {".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".rs", ".go"}
GENERATORS = ("_scm", "hatch-vcs", "versioneer", "versioningit")
"""Markers of sources that an install compiles, or of tools that write a file, into the worktree, where it
would be missing the next time."""

INSTALL_SECONDS = 1800.0


def environments(folder: Path, worktrees: Mapping[Side, Path], settings: GateSettings) -> dict[Side, Path]:
    """The Python of each side, with its worktree installed; built if a project file has changed.

    The key depends on both sides' project files, so that both are always built on one day, from one
    index: a release in between would look like a change of head. Raises NoAnswer if an install fails.
    """
    content = [
        [_read(worktree / name) for name in (*PROJECT_FILES, *settings.requirements)]
        for worktree in worktrees.values()
    ]
    asked = (settings.extras, settings.groups, settings.requirements)
    key = hashlib.sha256(json.dumps([sys.version, asked, content]).encode()).hexdigest()[:16]
    store = folder / "environments"
    for old in store.glob("*"):
        if old.name != key:
            shutil.rmtree(old)
    needed = _dependencies(worktrees["head"])
    found = {}
    for side, worktree in worktrees.items():
        # Head's benchmarks run on both sides, and may need packages that base does not name.
        own = {_name(requirement) for requirement in _dependencies(worktree)}
        more = [requirement for requirement in needed if _name(requirement) not in own]
        found[side] = _environment(store / key / side, side, worktree, settings, more)
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _pyproject(worktree: Path) -> dict[str, Any]:
    """The tables of a pyproject.toml, none without the file; raises NoAnswer if it is damaged."""
    path = worktree / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise NoAnswer(
            f"{worktree.name}: expected a pyproject.toml that can be read, got: {error}"
        ) from error


def _dependencies(worktree: Path) -> list[str]:
    found: list[str] = _pyproject(worktree).get("project", {}).get("dependencies", [])
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _environment(
    folder: Path, side: Side, worktree: Path, settings: GateSettings, more: Sequence[str]
) -> Path:
    python = folder / "bin" / "python"
    complete = folder / "complete"
    # Many a pyproject.toml only configures tools.
    described = not {"build-system", "project"}.isdisjoint(_pyproject(worktree))
    is_project = described or any((worktree / name).exists() for name in ("setup.py", "setup.cfg"))
    extras = f"[{','.join(settings.extras)}]" if settings.extras else ""
    project = ["--editable", f"{worktree}{extras}"] if is_project else []
    pip = _pip(python)
    if complete.exists():
        if project and _generates(worktree):
            _carry_out([*pip, "--no-deps", *project], side, worktree)
        return python
    shutil.rmtree(folder, ignore_errors=True)
    wanted = [*RUNNERS, *project, *more]
    for path in settings.requirements:
        wanted += ["--requirement", str(worktree / path)]
    for group in settings.groups:
        wanted += ["--group", f"{worktree / 'pyproject.toml'}:{group}"]
    _carry_out([sys.executable, "-m", "venv", "--without-pip", str(folder)], side, worktree)
    _carry_out([*pip, *wanted], side, worktree)
    complete.touch()
    return python


def _pip(python: Path) -> list[str]:
    """The command that installs into an environment: uv's if the machine has it, which is faster."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    return [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]


def _generates(worktree: Path) -> bool:
    texts = [_read(worktree / name) for name in PROJECT_FILES]
    if any(generator in text for generator in GENERATORS for text in texts):
        return True
    return any(path.suffix in COMPILED for path in worktree.rglob("*") if path.is_file())


def _carry_out(command: Sequence[str], side: Side, worktree: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=worktree,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"the environment of {side} was not built within {INSTALL_SECONDS:g} s") from error
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise NoAnswer(f"the environment of {side} could not be built:\n{tail}")
