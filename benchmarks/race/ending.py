"""The end of the commands that race: the command in the record, the warnings and the exit status."""

from __future__ import annotations

import shlex
import sys

import click

MISSING = 4
"""The exit status if an implementation that was named was not measured."""


def command_line(ctx: click.Context) -> str:
    """The command as it was typed, for its record."""
    return f"{ctx.find_root().info_name} {shlex.join(sys.argv[1:])}"


def warn_of_no_commit() -> None:
    """Warn if the commit is unknown that the record should have."""
    from benchmarks.record import checkout

    if checkout.unknown():
        click.echo(f"warning: {checkout.unknown()}", err=True)


def end(ctx: click.Context, missing: list[str]) -> None:
    """Log the named parts that were not measured, with the reasons, and exit with the matching status."""
    for line in missing:
        click.echo(f"not measured: {line}", err=True)
    if missing:
        ctx.exit(MISSING)
