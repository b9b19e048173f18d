"""`gradrace gate judge PAIRS`: the verdict on a change, as a table, as Markdown and as an exit status."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

# Only click is imported up here: --help must answer at once.
if TYPE_CHECKING:
    from benchmarks.record.pairs_file import Pairs
    from reports.gate.verdicts import Judgement

SAME_COMMIT = (Path(".gradrace/same-commit.json"), Path(".gradrace/floors.json"))
"""The default places of the pairs of a commit with itself; earlier versions used the second one."""

UNKNOWN = "minimum detectable effects are unknown"

FILE = click.Path(path_type=Path)

HEADINGS = ("benchmark", "verdict", "measure", "head / base", "95 % interval", "pairs", "detectable", "")


class Misuse(click.ClickException):
    """Raised if the request cannot be carried out as it was given."""

    exit_code = 3


class Unreadable(click.ClickException):
    """Raised for a file that does not hold what was measured: the result is unknown, which is not a pass."""

    exit_code = 2


class _VerdictCommand(click.Command):
    """A command with exit status 3 for wrong usage, and 2, "could not tell", if it is interrupted.

    click's own statuses are 2 and 1, and 1 means "slower".
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Misuse(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit(Unreadable.exit_code)


def load(path: Path) -> Pairs:
    """The pairs at `path`; raises Misuse if there is no file, Unreadable where it is damaged."""
    from benchmarks.record import pairs_file
    from benchmarks.record.documents import RecordError

    try:
        return pairs_file.read(path)
    except RecordError as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        raise Misuse(f"{path}: expected a pairs file, got: {error.strerror or error}") from error


def known_effects(pairs: Pairs, path: Path | None) -> tuple[dict[str, float], str]:
    """The minimum detectable effects by the pairs at `path` (None: at a default place), and their origin."""
    from benchmarks.record import pairs_file
    from reports.gate.detectable import detectable
    from reports.history.runs import machine_key

    path = path or next((known for known in SAME_COMMIT if known.exists()), None)
    if path is None:
        return {}, f"{UNKNOWN}: there are no pairs of a commit with itself; see docs/gate.md"
    same = load(path)
    if same.base.commit != same.head.commit:
        raise Misuse(
            f"--same-commit {path}: expected pairs of a commit with itself, got those of two commits"
        )
    if machine_key(same.base.machine) != machine_key(pairs.base.machine):
        return {}, f"{UNKNOWN}: {path} is from another machine"
    unsteady = [name for name, state in pairs_file.decision(same).controls.items() if state != "steady"]
    if unsteady:
        return {}, f"{UNKNOWN}: {unsteady[0]} was not steady in {path}"
    note = f"minimum detectable effects are from {len(same.pairs)} pairs of one commit"
    return detectable(same, pairs_file.family(pairs)), note


def grid(judgement: Judgement) -> list[list[str]]:
    """The table's rows, in words."""
    from reports.gate.verdicts import figures

    rows = []
    for row in (*judgement.rows, *judgement.controls):
        shown = row.shown
        effect = "" if row in judgement.controls else _effect(row.detectable)
        notes = "; ".join(note for note in ("informational" if row.informational else "", row.reason) if note)
        rows.append([row.name, row.verdict, shown.measure, *figures(shown), str(shown.pairs), effect, notes])
    return rows


def _effect(share: float | None) -> str:
    if share is None:
        return "unknown"
    return f"{100 * share:.1f} %" if math.isfinite(share) else "none"


def text(judgement: Judgement, width: float = math.inf) -> str:
    """The table for a log, or for a terminal of `width` columns. If it is too wide for these, the figures of
    a benchmark are below its name, and its notes below them.
    """
    rows = [list(HEADINGS), *grid(judgement)]
    lines = _aligned(rows)
    if max(map(len, lines)) <= width:
        return "\n".join(lines)
    figures = _aligned([row[1:-1] for row in rows])
    shown = []
    for (name, *_, notes), line in zip(rows, figures, strict=True):
        shown += [name, f"    {line}", wrapped(notes, width, indent=4)]
    return "\n".join(filter(None, shown))


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def wrapped(words: str, width: float, indent: int = 0) -> str:
    """Words in lines of at most `width` columns."""
    if width == math.inf:
        return words
    space = " " * indent
    return textwrap.fill(
        words,
        int(width),
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )


def markdown(judgement: Judgement, notes: list[str]) -> str:
    """The table for a job's page or a comment on a pull request."""
    from reports.text import escape, markdown_table

    table = markdown_table(HEADINGS, grid(judgement))
    lines = [f"**{escape(judgement.sentence)}**", "", *table, "", *(f"{escape(note)}  " for note in notes)]
    return "\n".join(lines) + "\n"


def remarks(pairs: Pairs) -> list[str]:
    """Notes beside the table: what was compared, on what, and what the words mean."""
    spent = sum(pair.seconds for pair in pairs.pairs)
    machine = pairs.head.machine.get("cpu", "an unknown machine")
    notes = [
        f"{pairs.base.ref} ({pairs.base.commit[:10]}) against {pairs.head.ref} ({pairs.head.commit[:10]}): "
        f"{len(pairs.pairs)} pairs of processes in {spent:.0f} s on {machine}",
        "slower: a measure moved by more than its minimum effect, confirmed on pairs of its own; same: every "
        "measure moved by less than its target; tail and processes are the share of head's turns and of its "
        "processes that are slow less that of base's, the other measures head / base",
        *pairs.notes,
        *(f"left out: {name}: {why}" for name, why in pairs.left_out.items()),
    ]
    for package in sorted({*pairs.base.versions, *pairs.head.versions}):
        base, head = pairs.base.versions.get(package), pairs.head.versions.get(package)
        if base != head:
            notes.append(f"versions differ: {package}: base {base or 'none'}, head {head or 'none'}")
    return notes


@click.group()
def gate() -> None:
    """Compare two commits in pairs of processes."""


@gate.command(cls=_VerdictCommand)
@click.argument("pairs", type=FILE)
@click.option(
    "--same-commit",
    type=FILE,
    metavar="FILE",
    help="Pairs of a commit with itself on this machine, which show the minimum detectable effects.  "
    f"[default: {SAME_COMMIT[0]}, if it is there]",
)
@click.option("--summary", type=FILE, metavar="FILE", help="Write the verdict as Markdown.")
@click.option("--json", "as_json", type=FILE, metavar="FILE", help="Write verdict and measures as JSON.")
@click.option("--junit", type=FILE, metavar="FILE", help="Write the verdict as JUnit XML.")
def judge(
    pairs: Path, same_commit: Path | None, summary: Path | None, as_json: Path | None, junit: Path | None
) -> None:
    """Judge a change by the PAIRS that `gradrace gate run` measured.

    Exit status: 0 no slowdown, 1 slowdown, 2 could not tell, 3 refused.
    """
    from reports.gate import exports, verdicts

    measured = load(pairs)
    effects, source = known_effects(measured, same_commit)
    judgement = verdicts.judge(measured, effects)
    notes = [*remarks(measured), source]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
    click.echo(text(judgement, width))
    for line in (*notes, judgement.sentence):
        click.echo(wrapped(line, width))
    write("--summary", summary, markdown(judgement, notes).encode())
    write("--json", as_json, exports.as_json(judgement, notes))
    write("--junit", junit, exports.as_junit(judgement))
    sys.exit(judgement.exit_code)


def write(option: str, path: Path | None, content: bytes) -> None:
    """Write the requested files; raises Misuse if that is not possible."""
    from benchmarks.record import files

    if path is not None:
        try:
            files.write(path, content)
        except OSError as error:
            raise Misuse(f"{option} {path}: expected a place to write to, got: {error}") from error
