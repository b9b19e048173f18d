"""Somebody else's project: a repository with benchmarks, packages of our names, and no NumPy."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

CODE = """
import math


def work(n):
    return sum(math.sqrt(k) for k in range(n))
"""

SUITE = """
import pytest
from thing import work


@pytest.mark.parametrize("n", [10, 300])
def test_work(benchmark, n):
    assert benchmark(work, n) >= 0
"""


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.hooksPath=/dev/null"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(root: Path, files: dict[str, str | None]) -> str:
    """Commit these files, those of no content away; returns the hash."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "a change")
    return git(root, "rev-parse", "HEAD")


def repository(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    files = {
        "src/thing.py": CODE,
        "benchmarks/__init__.py": "",
        "reports.py": "raise RuntimeError('nobody imports me')",
        "benchmarks/test_thing.py": SUITE,
        ".gitignore": "__pycache__/\n.pytest_cache/\n",
    }
    commit(folder, dict(files))
    return folder


def environment(cache: Path) -> dict[str, str]:
    """The variables of a gate whose state lies in `cache`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "XDG_CACHE_HOME": str(cache)}


@dataclasses.dataclass(frozen=True)
class GateOutcome:
    code: int
    out: str
    err: str


GATE = (sys.executable, "-m", "gradrace", "gate", "run")


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """A gate on the repository at `root`, run from a folder beside it."""
    return begun([*GATE, "--repo", str(root), "--here", *arguments], root)


def begun(command: list[str], root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=root.parent,
        env=environment(root.parent / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(root: Path, *arguments: str) -> GateOutcome:
    return ended([*GATE, "--repo", str(root), "--here", *arguments], root)


def ended(command: list[str], root: Path) -> GateOutcome:
    process = begun(command, root)
    out, err = process.communicate()
    return GateOutcome(process.returncode, out, err)
