"""The commands of `impls`: `check` and `accuracy`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

# The commands import the libraries that compute: --help answers at once.


def listed(
    item: click.ParamType[Any] = click.STRING,
) -> Callable[[click.Context, click.Parameter, str | None], tuple[Any, ...]]:
    """The callback of an option that is a list: its items, which have commas between them."""

    def items(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...]:
        found = filter(None, map(str.strip, (value or "").split(",")))
        return tuple(item.convert(each, param, ctx) for each in found)

    return items


def _fail_whoever_exits() -> None:
    """Make `os._exit` raise SystemExit in this process, as `sys.exit` does, so that an implementation that
    ends the process fails and does not choose the command's exit status.
    """
    ours, exit_at_once = os.getpid(), os._exit

    def exit_in_words(status: int) -> NoReturn:
        if os.getpid() != ours:  # a fork, which should end
            exit_at_once(status)
        raise SystemExit(status)

    vars(os)["_exit"] = exit_in_words


@click.group()
def main() -> None:
    """Check an implementation, or show the accuracy of several."""


@main.command()
@click.argument("target")
@click.option("--isolated", is_flag=True, help="Run TARGET in a separate process, out of the test's reach.")
@click.option(
    "--ranks",
    default="1",
    callback=listed(click.IntRange(min=1)),
    metavar="LIST",
    show_default=True,
    help="Number of processes that share each batch, for a TARGET with ranks.",
)
def check(target: str, isolated: bool, ranks: tuple[int, ...]) -> None:
    """Run the conformance test on TARGET, once for each of --ranks.

    TARGET is an implementation's name, path/to/file.py:Class or package.module:Class.

    Exit status: 0 on success; 1 if it fails any law; 2 if it cannot be loaded.
    """
    from rich.console import Console

    from impls import child, registry
    from impls.referee import findings

    _fail_whoever_exits()
    apart = isolated and not registry.takes_ranks(target)  # with ranks, it runs in other processes anyway
    asked = [(of, child.in_child(target) if apart and of == 1 else registry.load(target, of)) for of in ranks]
    passed = [
        findings.show(target if of == 1 else f"{target} on {of} ranks", implementation, Console())
        for of, implementation in asked
    ]
    sys.exit(0 if all(passed) else 1)


@main.command()
@click.option(
    "--impl", "names", callback=listed(), metavar="LIST", show_default="all", help="Implementations to check."
)
@click.option(
    "--dtypes", "--dtype", default="float64,float32", callback=listed(), metavar="LIST", help="Dtypes."
)
@click.option(
    "--batch-sizes",
    default="1,64,1024",
    callback=listed(click.IntRange(min=1)),
    metavar="LIST",
    help="Samples per batch.",
)
@click.option("--network", default="64-32-10", metavar="WIDTHS", help="Widths of the network's layers.")
@click.option("--activation", default="sigmoid", help="Activation of the hidden layers.")
@click.option("--loss", default="mean_squared_error", help="Loss of the network.")
def accuracy(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    network: str,
    activation: str,
    loss: str,
) -> None:
    """Show each implementation's errors in ulp, and its time.

    Exit status: 0 on success; 4 if an implementation named by --impl was not checked and timed.
    """
    from rich.console import Console
    from rich.progress import track

    from impls import registry
    from impls.progress import progress_console
    from impls.referee import accuracy

    _fail_whoever_exits()
    asked = names or registry.names()
    found = list(
        track(
            accuracy.rows(accuracy.network(network, activation, loss), asked, dtypes, batch_sizes),
            total=len(asked) * len(dtypes) * len(batch_sizes),
            description="checking",
            transient=True,
            console=progress_console(),
        )
    )
    # a fixed width if the output is not a terminal
    Console(width=None if Console().is_terminal else 160).print(accuracy.table(found))
    timed = {one.implementation for one in found if one.seconds}
    missing = {one.implementation: one.reason for one in found if one.implementation in set(names) - timed}
    for name, reason in missing.items():
        click.echo(f"not checked: {name}: {reason}", err=True)
    if missing:
        sys.exit(4)
    if not timed:
        raise click.ClickException("no implementation could be checked and timed")
