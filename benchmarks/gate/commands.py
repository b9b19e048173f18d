"""`gradrace gate run --base main`: base against head, in pairs of fresh processes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import options
from benchmarks.gate.errors import NoAnswer, Refusal
from benchmarks.record import files

# Only click is imported up here: --help must answer at once.
if TYPE_CHECKING:
    from benchmarks.record.pairs_file import Side

OUT = files.OUT / "pairs.json"


class _GateCommand(click.Command):
    """A command with exit status 3 for wrong usage, and 2, no answer, if it is interrupted.

    click's own statuses are 2 and 1, and 1 means "slower".
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Refusal(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            kept = "; continue with --resume from the pairs in --out" if "resume" in ctx.params else ""
            raise NoAnswer(f"stopped{kept}") from interrupt


class _Step(_GateCommand):
    """A command for `git bisect run`, to which status 125 means "cannot tell", and which status 128 stops."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with self._statuses():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with self._statuses():
            return click.Command.invoke(self, ctx)

    @staticmethod
    @contextlib.contextmanager
    def _statuses() -> Iterator[None]:
        try:
            yield
        except NoAnswer as error:
            error.show()
            sys.exit(125)
        except click.ClickException as error:
            error.show()
            sys.exit(128)
        except KeyboardInterrupt:
            sys.exit(130)
        except click.exceptions.Exit:
            raise
        except Exception:  # noqa: BLE001 - no exception may look like a slowdown
            click.echo(traceback.format_exc(), err=True, nl=False)
            sys.exit(128)


def _split(_: click.Context, __: click.Parameter, items: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in (items or "").split(","))))


SUITE = (
    click.Option(
        ["--repo"],
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        metavar="PATH",
        show_default="here",
        help="A folder of the Git repository.",
    ),
    click.Option(
        ["--here"], is_flag=True, help="Run both sides in this environment instead of building two."
    ),
    click.Option(["--extras"], metavar="LIST", callback=_split, help="Extras of the project to install."),
    click.Option(
        ["--groups"], metavar="LIST", callback=_split, help="Dependency groups of the project to install."
    ),
    click.Option(
        ["--requirements"],
        multiple=True,
        metavar="FILE",
        help="Requirements files to install, by their paths from the root.",
    ),
    click.Option(
        ["--config"],
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        show_default="those of the older commit",
        help="Settings file, in the format of pyproject.toml.",
    ),
    click.Argument(["arguments"], nargs=-1, metavar="[-- PYTEST ARGUMENTS]"),
)
"""The parameters that all commands share: the suite to run, and how its project is installed."""


def say(line: str) -> None:
    """Log a line of progress."""
    click.echo(line, err=True)


@contextlib.contextmanager
def machine_errors() -> Iterator[None]:
    """A block in which an error of the machine or of Git becomes NoAnswer."""
    from benchmarks.record.git import GitError

    try:
        yield
    except OSError as error:
        raise NoAnswer(f"expected to be able to write and to start processes, got: {error}") from error
    except GitError as error:
        raise NoAnswer(f"git: {error}") from error


@click.group()
def gate() -> None:
    """Compare two commits in pairs of processes."""


@gate.command(cls=_GateCommand, params=list(SUITE))
@click.option("--base", required=True, metavar="REF", help="Branch, tag or commit to compare with.")
@click.option(
    "--head", default="HEAD", metavar="REF", show_default=True, help="Branch, tag or commit to judge."
)
@click.option(
    "--minimum-effect", type=float, metavar="%", help="Report slowdowns larger than this.  [default: 2]"
)
@click.option(
    "--target", type=float, metavar="%", help="Pass if a slowdown this large is ruled out.  [default: 5]"
)
@click.option("--budget", type=options.SECONDS, metavar="S", help="Seconds to measure for.  [default: 300]")
@click.option("--pairs", "fixed", type=click.IntRange(min=1), metavar="N", help="Measure exactly N pairs.")
@click.option(
    "--out",
    type=options.OutputFile(),
    default=OUT,
    show_default=True,
    help="Pairs file to write after every pair.",
)
@click.option("--resume", is_flag=True, help="Continue from the pairs in --out.")
def run(
    base: str,
    head: str,
    fixed: int | None,
    out: Path,
    resume: bool,
    repo: Path,
    here: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Measure head against base in pairs of fresh processes.

    It runs the tests of a Git repository that use pytest-benchmark. Arguments of pytest follow --, with
    paths from the root. `gradrace gate judge` then judges the pairs.

    Exit status: 0 measured, 2 could not measure, 3 refused.
    """
    from benchmarks.gate import asked, runner, worktrees

    root = worktrees.repository(repo)
    commits = asked.commits(root, base=base, head=head, out=out)
    settings = asked.settings(root, commits, config, say, **given)
    comparison = runner.GateRequest(base, head, settings, fixed, out, resume, here)
    with machine_errors():
        runner.run(comparison, root, commits, say)
    say(f"for the verdict: gradrace gate judge {shlex.quote(str(out))}")
    click.echo(out)


@gate.command(cls=_GateCommand, params=list(SUITE))
@click.option("--good", required=True, metavar="REF", help="Commit at which the benchmark was fast.")
@click.option(
    "--bad", default="HEAD", metavar="REF", show_default=True, help="Commit at which the benchmark is slow."
)
def bisect(good: str, bad: str, repo: Path, here: bool, config: Path | None, **given: Any) -> None:
    """Find the commit that made a benchmark slower.

    It bisects the commits between the good end and the bad end, and measures each in pairs with the good end.
    The arguments of pytest name the benchmark, as in tests/test_it.py::test_that; of several benchmarks it
    follows the one with the largest slowdown. At least 95 % of searches name the right commit.

    Exit status: 0 found, 2 could not tell, 3 refused.
    """
    from benchmarks.gate import asked, runner, worktrees
    from benchmarks.gate import bisect as bisection

    root = worktrees.repository(repo)
    commits: dict[Side, str] = {
        "base": worktrees.commit(root, "--good", good),
        "head": worktrees.commit(root, "--bad", bad),
    }
    between = worktrees.between(root, commits["base"], commits["head"])
    settings = asked.settings(root, commits, config, say, **given)
    with machine_errors(), runner.against(root, commits, settings, here, say) as pairs:
        name = bisection.slowest(lambda: pairs.pair(commits["head"]))
        pairs.benchmarks = (name,)
        say(f"{len(between)} commits, by {name}")
        found = bisection.search(between, lambda commit: pairs.pair(commit)[name], say)
    click.echo("\n".join(found.commits))
    if len(found.commits) > 1:
        raise NoAnswer(
            f"one of these {len(found.commits)} commits: those before the last could not be measured"
        )


@gate.command(cls=_Step, params=list(SUITE))
@click.option("--good", required=True, metavar="REF", help="Commit to compare with.")
@click.option("--budget", type=options.SECONDS, metavar="S", help="Seconds to measure for.  [default: 300]")
def step(good: str, repo: Path, here: bool, config: Path | None, **given: Any) -> None:
    """Report to `git bisect run` whether HEAD is slower than a commit.

    Exit status: 0 no slowdown, 1 slower, 125 could not tell, 128 refused.
    """
    import tempfile

    from benchmarks.gate import asked, runner, worktrees
    from benchmarks.record import pairs_file

    root = worktrees.repository(repo)
    commits = asked.commits(root, base=good, head="HEAD", out=Path(os.devnull), option="--good")
    settings = asked.settings(root, commits, config, say, **given)
    with tempfile.TemporaryDirectory() as folder, machine_errors():
        out = Path(folder) / "pairs.json"
        comparison = runner.GateRequest(good, "HEAD", settings, None, out, resume=False, here=here)
        record = runner.run(comparison, root, commits, say)
    decision = pairs_file.decision(record)
    deciding = [each.name for each in record.benchmarks if not each.terms.informational]
    outcomes = [state.outcome for name, state in decision.benchmarks.items() if name in deciding]
    steady = all(state == "steady" for state in decision.controls.values())
    if not steady or ("inconclusive" in outcomes and "slower" not in outcomes):
        sys.exit(125)
    sys.exit("slower" in outcomes)
