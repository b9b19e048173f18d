"""`python -m reports gate PAIRS`: the verdict on a change, as a table, a page's summary and an exit code."""

from __future__ import annotations

import math
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

# Only click is imported up here: --help must answer at once.
if TYPE_CHECKING:
    from benchmarks.record.pairs_file import Pairs
    from reports.gate.verdicts import Judgement

FLOORS = Path(".gradrace/floors.json")
"""Where the pairs of a commit with itself are looked for, unless they are named."""

HEADINGS = ("benchmark", "verdict", "head / base", "95 % interval", "pairs", "floor", "")


class Misuse(click.ClickException):
    """A question that cannot be answered as it was put."""

    exit_code = 3


class Unreadable(click.ClickException):
    """A file that does not say what was measured: that could be anything, and is no pass."""

    exit_code = 2


class _Command(click.Command):
    """A command in which nothing but a slowdown ends in 1, not even a mistake of ours."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Misuse(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        # The exit code of Python and of click for these is 1, which would say "slower".
        except (Exception, KeyboardInterrupt):  # noqa: BLE001
            traceback.print_exc()
            sys.exit(2)


def load(path: Path) -> Pairs:
    """The pairs at `path`; raises Misuse where there is no file, Unreadable where it is damaged."""
    from benchmarks.record import pairs_file
    from benchmarks.record.documents import RecordError

    try:
        return pairs_file.read(path)
    except RecordError as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        raise Misuse(f"{path}: expected a pairs file, got: {error.strerror or error}") from error


def known_floors(pairs: Pairs, path: Path | None) -> tuple[dict[str, float], str]:
    """The floors by the pairs at `path` (None: at the default place, if any), and a note on their origin."""
    from benchmarks.record import pairs_file
    from benchmarks.record.pairs_file import CONTROL
    from reports.gate.detectable import floors
    from reports.history.runs import machine_key

    if path is None and not FLOORS.exists():
        return {}, "floors: unknown, no pairs of a commit with itself are kept; see docs/gate.md"
    path = path or FLOORS
    same = load(path)
    if same.base.commit != same.head.commit:
        raise Misuse(f"--floors {path}: expected pairs of a commit with itself, got those of two commits")
    if machine_key(same.base.machine) != machine_key(pairs.base.machine):
        return {}, f"floors: unknown, {path} is from another machine"
    unsteady = [name for name, state in pairs_file.decision(same).controls.items() if state != "steady"]
    if unsteady:
        return {}, f"floors: unknown, {unsteady[0]} was not steady in {path}"
    gated = [benchmark.name for benchmark in pairs.benchmarks if benchmark.implementation != CONTROL]
    return floors(same, gated, pairs.rule), f"floors: from {len(same.pairs)} pairs of one commit"


def grid(judgement: Judgement) -> list[list[str]]:
    """The table's rows, in words."""
    rows = [
        [
            row.name,
            row.verdict,
            *_numbers(row.pairs, row.ratio, row.low, row.high),
            _floor(row.floor),
            "; ".join(note for note in ("informational" if row.informational else "", row.reason) if note),
        ]
        for row in judgement.rows
    ]
    rows += [
        [c.name, c.state, *_numbers(c.pairs, c.ratio, c.low, c.high), "", ""] for c in judgement.controls
    ]
    return rows


def _numbers(pairs: int, ratio: float, low: float, high: float) -> list[str]:
    bounds = f"{low:.3f} to {high:.3f}" if math.isfinite(high) else ""
    return [f"{ratio:.3f}" if pairs else "", bounds, str(pairs)]


def _floor(floor: float | None) -> str:
    if floor is None:
        return "unknown"
    return f"{100 * floor:.1f} %" if math.isfinite(floor) else "none"


def text(judgement: Judgement) -> str:
    """The table for a terminal or a log."""
    rows = [list(HEADINGS), *grid(judgement)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(judgement: Judgement, notes: list[str]) -> str:
    """The table for a job's page or a comment on a pull request."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    table = [line(list(HEADINGS)), "|" + " --- |" * len(HEADINGS), *(line(row) for row in grid(judgement))]
    return "\n".join([f"**{judgement.sentence}**", "", *table, "", *(f"{note}  " for note in notes)]) + "\n"


def remarks(pairs: Pairs) -> list[str]:
    """What to know beside the table."""
    rule = pairs.rule
    spent = sum(pair.seconds for pair in pairs.pairs)
    machine = pairs.head.machine.get("cpu", "an unknown machine")
    notes = [
        f"{pairs.base.ref} ({pairs.base.commit[:10]}) against {pairs.head.ref} ({pairs.head.commit[:10]}): "
        f"{len(pairs.pairs)} pairs of processes in {spent:.0f} s on {machine}",
        f"slower: by more than {100 * rule.minimum_effect:g} %, confirmed on pairs of its own; "
        f"same: by less than {100 * rule.target:g} %",
    ]
    for package in sorted({*pairs.base.versions, *pairs.head.versions}):
        base, head = pairs.base.versions.get(package), pairs.head.versions.get(package)
        if base != head:
            notes.append(f"versions differ: {package}: base {base or 'none'}, head {head or 'none'}")
    return notes


@click.command(cls=_Command)
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--floors",
    type=click.Path(path_type=Path),
    help=f"Pairs of a commit with itself, from this machine.  [default: {FLOORS}, if it is there]",
)
@click.option("--summary", type=click.Path(path_type=Path), help="Write the verdict as Markdown, too.")
def gate(pairs: Path, floors: Path | None, summary: Path | None) -> None:
    """Judge a change by the PAIRS that `python -m benchmarks pairs` measured.

    Exit codes: 0 no slowdown, 1 slowdown, 2 could not tell, 3 asked in a way that cannot be answered.
    """
    from reports.gate.verdicts import judge

    measured = load(pairs)
    smallest, source = known_floors(measured, floors)
    judgement = judge(measured, smallest)
    notes = [*remarks(measured), source]
    click.echo(text(judgement))
    for note in notes:
        click.echo(note)
    click.echo(judgement.sentence)
    if summary is not None:
        from reports import files

        try:
            summary.parent.mkdir(parents=True, exist_ok=True)
            files.write(summary, markdown(judgement, notes).encode())
        except OSError as error:
            raise Misuse(f"--summary {summary}: expected a place to write to, got: {error}") from error
    sys.exit(judgement.exit_code)
