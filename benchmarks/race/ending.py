"""How the commands that race end: what they write into a record of themselves, and their exit status."""

from __future__ import annotations

import shlex
import sys

import click

MISSING = 4
"""Exit status where what was asked for by name was not measured."""


def command_line(ctx: click.Context) -> str:
    """The command as it was typed, for its record."""
    return f"{ctx.find_root().info_name} {shlex.join(sys.argv[1:])}"


def warn_of_no_commit() -> None:
    """Say so when a record is written, not when somebody needs its commit."""
    from benchmarks.record import checkout

    if checkout.unknown():
        click.echo(f"warning: {checkout.unknown()}", err=True)


def end(ctx: click.Context, missing: list[str]) -> None:
    """Exit with a status of its own where what was asked for by name was not measured, saying why."""
    for line in missing:
        click.echo(f"not measured: {line}", err=True)
    if missing:
        ctx.exit(MISSING)
