"""The output of the commands of the history."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.history.kinds import KindOfMachine, table
from reports.history.reading import Listed
from reports.history.trends import LevelChange, Steps, Timeline, TimelineCommit, Trend, changed_versions
from reports.style import duration, plain

PLAIN_WIDTH = 200
"""The columns of an output that is not a terminal; a log is scrolled, not wrapped."""


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)
    )


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
    console = _console()
    console.print(_grid(head, body, ("run", "measurements")) if runs else "no run is stored yet")


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
    console = _console()
    for name, value in rows:
        if value != "":
            console.print(f"{name:12} {value}")


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(name)} {plain(str(value), 60)}" for name, value in facts.items())


def trends(kinds: Sequence[KindOfMachine]) -> None:
    """Print the trends of each kind of machine, and for several kinds a table of their steps by commit."""
    for kind in kinds:
        _trends(*kind.shown)
    if len(kinds) > 1:
        console = _console()
        head, body = table(kinds)
        console.print("Steps by kind of machine: the median change, and in how many of the series there")
        console.print(_grid(head, body) if body else "no kind of machine changed its level")


def _trends(
    timeline: Timeline, points: Sequence[TimelineCommit], found: Sequence[Trend], steps_of: Sequence[Steps]
) -> None:
    """Print every series in a line, and below them the steps by commit."""
    head = ("series", "commits", "time now", "noise", "last step")
    body = [
        (
            plain(str(one.track.series), 100),
            str(len(one.track.at)),
            duration(one.levels[-1][2]),
            f"{one.noise:.1%}" if one.noise == one.noise else "",
            _words(one.steps[-1], points) if one.steps else "",
        )
        for one in found
    ]
    console = _console()
    console.print(f"{timeline}: {len(points)} commit{'' if len(points) == 1 else 's'}")
    console.print(
        _grid(head, body, ("commits", "time now", "noise")) if found else "no series changed its level"
    )
    for steps in steps_of:
        point = points[steps.began]
        console.print(
            f"{point.dated:%Y-%m-%d} {point.sha[:10]} {plain(point.subject, 80) if point.subject else ''}"
        )
        if steps.shared:
            console.print(
                f"  {steps.change:+.1%}  the machine: {len(steps.shared)} of {steps.measured} series, "
                "of every implementation"
            )
        for step in steps.own:
            console.print(f"  {step.change:+.1%}  {plain(str(step.track.series), 100)}")
        new = changed_versions(points[steps.last], point)
        if new:
            console.print(f"  with it changed: {plain('; '.join(new), 150)}")


def as_json(kinds: Sequence[KindOfMachine], several: bool) -> None:
    """The same as JSON, for programs; a list for several kinds of machine."""
    documents = [_document(*kind.shown) for kind in kinds]
    print(json.dumps(documents if several else documents[0], indent=1))


def _document(
    timeline: Timeline, points: Sequence[TimelineCommit], found: Sequence[Trend], steps_of: Sequence[Steps]
) -> dict[str, Any]:
    """One kind of machine; times in seconds, commits by their SHA-1."""
    return {
        "machine": {"key": timeline.machine_key, **timeline.machine},
        "branch": timeline.branch,
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
            for one in found
        ],
        "steps": [
            {
                "commit": points[steps.began].sha,
                "before": points[steps.last].sha,
                "changed": changed_versions(points[steps.last], points[steps.began]),
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
            for steps in steps_of
        ],
    }


def _words(step: LevelChange, points: Sequence[TimelineCommit]) -> str:
    return f"{step.change:+.1%} at {points[step.began].sha[:10]}"
