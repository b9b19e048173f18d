"""The output of the commands of the history."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from reports.history.kinds import KindOfMachine, table
from reports.history.reading import Listed
from reports.style import duration, plain
from reports.terminal import console


def _grid(head: Sequence[str], body: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> Table:
    """A table with the columns named in `numbers` aligned to the right."""
    table = Table(box=box.SIMPLE)
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for row in body:
        table.add_row(*(Text(words) for words in row))
    return table


def listing(runs: Sequence[Listed]) -> None:
    """Print a line for each run."""
    head = ("run", "made (UTC)", "commit", "branch", "machine", "measurements", "subject")
    body = [
        (
            str(run.run_id),
            f"{run.created:%Y-%m-%d %H:%M}",
            run.commit[:10],
            plain(run.branch, 40) + (f" ({run.side})" if run.side else ""),
            run.machine_key[:8],
            f"{run.measurements:,}",
            plain(run.subject, 60) if run.subject else "",
        )
        for run in runs
    ]
    console().print(_grid(head, body, ("run", "measurements")) if runs else "no run is stored yet")


def one(run: Listed) -> None:
    """Print all facts of a run."""
    rows: list[tuple[str, Any]] = [
        ("run", run.run_id),
        ("made", f"{run.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("commit", run.commit),
        ("subject", plain(run.subject, 100) if run.subject else ""),
        ("branch", plain(run.branch, 100)),
        ("side", run.side),
        ("command", plain(run.command, 150)),
        ("measurements", f"{run.measurements:,}"),
        ("machine", f"{run.machine_key[:8]}: {_facts(run.machine)}"),
        ("versions", _facts(run.versions)),
    ]
    out = console()
    for name, value in rows:
        if value != "":
            out.print(f"{name:12} {value}")


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(name)} {plain(str(value), 60)}" for name, value in facts.items())


def trends(kinds: Sequence[KindOfMachine]) -> None:
    """Print the trends of each kind of machine, and for several kinds a table of their steps by commit."""
    for kind in kinds:
        _trends(kind)
    if len(kinds) > 1:
        out = console()
        head, body = table(kinds)
        out.print("Steps by kind of machine: the median change, and in how many of the series there")
        out.print(_grid(head, body) if body else "no kind of machine changed its level")


def _trends(kind: KindOfMachine) -> None:
    """Print every series in a line, and below them the steps by commit."""
    points = kind.points
    head = ("series", "commits", "time now", "noise", "last step")
    body = [
        (
            plain(str(one.track.series), 100),
            str(len(one.track.at)),
            duration(one.levels[-1][2]),
            f"{one.noise:.1%}" if one.noise == one.noise else "",
            f"{one.steps[-1].change:+.1%} at {points[one.steps[-1].began].sha[:10]}" if one.steps else "",
        )
        for one in kind.shown
    ]
    out = console()
    out.print(f"{kind.timeline}: {len(points)} commit{'' if len(points) == 1 else 's'}")
    out.print(_grid(head, body, ("commits", "time now", "noise")) if body else "no series changed its level")
    for steps in kind.steps:
        point = points[steps.began]
        subject = plain(point.subject, 80) if point.subject else ""
        out.print(f"{point.dated:%Y-%m-%d} {point.sha[:10]} {subject}")
        if steps.shared:
            out.print(
                f"  {steps.change:+.1%}  the machine: {len(steps.shared)} of {steps.measured} series, "
                "of every implementation"
            )
        for step in steps.own:
            out.print(f"  {step.change:+.1%}  {plain(str(step.track.series), 100)}")
        if new := kind.changed_versions(steps):
            out.print(f"  with it changed: {plain('; '.join(new), 150)}")


def as_json(kinds: Sequence[KindOfMachine], several: bool) -> None:
    """The same as JSON, for programs; a list for several kinds of machine."""
    documents = [_document(kind) for kind in kinds]
    print(json.dumps(documents if several else documents[0], indent=1))


def _document(kind: KindOfMachine) -> dict[str, Any]:
    """One kind of machine; times in seconds, commits by their SHA-1."""
    points = kind.points
    return {
        "machine": {"key": kind.timeline.machine_key, **kind.timeline.machine},
        "branch": kind.timeline.branch,
        "commits": [
            {"sha": point.sha, "subject": point.subject, "dated": point.dated.isoformat()} for point in points
        ],
        "series": [
            {
                **dataclasses.asdict(one.track.series),
                "noise": one.noise if one.noise == one.noise else None,
                "levels": [
                    {"first": points[first].sha, "last": points[last].sha, "seconds": seconds}
                    for first, last, seconds in one.levels
                ],
            }
            for one in kind.shown
        ],
        "steps": [
            {
                "commit": points[steps.began].sha,
                "before": points[steps.last].sha,
                "changed": kind.changed_versions(steps),
                "machine": {"change": steps.change, "series": len(steps.shared), "of": steps.measured}
                if steps.shared
                else None,
                "own": [
                    {
                        "series": str(step.track.series),
                        "change": step.change,
                        "before": step.before,
                        "after": step.after,
                    }
                    for step in steps.own
                ],
            }
            for steps in kind.steps
        ],
    }
