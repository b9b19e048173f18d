"""Two commits side by side: a worktree and an environment for each, under `.gradrace/`.

.gradrace/lock, .gradrace/lock.pid          held while a gate runs, and by whom; a dead one holds nothing
.gradrace/base, .gradrace/head              the worktrees: paths of equal length, made anew each time
.gradrace/environments/KEY/base, .../head   their environments, kept as long as the project files stay
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.record.git import GitError, git
from benchmarks.record.pairs_file import Side

FOLDER = ".gradrace"

# What Git allows in a ref or a revision, less what could be taken for an option, a path or a shell's word.
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}~^+-]*")


def repository(folder: Path) -> Path:
    """The root of the Git repository that `folder` is in; raises Refusal where there is none."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except GitError as error:
        raise Refusal(f"expected a Git repository, got {folder}: {error}") from error


def commit(root: Path, option: str, ref: str) -> str:
    """The full hash of the commit that `ref` names; raises Refusal for a name that is none, or unsafe."""
    if not _REVISION.fullmatch(ref) or ".." in ref:
        raise Refusal(f"{option}: expected a branch, a tag or a commit, got {ref!r}")
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except GitError as error:
        raise Refusal(
            f"{option}: expected a branch, a tag or a commit of this repository, got {ref!r}; "
            "fetch it first where it is on a remote"
        ) from error


def check_clean(root: Path, besides: Path | None = None) -> None:
    """Raises Refusal where files differ from the last commit: the gate compares commits.

    `besides` is the gate's own file of pairs, which may lie anywhere, and may have a predecessor beside it.
    """
    own = []
    if besides is not None and besides.resolve().is_relative_to(root.resolve()):
        name = besides.resolve().relative_to(root.resolve()).as_posix()
        own = [f":(top,exclude,literal){name}{ending}" for ending in ("", ".previous")]
    dirty = git(root, "status", "--porcelain", "--untracked-files=all", "--", ":(top)", *own).splitlines()
    if dirty:
        shown = ", ".join(line[3:] for line in dirty[:3]) + (", ..." if len(dirty) > 3 else "")
        raise Refusal(
            f"--head: expected a clean working tree, got changes that are not committed ({shown}); "
            "commit them, or name the commit to compare with --head"
        )


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """One gate at a time in this repository; raises Refusal where another one runs."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    holder = folder / "lock.pid"
    held = FileLock(folder / "lock")
    try:
        held.acquire(blocking=False)
    except Timeout as error:
        number = holder.read_text().strip() if holder.exists() else "unknown"
        raise Refusal(
            f"expected no other gate in {root}, got one with the process id {number}; wait until it has ended"
        ) from error
    with held:
        holder.write_text(f"{os.getpid()}\n")
        yield


@contextlib.contextmanager
def worktrees(root: Path, commits: Mapping[Side, str]) -> Iterator[dict[Side, Path]]:
    """Worktrees of both commits, with head's benchmark files in both; removed in the end.

    Those that a killed gate left are removed first.
    """
    found = {side: root / FOLDER / side for side in commits}
    try:
        try:
            for side, commit in commits.items():
                _remove(root, found[side])
                git(root, "worktree", "add", "--force", "--detach", str(found[side]), commit)
            git(found["base"], "rm", "-r", "--quiet", "--ignore-unmatch", "benchmarks")
            git(found["base"], "checkout", "--quiet", commits["head"], "--", "benchmarks")
        except GitError as error:
            raise NoAnswer(f"git could not check the commits out: {error}") from error
        yield found
    finally:
        for folder in found.values():
            _remove(root, folder)


def _remove(root: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    git(root, "worktree", "prune")


def environments(root: Path, folders: Mapping[Side, Path], extras: Sequence[str]) -> dict[Side, Path]:
    """The Python of each side, with its worktree installed; built where a project file is new.

    The key is made from both sides' project files, so that both are always built on one day, from one
    index: a release in between would look like a change of head. Raises NoAnswer where an install fails.
    """
    projects = {side: _project(folder) for side, folder in folders.items()}
    key = hashlib.sha256(json.dumps([sys.version, extras, projects]).encode()).hexdigest()[:16]
    store = root / FOLDER / "environments"
    for old in store.glob("*"):
        if old.name != key:
            shutil.rmtree(old)
    project = f"[{','.join(extras)}]" if extras else ""
    found = {}
    for side, folder in folders.items():
        # Head's benchmark files run on both sides, and may need packages that base does not name.
        own, needed = _requirements(projects[side]), _requirements(projects["head"])
        more = [requirement for name, requirement in needed.items() if name not in own]
        found[side] = _environment(store / key / side, side, ["--editable", f"{folder}{project}", *more])
    return found


def _project(folder: Path) -> dict[str, Any]:
    """What decides which packages an install brings, and whether it works at all."""
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{folder.name}: expected a pyproject.toml that can be read, got: {error}") from error


def _requirements(project: Mapping[str, Any]) -> dict[str, str]:
    """What a project depends on, by the names of the packages."""
    requirements: list[str] = project.get("project", {}).get("dependencies", [])
    return {re.split(r"[^\w.-]", each, maxsplit=1)[0].lower(): each for each in requirements}


def _environment(folder: Path, side: Side, wanted: Sequence[str]) -> Path:
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise NoAnswer(f"the environment of {side} could not be built:\n{tail}")
    complete.touch()
    return python
