"""Bisections that are run: `python -m tests.studies.bisections` prints how often the right commit was found.

Each is of a repository of its own with 17 commits, of which one makes its benchmark 10 % slower.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.record.git import git
from tests.studies.gate import IDENTITY

COMMITS = 16
"""After the good end."""

CODE = """
def work():
    total = 0
    for number in range({numbers}):
        total += number & 7
    return total  # commit {k}
"""

SUITE = """
from thing import work


def test_work(benchmark):
    benchmark(work)
"""


def repository(root: Path, guilty: int) -> list[str]:
    """Make a repository whose commit `guilty` (from 1) is the first slow one; returns its commits."""
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    (root / "src").mkdir()
    (root / "test_thing.py").write_text(SUITE, encoding="utf-8")
    (root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n", encoding="utf-8")
    commits = []
    for k in range(COMMITS + 1):
        numbers = 3300 if k >= guilty else 3000
        (root / "src" / "thing.py").write_text(CODE.format(numbers=numbers, k=k), encoding="utf-8")
        git(root, "add", "--all")
        git(root, *IDENTITY, "commit", "--quiet", "--message", f"commit {k}")
        commits.append(git(root, "rev-parse", "HEAD"))
    return commits


def bisection(guilty: int) -> tuple[bool, float]:
    """Whether the commit was found, and in how many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        commits = repository(root, guilty)
        command = [sys.executable, "-m", "gradrace", "gate", "bisect", "--repo", str(root), "--here"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--good", commits[0]], stdout=subprocess.PIPE, text=True, check=False
        )
        return done.stdout.split() == [commits[guilty]], time.perf_counter() - began


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws which commits are slower.")
def main(runs: int, seed: int) -> None:
    """Search for a commit that made a benchmark 10 % slower, among 16."""
    rng = random.Random(seed)
    right = 0
    for run in range(runs):
        guilty = rng.randint(1, COMMITS)
        found, seconds = bisection(guilty)
        right += found
        click.echo(f"commit {guilty}: {'right' if found else 'wrong'}, {seconds:.0f} s; {right} of {run + 1}")


if __name__ == "__main__":
    main()
