"""The commands of `impls`: list the implementations, check one of them, show how accurate they are."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from impls import registry
from impls.interface import DTYPES, Unavailable
from impls.referee import conformance
from impls.referee.accuracy import accuracy

if TYPE_CHECKING:
    from impls.referee.conformance import Finding, Status

STATUSES: tuple[Status, ...] = ("passed", "failed", "not supported")

console = Console()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The implementations: the fairness sheet, the conformance test, their accuracy."""


@main.command()
@click.argument("target")
def check(target: str) -> None:
    """Run the conformance test on TARGET.

    TARGET is an implementation's name, path/to/file.py:Class or package.module:Class. The exit status is 1 if
    it fails any law, and 2 if it cannot be loaded.
    """
    try:
        implementation = registry.load(target)
    except (ValueError, Unavailable) as error:
        raise click.UsageError(str(error)) from error
    findings = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"checking {target}", total=conformance.size())
        for finding in conformance.examine(implementation):
            findings.append(finding)
            progress.update(task, advance=1, description=finding.law)
    console.print(_table(target, findings))
    _show_reasons("not supported", findings)
    _show_reasons("failed", findings)
    count = Counter(finding.status for finding in findings)
    console.print(f"{target}: " + ", ".join(f"{count[status]} {status}" for status in STATUSES), markup=False)
    if count["failed"]:
        sys.exit(1)
    if not count["passed"]:
        console.print(f"{target} supports none of the cases: there is nothing to race", markup=False)
        sys.exit(1)


def _names() -> Column:
    return Column("name", no_wrap=True)


def _table(target: str, findings: list[Finding]) -> Table:
    table = Table("law", *DTYPES, title=f"Conformance of {escape(target)}")
    for law in dict.fromkeys(finding.law for finding in findings):
        cells = []
        for dtype in DTYPES:
            count = Counter(f.status for f in findings if f.law == law and f.dtype == dtype)
            style = "red" if count["failed"] else "green" if count["passed"] else "dim"
            words = ", ".join(f"{count[status]} {status}" for status in STATUSES if count[status])
            cells.append(f"[{style}]{words}[/{style}]")
        table.add_row(law, *cells)
    return table


def _show_reasons(status: Status, findings: list[Finding]) -> None:
    """Print the reasons of all findings of one status, each once, with the first case that it holds for."""
    cases: dict[str, list[str]] = {}
    for f in findings:
        if f.status == status:
            case = f"{f.law}: {f.case} ({f.dtype})" if f.case else f"{f.dtype}"
            cases.setdefault(f.reason, []).append(case)
    if not cases:
        return
    table = Table("where", "reason", title=status.capitalize(), show_lines=True)
    for reason, where in cases.items():
        more = f", and {len(where) - 1} more" if len(where) > 1 else ""
        table.add_row(escape(where[0] + more), escape(reason))
    console.print(table)


main.add_command(accuracy)

if __name__ == "__main__":
    main(prog_name="python -m impls")
