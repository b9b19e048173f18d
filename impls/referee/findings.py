"""Runs the conformance test and prints its findings as tables."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from impls.interface import DTYPES, Implementation
from impls.progress import progress_console
from impls.referee import conformance
from impls.referee.conformance import Finding, FindingStatus

STATUSES: tuple[FindingStatus, ...] = ("passed", "failed", "not supported")


def show(target: str, implementation: type[Implementation], console: Console) -> bool:
    """Run the test and print its findings; True if the implementation passes."""
    findings = []
    with Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task(f"checking {target}", total=conformance.size())
        for finding in conformance.examine(implementation):
            findings.append(finding)
            progress.update(task, advance=1, description=finding.law)
    console.print(_table(target, findings))
    _print_reasons(console, "not supported", findings)
    _print_reasons(console, "failed", findings)
    count = Counter(finding.status for finding in findings)
    console.print(f"{target}: " + ", ".join(f"{count[status]} {status}" for status in STATUSES), markup=False)
    if not count["passed"] and not count["failed"]:
        console.print(f"{target} supports none of the cases: there is nothing to race", markup=False)
    return bool(count["passed"]) and not count["failed"]


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


def _print_reasons(console: Console, status: FindingStatus, findings: list[Finding]) -> None:
    """Print each reason of the findings of one status once, with its first case and the number of others."""
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
