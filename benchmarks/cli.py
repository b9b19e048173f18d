"""The commands of this package; each is imported only when it is used, so that --help answers at once."""

from __future__ import annotations

import pkgutil

import click

COMMANDS = {
    "race": "benchmarks.race.commands:race",
    "advise": "benchmarks.race.commands:advise",
    "train": "benchmarks.race.experiments:train",
    "headline": "benchmarks.race.experiments:headline",
    "merge": "benchmarks.race.commands:merge",
    "list": "benchmarks.race.commands:list_",
    "gate": "benchmarks.gate.commands:gate",
}


class Lazy(click.Group):
    """The commands above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(COMMANDS[cmd_name])
        return command


@click.group(cls=Lazy)
def main() -> None:
    """Race implementations of forward and back propagation, train with one, or compare two commits."""
