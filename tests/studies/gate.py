"""The gate's validation study: pairs of one commit, pairs with known slowdowns, and whole gates on both."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.record.git import git

if TYPE_CHECKING:
    from tests.studies.injections import Injection

FOLDER = Path(".gradrace/study")

SAME = "same"
"""The kind of a gate that compares a commit with itself."""

IDENTITY = ("-c", "user.name=gate study", "-c", "user.email=gate@localhost")


@dataclasses.dataclass(frozen=True)
class Task:
    """One command of the study, and the file that is there once it is done."""

    kind: str
    arguments: tuple[str, ...]
    out: Path


def prepare(root: Path, folder: Path) -> Path:
    """A clone of the repository at `root`, with a tag for each injection's base and head; made once."""
    from tests.studies.injections import INJECTIONS

    clone = folder / "repository"
    if clone.exists():
        return clone
    making = folder / "repository.making"
    shutil.rmtree(making, ignore_errors=True)
    making.parent.mkdir(parents=True, exist_ok=True)
    git(root, "clone", "--quiet", str(root), str(making))
    git(making, "tag", "study/start")
    for kind, injection in INJECTIONS.items():
        for side in ("base", "head"):
            _commit(making, injection, side, f"study/{kind}/{side}")
    making.rename(clone)
    return clone


def _commit(clone: Path, injection: Injection, side: str, tag: str) -> None:
    git(clone, "checkout", "--quiet", "--detach", "study/start")
    for edit in getattr(injection, side):
        edit.apply(clone)
    git(clone, *IDENTITY, "commit", "--quiet", "--all", "--allow-empty", "--message", tag)
    git(clone, "tag", tag)


def tasks(folder: Path, same: int, injected: int, runs: int, kinds: Sequence[str] = ()) -> Iterator[Task]:
    """The tasks of the study, the most informative first; whole gates take turns, kind by kind.

    `kinds` are `SAME` and the names of injections; all of them where none is named.
    """
    from tests.studies.injections import INJECTIONS

    refs = {kind: (f"study/{kind}/base", f"study/{kind}/head") for kind in INJECTIONS}
    refs[SAME] = ("study/start", "study/start")

    def task(kind: str, out: str, *more: str) -> Task:
        base, head = refs[kind]
        return Task(kind, ("--base", base, "--head", head, "--here", *more), folder / out)

    wanted = kinds or list(refs)
    if SAME in wanted:
        yield task(SAME, f"{SAME}.json", "--pairs", str(same))
    for kind, injection in INJECTIONS.items():
        if kind in wanted:
            implementations = ",".join(injection.slowed)
            impl = ("--", "--impl", implementations)
            yield task(kind, f"injected/{kind}.json", "--pairs", str(injected), *impl)
    for run in range(runs):
        for kind in wanted:
            yield task(kind, f"runs/{kind}-{run:02}.json")


def carry_out(task: Task, clone: Path) -> int:
    """Do a task, or continue it; returns the exit status of its gate."""
    partial = task.out.with_suffix(".partial")
    command = [sys.executable, "-m", "benchmarks", "gate", "run", "--out", str(partial)]
    if "--pairs" in task.arguments:
        command.append(
            "--resume"
        )  # a whole gate that was killed begins again: its time is one of its figures
    command += task.arguments
    done = subprocess.run(command, cwd=clone, check=False)
    if done.returncode == 0:
        partial.replace(task.out)
    return done.returncode


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option(
    "--same", type=click.IntRange(min=1), default=60, show_default=True, help="Pairs of one commit."
)
@click.option(
    "--injected", type=click.IntRange(min=1), default=24, show_default=True, help="Pairs per injection."
)
@click.option(
    "--runs", type=click.IntRange(min=0), default=20, show_default=True, help="Whole gates per kind."
)
@click.option("--kinds", metavar="LIST", help="same, or names of injections; all unless named.")
@click.option("--hours", type=click.FloatRange(min=0), default=24.0, show_default=True, help="When to stop.")
def main(folder: Path, same: int, injected: int, runs: int, kinds: str | None, hours: float) -> None:
    """Measure the gate itself; `python -m tests.studies.gate_report` reports how often it errs.

    Whatever is done stays done: called again, the study goes on where it was stopped or killed.
    """
    from benchmarks.gate import worktrees
    from tests.studies.injections import INJECTIONS

    named = kinds.split(",") if kinds else []
    for kind in named:
        if kind not in (SAME, *INJECTIONS):
            raise click.BadParameter(
                f"expected some of {', '.join((SAME, *INJECTIONS))}, got {kind!r}", param_hint="--kinds"
            )
    root = worktrees.repository(Path.cwd())
    folder = folder.resolve()
    clone = prepare(root, folder)
    deadline = time.monotonic() + 3600 * hours
    todo = [task for task in tasks(folder, same, injected, runs, named) if not task.out.exists()]
    for k, task in enumerate(todo):
        if time.monotonic() > deadline:
            break
        click.echo(f"task {k + 1} of {len(todo)}: {task.out.relative_to(folder)}", err=True)
        code = carry_out(task, clone)
        if code:
            raise click.ClickException(f"{task.out.name}: its gate ended with exit status {code}")
    left = sum(not task.out.exists() for task in todo)
    click.echo(f"{folder}: {left} tasks left" if left else str(folder))


if __name__ == "__main__":
    main()
