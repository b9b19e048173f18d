"""The commands of `impls`: list the implementations, check one of them, show how accurate they are."""

from __future__ import annotations

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from impls import facts, registry
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


@main.command("list")
def list_() -> None:
    """Show the fairness sheet: each implementation's facts, and its threads and BLAS in force."""
    sheets = [facts.sheet(name) for name in registry.names()]
    ready = [sheet.name for sheet in sheets if sheet.implementation]
    with (
        console.status(f"running each of {len(ready)} implementations for a moment, in a process of its own"),
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        found = dict(zip(ready, pool.map(facts.in_force, ready), strict=True))

    ideas = Table(_names(), "idea", "differs from", "available", title="Implementations")
    ideas.add_column("lines of code", justify="right")
    ways = Table(_names(), "dtypes", "order of sums", "fast-math", "layout", title="How they compute")
    force = Table(
        _names(),
        "threads in force, asked for 1",
        "BLAS",
        title="What is in force",
        caption="Cores busy: CPU time by elapsed time, at most 1 where one thread is really in force.",
    )
    force.add_column("cores busy", justify="right")
    for sheet in sheets:
        if sheet.implementation is None:
            ideas.add_row(sheet.name, "", "", f"no: {escape(sheet.unavailable)}", "")
            continue
        implementation, measured = sheet.implementation, found[sheet.name]
        ideas.add_row(
            sheet.name,
            escape(implementation.idea),
            escape(implementation.differs_from or "-"),
            "yes",
            str(sheet.lines),
        )
        order = "that of loops" if implementation.same_order else "its own"
        ways.add_row(
            sheet.name,
            ", ".join(implementation.dtypes),
            order,
            escape(implementation.fast_math),
            escape(implementation.layout),
        )
        if isinstance(measured, str):
            force.add_row(sheet.name, escape(measured), "", "")
        else:
            threads = ", ".join(f"{pool} {count}" for pool, count in measured.threads.items())
            force.add_row(sheet.name, threads, measured.blas, f"{measured.busy:.2f}")
    for table in (ideas, ways, force):
        console.print(table)


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
