"""`gradrace gate run --base main`: base against head, in pairs of fresh processes."""

from __future__ import annotations

import signal
from collections.abc import Sequence
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


@gate.command(
    cls=_Command,
    params=[
        options.listed(
            "--impl", item=options.IMPLEMENTATION, help="Implementations.", show_default="the gate's"
        )
    ],
)
@click.option("--base", required=True, metavar="REF", help="Branch, tag or commit to compare with.")
@click.option(
    "--head", default="HEAD", metavar="REF", show_default=True, help="Branch, tag or commit to judge."
)
@click.option(
    "--minimum-effect",
    type=float,
    default=2.0,
    show_default=True,
    metavar="%",
    help="Slower means slower by more than this.",
)
@click.option(
    "--target",
    type=float,
    default=5.0,
    show_default=True,
    metavar="%",
    help="Same means slower by less than this.",
)
@click.option(
    "--budget",
    type=options.SECONDS,
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds to measure for.",
)
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
def run(
    base: str,
    head: str,
    impl: tuple[str, ...],
    minimum_effect: float,
    target: float,
    budget: float,
    fixed: int | None,
    out: Path,
    resume: bool,
    here: bool,
) -> None:
    """Measure head against base in pairs of fresh processes.

    `gradrace gate judge` then judges the pairs.

    Exit status: 0 measured, 2 could not measure, 3 asked for in a way that cannot be followed.
    """
    from benchmarks.gate import runner, worktrees
    from benchmarks.gate.decision import Rule

    try:
        _check_targets(impl)
        rule = Rule(minimum_effect / 100, target / 100)
    except ValueError as error:
        raise Refusal(str(error)) from error
    asked = runner.Comparison(base, head, impl, rule, budget, fixed, out, resume, here)
    runner.run(asked, worktrees.repository(Path.cwd()), lambda line: click.echo(line, err=True))
    click.echo(out)


def _check_targets(implementations: Sequence[str]) -> None:
    """Raises ValueError for a file that both sides would share: nothing in it could ever be slower."""
    for target in implementations:
        path = Path(target.rpartition(":")[0])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                "--impl: expected a file of the repository, by its path from the root, as each side runs its "
                f"own; got {target!r}"
            )
