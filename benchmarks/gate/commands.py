"""`gradrace gate run --base main`: base against head, in pairs of fresh processes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from benchmarks import options
from benchmarks.gate.errors import NoAnswer, Refusal

# Only click is imported up here: --help must answer at once.

OUT = Path("reports/out/pairs.json")


class _Command(click.Command):
    """A command whose exit status is 3 for wrong usage, and 2 where it is stopped: that could not tell.

    click's own would be 2 and 1, which says "slower".
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
            raise NoAnswer("stopped; go on with --resume from the pairs that there are") from interrupt


@click.group()
def gate() -> None:
    """Compare two commits in pairs of processes."""


@gate.command(cls=_Command)
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="PATH",
    help="A folder of the Git repository.  [default: here]",
)
@click.option("--base", required=True, metavar="REF", help="Branch, tag or commit to compare with.")
@click.option(
    "--head", default="HEAD", metavar="REF", show_default=True, help="Branch, tag or commit to judge."
)
@click.option("--minimum-effect", type=float, metavar="%", help="Slower means slower by more.  [default: 2]")
@click.option("--target", type=float, metavar="%", help="Same means slower by less than this.  [default: 5]")
@click.option("--budget", type=options.SECONDS, metavar="S", help="Seconds to measure for.  [default: 300]")
@click.option(
    "--pairs", "fixed", type=click.IntRange(min=1), metavar="N", help="Measure N pairs, whatever they show."
)
@click.option(
    "--out",
    type=options.OutputFile(),
    default=OUT,
    show_default=True,
    help="Pairs file to write after every pair.",
)
@click.option("--resume", is_flag=True, help="Go on from the pairs in --out.")
@click.option("--here", is_flag=True, help="Run both sides in this environment instead of building two.")
@click.option("--extras", metavar="LIST", help="Extras of the project to install, with commas between them.")
@click.option("--groups", metavar="LIST", help="Dependency groups of the project to install.")
@click.option(
    "--requirements",
    multiple=True,
    metavar="FILE",
    help="Requirements to install, by their path from the root.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings, as in a pyproject.toml.  [default: those of base]",
)
@click.argument("arguments", nargs=-1, metavar="[-- PYTEST ARGUMENTS]")
def run(
    repo: Path,
    base: str,
    head: str,
    minimum_effect: float | None,
    target: float | None,
    budget: float | None,
    fixed: int | None,
    out: Path,
    resume: bool,
    here: bool,
    extras: str | None,
    groups: str | None,
    requirements: tuple[str, ...],
    config: Path | None,
    arguments: tuple[str, ...],
) -> None:
    """Measure head against base in pairs of fresh processes.

    The tests are those of a Git repository that use pytest-benchmark; after -- stand the arguments of its
    pytest, with paths from its root. `gradrace gate judge` then judges the pairs.

    Exit status: 0 measured, 2 could not measure, 3 asked for in a way that cannot be followed.
    """
    from benchmarks.gate import asked, runner, worktrees

    root = worktrees.repository(repo)
    commits = asked.commits(root, base=base, head=head, out=out)
    given = asked.Given(
        arguments=arguments,
        extras=_split(extras),
        groups=_split(groups),
        requirements=requirements,
        minimum_effect=minimum_effect,
        target=target,
        budget=budget,
    )

    def say(line: str) -> None:
        click.echo(line, err=True)

    settings = asked.settings(root, commits, given, config, say)
    comparison = runner.Comparison(base, head, settings, fixed, out, resume, here)
    try:
        runner.run(comparison, root, commits, say)
    except OSError as error:
        raise NoAnswer(f"expected to be able to write and to start processes, got: {error}") from error
    click.echo(out)


def _split(items: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in (items or "").split(","))))
