"""The worktrees of two commits, in a folder of the gate outside the repository's tree.

STATE/lock, STATE/lock.pid          the lock of a running gate, and the id of its process
STATE/base, STATE/head              the worktrees, at paths of equal length, created for each gate
STATE/environments/KEY/base, .../head   their environments, kept while the project files do not change
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.record import files
from benchmarks.record.git import GitError, git
from benchmarks.record.pairs_file import Side

# What Git allows in a ref or a revision, less what could be taken for an option, a path or a shell's word.
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}~^+-]*")


def repository(folder: Path) -> Path:
    """The root of the Git repository that `folder` is in; raises Refusal if there is none."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except GitError as error:
        raise Refusal(f"expected a Git repository, got {folder}: {error}") from error


def commit(root: Path, option: str, ref: str) -> str:
    """The full hash of the commit that `ref` names; raises Refusal for an unknown or unsafe name."""
    if not _REVISION.fullmatch(ref) or ".." in ref:
        raise Refusal(f"{option}: expected a branch, a tag or a commit, got {ref!r}")
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except GitError as error:
        raise Refusal(
            f"{option}: expected a branch, a tag or a commit of this repository, got {ref!r}; "
            "if it is on a remote, fetch it first"
        ) from error


def check_clean(root: Path, besides: Path | None = None) -> None:
    """Raise Refusal if files differ from the last commit, as the gate compares commits.

    `besides` is the gate's own pairs file, which is ignored wherever it is, as is its predecessor beside it.
    """
    own = []
    if besides is not None and besides.resolve().is_relative_to(root.resolve()):
        here = besides.resolve().relative_to(root.resolve())
        own = [f":(top,exclude,literal){path.as_posix()}" for path in (here, files.aside(here))]
    dirty = git(root, "status", "--porcelain", "--untracked-files=all", "--", ":(top)", *own).splitlines()
    if dirty:
        shown = ", ".join(line[3:] for line in dirty[:3]) + (", ..." if len(dirty) > 3 else "")
        raise Refusal(
            f"--head: expected a clean working tree, got changes that are not committed ({shown}); "
            "commit them, or name the commit to compare with --head"
        )


def state(root: Path) -> Path:
    """The gate's folder for a repository, in the user's cache; raises Refusal if it cannot be written to."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:  # a user without a name
        raise Refusal(
            f"expected a home for worktrees and environments, got none ({error}); set XDG_CACHE_HOME"
        ) from error
    key = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    folder = cache / "gradrace" / f"{root.resolve().name}-{key}"
    try:
        files.ready(folder)
    except OSError as error:
        raise Refusal(
            f"expected a folder for worktrees and environments, got {folder}: {error}; "
            "set XDG_CACHE_HOME to one that can be written to"
        ) from error
    return folder


@contextlib.contextmanager
def lock(folder: Path, root: Path) -> Iterator[None]:
    """A block that only one gate at a time enters for this repository; raises Refusal if another one runs."""
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
def worktrees(root: Path, folder: Path, commits: Mapping[Side, str]) -> Iterator[dict[Side, Path]]:
    """Worktrees of both commits, with their submodules; removed in the end.

    Those that a killed gate left are removed first.
    """
    found = {side: folder / side for side in commits}
    try:
        for side, commit in commits.items():
            _remove(root, found[side])
            try:
                git(root, "worktree", "add", "--force", "--detach", str(found[side]), commit)
                if (found[side] / ".gitmodules").exists():
                    git(found[side], "submodule", "--quiet", "update", "--init", "--recursive")
            except GitError as error:
                raise NoAnswer(f"{side}: git could not check {commit[:10]} out: {error}") from error
        yield found
    finally:
        for worktree in found.values():
            _remove(root, worktree)


def move(worktree: Path, commit: str) -> None:
    """Check another commit out in a worktree; raises NoAnswer if Git cannot.

    Bytecode is removed: Python would take it for that of any source of its size and of the same second.
    """
    try:
        git(worktree, "checkout", "--quiet", "--force", "--detach", commit)
    except GitError as error:
        raise NoAnswer(f"git could not check {commit[:10]} out: {error}") from error
    for bytecode in worktree.rglob("__pycache__/*.pyc"):
        bytecode.unlink(missing_ok=True)


def between(root: Path, good: str, bad: str) -> tuple[str, ...]:
    """The commits after `good` up to `bad`, in order, along first parents; raises Refusal without any."""
    try:
        shared = git(root, "merge-base", good, bad)
    except GitError:  # no message: they share no commit, or none that a shallow clone has
        shared = ""
    if shared != good:
        raise Refusal(
            f"--good: expected an ancestor of --bad, got {good[:10]}, which is no ancestor of {bad[:10]}; "
            "if the clone is shallow, fetch the whole history"
        )
    found = git(root, "rev-list", "--reverse", "--first-parent", "--ancestry-path", f"{good}..{bad}").split()
    if not found:
        raise Refusal("--bad: expected a commit after --good, got the same one")
    return tuple(found)


def _remove(root: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(GitError):  # usually not locked: Git was killed while it created the worktree
        git(root, "worktree", "unlock", str(folder))
    git(root, "worktree", "prune")


def differing(root: Path, commits: Mapping[Side, str], paths: Iterable[str]) -> tuple[str, ...]:
    """The files, of these files and folders, that differ between the commits."""
    named = [f":(top,literal){path}" for path in sorted(set(paths))]
    if not named:
        return ()
    options = ("diff", "--name-only", "--no-renames", "-z", commits["base"], commits["head"])
    return tuple(filter(None, git(root, *options, "--", *named).split("\0")))


def lay(folders: Iterable[Path], commit: str, paths: Iterable[str]) -> None:
    """Put the files at `paths`, as they are in `commit`, into worktrees of any commit, without bytecode."""
    for folder in folders:
        for path in paths:
            try:
                git(folder, "cat-file", "-e", f"{commit}:{path}")
            except GitError:
                (folder / path).unlink(missing_ok=True)
            else:
                git(folder, "restore", f"--source={commit}", "--worktree", "--", f":(top,literal){path}")
            source = folder / path
            for bytecode in source.parent.glob(f"__pycache__/{glob.escape(source.stem)}.*.pyc"):
                bytecode.unlink(missing_ok=True)
