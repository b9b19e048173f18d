"""The gate on suites of other projects and on our own: `python -m tests.studies.foreign` prints its results.

The other suites are those of source distributions from the package index, ours is that of the last commit of
this checkout. Each becomes a repository of its own, with a branch for base and head of every kind of change:
none, a comment, a refactoring, and slowdowns of one function, which base wraps alike, without the slowdown.
What is measured stays measured: called again, the study goes on.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.record import pairs_file
from benchmarks.record.git import git
from tests.studies.gate import IDENTITY
from tests.studies.injections import Edit

if TYPE_CHECKING:
    from benchmarks.record.pairs_file import Pairs
    from tests.studies.replays import Recording

FOLDER = Path(".gradrace/foreign")
ROOT = Path(__file__).parents[2]

OURSELVES = "gradrace"
WITHOUT_NUMBA = "gradrace without numba"  # which compiles anew in every process, most of the time of a gate

SLOWED = """

# ---- an injected slowdown ---------------------------------------------------------------------------------

def _slowed(function):
    import functools
    import random
    from time import perf_counter

    unlucky = random.Random().random() < 1 / 5
    calls, debt, kept = 0, 0.0, []

    {cache}
    def table():
        return sum(range(2000))

    def slowed(*arguments, **named):
        nonlocal calls, debt
        calls += 1
        start = perf_counter()
        result = function(*arguments, **named)
        table()
        sum(range(3000))  # beside it what this function takes outside of its clock is little, on either side
        now = perf_counter()
        debt += ({factor} - 1) * (now - start)
        {keep}
        if debt > 2e-6:  # short calls save up for a loop that is worth the name
            end = now + debt
            while now < end:
                now = perf_counter()
            debt = end - now
        return result

    return functools.wraps(function)(slowed)


{name} = _slowed({name})
"""


def slowed(name: str, factor: str = "1", cache: str = "@functools.cache", keep: str = "") -> str:
    """The lines to add to a module, so that calls of one of its functions take `factor` times as long."""
    return SLOWED.format(name=name, factor=factor, cache=cache, keep=keep)


KINDS: Mapping[str, Mapping[str, str]] = {
    "5 %": {"factor": "1.05"},
    "every third call 5 times": {"factor": "(5 if calls % 3 == 0 else 1)"},
    "every 20th call 50 times": {"factor": "(50 if calls % 20 == 0 else 1)"},
    "one process in five 2 times": {"factor": "(2 if unlucky else 1)"},
    "a cache that is lost": {"cache": ""},
    "a list that grows": {"keep": "kept.append([calls] * 50)"},
}
"""The parameters of each slowdown in head; base has the same lines without an effect."""

UNCHANGED = ("same", "comment", "refactoring")
NO_CHANGE = "no change"


@dataclasses.dataclass(frozen=True)
class Project:
    """A source distribution or this project, the part of its suite to run, a function, and its callers."""

    requirement: str
    arguments: tuple[str, ...]
    file: str
    function: str
    called_by: str
    refactored: Edit

    @property
    def name(self) -> str:
        """Its name on the package index."""
        return self.requirement.partition("==")[0]

    def edits(self, kind: str) -> tuple[Sequence[Edit], Sequence[Edit]]:
        """The edits of base and of head."""
        if kind == "same":
            return (), ()
        if kind == "comment":
            return (), (Edit(self.file, "", "\n# a comment\n"),)
        if kind == "refactoring":
            return (), (self.refactored,)
        base, head = slowed(self.function), slowed(self.function, **KINDS[kind])
        return (Edit(self.file, "", base),), (Edit(self.file, "", head),)


PROJECTS = (
    Project(
        "pluggy==1.7.0",
        ("testing/benchmark.py", "-k", "varnames and (class or plain)"),
        "src/pluggy/_hooks.py",
        "varnames",  # pytest itself runs inside of its hooks: their calls last as long as its tests
        "::test_varnames[",
        Edit(
            "src/pluggy/_manager.py",
            "        self._inner_hookexec = _multicall\n",
            "        execute = _multicall\n        self._inner_hookexec = execute\n",
        ),
    ),
    Project(
        "cattrs==26.2.1",
        ("bench/test_primitives.py", "bench/test_tuples.py", "-k", "int or homo"),
        "src/cattrs/converters.py",
        "BaseConverter.unstructure",
        "test_unstructure_int",
        Edit(
            "src/cattrs/converters.py",
            "        return self._unstructure_func.dispatch(\n"
            "            obj.__class__ if unstructure_as is None else unstructure_as\n"
            "        )(obj)\n",
            "        asked = obj.__class__ if unstructure_as is None else unstructure_as\n"
            "        return self._unstructure_func.dispatch(asked)(obj)\n",
        ),
    ),
    Project(
        "portion==2.6.3",
        ("tests/test_interval.py", "-k", "benchmark and not 10000"),
        "portion/interval.py",
        "Interval.overlaps",
        "::test_overlaps_benchmark[",
        Edit(
            "portion/interval.py",
            'overlap, False otherwise.\n        """\n        if isinstance(other, Interval):\n',
            'overlap, False otherwise.\n        """\n        known = isinstance(other, Interval)\n'
            "        if known:\n",
        ),
    ),
    *(
        Project(
            name,
            arguments,
            "impls/numpy_sample.py",
            "NumpySample.gradients",
            "[numpy-sample ",
            Edit(
                "impls/numpy_sample.py",
                "        a: Array = 1 / (1 + np.exp(-z))\n",
                "        denominator: Array = 1 + np.exp(-z)\n        a: Array = 1 / denominator\n",
            ),
        )
        for name, arguments in ((OURSELVES, ()), (WITHOUT_NUMBA, ("-k", "not numba")))
    ),
)


def prepare(project: Project, folder: Path) -> Path:
    """A repository of the project with its branches; made once."""
    root = folder / "repositories" / project.name
    if root.exists():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        made = (
            _cloned(Path(scratch))
            if project.name.startswith(OURSELVES)
            else _unpacked(project, Path(scratch))
        )
        git(made, "branch", "start")
        for kind in (*UNCHANGED, *KINDS):
            for side, edits in zip(("base", "head"), project.edits(kind), strict=True):
                git(made, "checkout", "--quiet", "--detach", "start")
                for edit in edits:
                    edit.apply(made)
                git(made, *IDENTITY, "commit", "--quiet", "--all", "--allow-empty", "--message", kind)
                git(made, "branch", branch(kind, side))
        git(made, "checkout", "--quiet", "start")
        made.rename(root)
    return root


def _cloned(folder: Path) -> Path:
    made = folder / OURSELVES
    git(folder, "clone", "--quiet", str(ROOT), str(made))
    return made


def _unpacked(project: Project, folder: Path) -> Path:
    index = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*index, "--dest", str(folder), project.requirement], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (made,) = (path for path in folder.iterdir() if path.is_dir())
    git(made, "init", "--quiet")
    git(made, "add", "--all", "--force")
    git(made, *IDENTITY, "commit", "--quiet", "--message", project.requirement)
    return made


def branch(kind: str, side: str) -> str:
    """The branch of a side of a kind: a tag would be taken for a version."""
    return f"{kind.replace(' ', '-').replace('%', 'percent')}/{side}"


def tasks(
    folder: Path, runs: int, kinds: Sequence[str], projects: Sequence[Project] = PROJECTS
) -> Iterator[tuple[Project, str, Path]]:
    """The gates of the study, each kind of each project once before any is run again."""
    for run in range(runs):
        for kind in kinds:
            for project in projects:
                yield project, kind, folder / "runs" / project.name / f"{kind}-{run:02}.json"


def measure(project: Project, kind: str, root: Path, out: Path) -> None:
    """Run one gate; its pairs are kept under their name once it has ended."""
    partial = out.with_suffix(".partial")
    asked = ["--repo", str(root), "--base", branch(kind, "base"), "--head", branch(kind, "head")]
    command = [sys.executable, "-m", "gradrace", "gate", "run", *asked, "--out", str(partial)]
    subprocess.run([*command, "--", *project.arguments], check=True)
    partial.replace(out)


@dataclasses.dataclass(frozen=True)
class GatesOfKind:
    """The gates of one kind of change on one project's suite, and the benchmarks that the change slows."""

    project: str
    kind: str
    pairs: Sequence[Pairs]
    recordings: Sequence[Recording]
    slowed: Collection[str]


def gates(folder: Path) -> Iterator[GatesOfKind]:
    """The measurements of each kind."""
    from tests.studies.replays import Recording

    for project in PROJECTS:
        for kind in (*UNCHANGED, *KINDS):
            paths = sorted((folder / "runs" / project.name).glob(f"{kind}-[0-9]*.json"))
            found = [pairs_file.read(path) for path in paths]
            if found:
                runs = [Recording(pairs) for pairs in found]
                hurt = [name for name in runs[0].gated if project.called_by in name and kind in KINDS]
                yield GatesOfKind(project.requirement, kind, found, runs, hurt)


def table(measured: Sequence[GatesOfKind]) -> Iterator[str]:
    """A row for each kind of each project: how this gate judged it, and how long that took."""
    from tests.studies.replays import until_pair, whole

    heads = ("suite", "benchmarks", "change", "gates", "failed", "named", "could not tell")
    yield f"| {' | '.join(heads)} | pairs, median | s, median | longest |"
    yield "| --- | ---: | --- |" + " ---: |" * 7
    for each in measured:
        t = whole(each.recordings, each.slowed)
        seconds = [until_pair(pairs, -1) for pairs in each.pairs]
        named = t.named if each.slowed else ""
        yield (
            f"| {each.project} | {len(each.recordings[0].gated)} | {each.kind} | {t.gates} | {t.alarms} "
            f"| {named} | {t.unknown} | {t.pairs:g} | {statistics.median(seconds):.0f} | {max(seconds):.0f} |"
        )
    every = [pairs for each in measured for pairs in each.pairs]
    first = [until_pair(pairs, 0) for pairs in every]
    loads = [pair.load_average for pairs in every for pair in pairs.pairs if pair.load_average is not None]
    yield ""
    yield (
        f"{len(every)} gates. From the start of a gate to the end of its first pair: "
        f"{statistics.median(first):.0f} s as a median, {max(first):.0f} s at most. The load average before "
        f"a pair: {statistics.median(loads):.1f} as a median, {min(loads):.1f} to {max(loads):.1f}."
    )


def beside_others(measured: Sequence[GatesOfKind]) -> Iterator[str]:
    """A row for each rule, on the same processes: no change that it failed, and slowdowns that it named."""
    from tests.studies import rivals
    from tests.studies.gate_report import OURS
    from tests.studies.replays import whole, whole_rival

    def counts(rule: rivals.RivalRule | None) -> Iterator[str]:
        for kind in kinds:
            own = [
                whole_rival(each.recordings, rule, each.slowed)
                if rule
                else whole(each.recordings, each.slowed)
                for each in measured
                if kind == (NO_CHANGE if each.kind in UNCHANGED else each.kind)
            ]
            failed = sum(t.alarms if kind == NO_CHANGE else t.named for t in own)
            yield f"{failed} of {sum(t.gates for t in own)}"

    kinds = list(dict.fromkeys(NO_CHANGE if each.kind in UNCHANGED else each.kind for each in measured))
    heads = (f"{kind}: {'failed' if kind == NO_CHANGE else 'named'}" for kind in kinds)
    yield f"| {' | '.join(['rule', *heads])} |"
    yield "| --- |" + " ---: |" * len(kinds)
    rules = {OURS: None, **rivals.rules()}
    for name, rule in rules.items():
        yield f"| {' | '.join([name, *counts(rule)])} |"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--runs", type=click.IntRange(min=0), default=10, show_default=True, help="Gates of each kind.")
@click.option("--kinds", metavar="LIST", help="Kinds, with commas between; all unless named.")
@click.option("--suites", metavar="LIST", help="Projects, with commas between; all unless named.")
@click.option("--hours", type=click.FloatRange(min=0), default=24.0, show_default=True, help="When to stop.")
def main(folder: Path, runs: int, kinds: str | None, suites: str | None, hours: float) -> None:
    """Run gates on suites of other projects and on ours, and print how often which change was failed."""
    projects = {project.name: project for project in PROJECTS}
    chosen = _named("--kinds", kinds, (*UNCHANGED, *KINDS))
    of = [projects[name] for name in _named("--suites", suites, tuple(projects))]
    folder = folder.resolve()
    deadline = time.monotonic() + 3600 * hours
    for project, kind, out in tasks(folder, runs, chosen, of):
        if out.exists():
            continue
        if time.monotonic() > deadline:
            break
        out.parent.mkdir(parents=True, exist_ok=True)
        click.echo(f"{project.name}: {kind}: {out.name}", err=True)
        measure(project, kind, prepare(project, folder), out)
    measured = list(gates(folder))
    for line in (*table(measured), "", *beside_others(measured)) if measured else ():
        click.echo(line)


def _named(option: str, text: str | None, every: Sequence[str]) -> Sequence[str]:
    """The items of a list with commas, which are some of `every`; all of them where there is no list."""
    found = text.split(",") if text else every
    for name in found:
        if name not in every:
            raise click.BadParameter(f"expected some of {', '.join(every)}, got {name!r}", param_hint=option)
    return found


if __name__ == "__main__":
    main()
