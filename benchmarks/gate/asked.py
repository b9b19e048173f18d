"""The settings of a gate, from the command line and from the commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gate import worktrees
from benchmarks.gate.errors import Refusal
from benchmarks.gate.settings import PLACE, GateSettings, of_commit, of_file
from benchmarks.record.pairs_file import Benchmark, Side


def commits(root: Path, *, base: str, head: str, out: Path, option: str = "--base") -> dict[Side, str]:
    """The commits of both sides; raises Refusal for refs that name no commit, and for uncommitted changes.

    `option` is the option that named the base.
    """
    found: dict[Side, str] = {
        "base": worktrees.commit(root, option, base),
        "head": worktrees.commit(root, "--head", head),
    }
    if head == "HEAD":
        worktrees.check_clean(root, besides=out)
    return found


def settings(
    root: Path,
    commits: Mapping[Side, str],
    config: Path | None,
    say: Callable[[str], None],
    arguments: tuple[str, ...] = (),
    **given: Any,
) -> GateSettings:
    """The settings in force: the command line's before those of `config`, or of base, so that no head can
    lower its own bar; of head where base has none at all. Raises Refusal for what is wrong in any of them.

    `arguments` of pytest and what else is `given` are the command line's; None or empty if not given.
    """
    if config is not None:
        found = of_file(config)
    else:
        found, heads = of_commit(root, commits["base"]), of_commit(root, commits["head"])
        if found == GateSettings():
            found = heads
        elif heads != found:
            say(f"{PLACE}: base's settings are in force; head's differ, and take effect once head is base")
    paths = [argument.partition("::")[0] for argument in arguments if not argument.startswith("-")]
    if not any((root / path).exists() for path in paths):  # only options: keep the paths that are set
        arguments = (*found.arguments, *arguments)
    changed = {name: value for name, value in given.items() if value not in (None, ())}
    found = msgspec.structs.replace(found, arguments=arguments, **changed)
    for argument in found.arguments:
        path = Path(argument.partition("::")[0])
        if path.is_absolute() or ".." in path.parts:
            raise Refusal(
                "expected paths from the root of the repository, because each side runs its own files; "
                f"got {argument!r}"
            )
    for path in map(Path, found.requirements):
        if path.is_absolute() or ".." in path.parts:
            raise Refusal(
                f"--requirements: expected a path from the root of the repository, got {str(path)!r}"
            )
    found.terms(Benchmark("any"))
    return found
