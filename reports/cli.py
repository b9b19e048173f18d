"""`python -m reports`: what a record says, as pictures, tables and pages; what pairs say of a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reports.gate.commands import gate
from reports.history.commands import history

if TYPE_CHECKING:
    from benchmarks.record.race_file import Record
    from reports.tables.frames import Panel

# Only click is imported up here: --help must answer at once, and pandas and matplotlib take a second.

OUT = Path(__file__).parent / "out"


class Failure(click.ClickException):
    """A user's mistake: its message, and exit code 2."""

    exit_code = 2


def load(path: Path) -> Record:
    """The record at `path`, or a Failure that says what is wrong with it."""
    from benchmarks.record import race_file
    from benchmarks.record.documents import RecordError

    try:
        return race_file.read(path)
    except RecordError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"{path}: expected the record of a race, got: {error.strerror or error}") from error


def prepare(folder: Path) -> None:
    """Make sure that `folder` can be written, before any work is done."""
    from reports import files

    try:
        files.ready(folder)
    except OSError as error:
        raise Failure(
            f"--out {folder}: expected a folder that can be written, got: {error.strerror or error}; "
            "choose another"
        ) from error


def chosen(
    path: Path, record: Record, baseline: str | None, wanted: dict[str, str | int | None]
) -> tuple[Panel, str]:
    """The panel and the baseline that the options ask for, or a Failure that lists those there are."""
    from reports.tables import frames

    try:
        return frames.choose(record, **wanted), frames.choose_baseline(record, baseline)
    except frames.UnknownChoice as error:
        raise Failure(f"{path}: {error}") from error


@click.group()
def main() -> None:
    """Draw what the record of a race says, from it alone; judge a change; keep the history of runs."""


main.add_command(gate)
main.add_command(history)

record_argument = click.argument("record", type=click.Path(path_type=Path))
out_option = click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, help="Folder to write to.  [default: reports/out]"
)
baseline_option = click.option("--baseline", help="Implementation that speedups are over.  [default: loops]")


def panel_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which panel of a record is shown."""
    for option in (
        click.option("--threads", type=int, help="Threads to show.  [default: the fewest]"),
        click.option("--dtype", help="Dtype to show.  [default: float64]"),
        click.option("--phase", help="Phase to show.  [default: gradients]"),
        click.option("--workload", help="Workload to show.  [default: the record's first]"),
    ):
        command = option(command)
    return command


@main.command()
@record_argument
@out_option
@baseline_option
@panel_options
def render(record: Path, out: Path, baseline: str | None, **wanted: str | int | None) -> None:
    """Draw RECORD's charts as SVG and PNG, and write summary.md."""
    race = load(record)
    prepare(out)
    from reports import terminal
    from reports.render import render as draw

    panel, over = chosen(record, race, baseline, wanted)
    written = draw(race, panel, over, out)
    terminal.show(race, panel, over)
    for path in written:
        click.echo(path)


@main.command()
@record_argument
@out_option
@baseline_option
@panel_options
def page(record: Path, out: Path, baseline: str | None, **wanted: str | int | None) -> None:
    """Write RECORD as one self-contained HTML page."""
    race = load(record)
    prepare(out)
    from reports import files

    panel, over = chosen(record, race, baseline, wanted)
    try:
        from reports.page.build import build
    except ImportError as error:
        raise Failure(f"the page needs {error.name}, got none; pip install -e '.[page]'") from error
    click.echo(files.write(out / "index.html", build(race, panel, over)))


@main.command()
@record_argument
@out_option
@baseline_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", "action", "all"]),
    default="all",
    show_default=True,
    help="csv and parquet: the tidy table of docs/tidy.md; action: what github-action-benchmark reads.",
)
def export(record: Path, out: Path, baseline: str | None, kind: str) -> None:
    """Write RECORD's cells as tables for other tools."""
    race = load(record)
    prepare(out)
    from reports import files
    from reports.tables import exports, frames

    try:
        table = exports.tidy(race, frames.choose_baseline(race, baseline))
    except frames.UnknownChoice as error:
        raise Failure(f"{record}: {error}") from error
    writers = {"csv": exports.csv, "parquet": exports.parquet, "action": exports.action}
    names = {"csv": "cells.csv", "parquet": "cells.parquet", "action": "action.json"}
    try:
        made = {names[each]: writers[each](table) for each in (writers if kind == "all" else [kind])}
    except ImportError as error:
        raise Failure(
            f"{names['parquet']}: expected pyarrow to write Parquet with, got none; "
            "pip install -e '.[page]', or choose --format csv or --format action"
        ) from error
    for name, content in made.items():
        click.echo(files.write(out / name, content))


@main.command()
@click.argument("records", type=click.Path(path_type=Path), nargs=-1, required=True)
@out_option
@panel_options
def compare(records: tuple[Path, ...], out: Path, **wanted: str | int | None) -> None:
    """Set RECORDS side by side: each implementation's factor between the first and every other."""
    if len(records) < 2:
        raise Failure(f"expected two records or more, got {len(records)}")
    races = {name: load(path) for name, path in zip(distinct(records), records, strict=True)}
    prepare(out)
    from reports import files, terminal
    from reports.tables import compare as comparing
    from reports.tables import frames

    (first, base), *others = races.items()
    try:
        panel = frames.choose(base, **wanted)
        found = {name: comparing.factors(base, other, panel) for name, other in others}
    except frames.UnknownChoice as error:
        raise Failure(str(error)) from error
    pictures = []
    for k, (name, both) in enumerate(found.items(), 1):
        pictures += files.picture(comparing.chart(both, first, name), out / f"compare-{k}")
    text = comparing.markdown(races, found, [path.name for path in pictures if path.suffix == ".svg"])
    written = files.write(out / "compare.md", text.encode())
    terminal.show_comparison(races, found)
    for path in [*pictures, written]:
        click.echo(path)


@main.command()
@record_argument
@baseline_option
def standings(record: Path, baseline: str | None) -> None:
    """Print, cell by cell, the ladder's best against the best of the peers and a large gemm's rate."""
    race = load(record)
    from reports import terminal
    from reports.tables import frames
    from reports.tables import standings as standing

    try:
        over = frames.choose_baseline(race, baseline)
    except frames.UnknownChoice as error:
        raise Failure(f"{record}: {error}") from error
    out = terminal.console()
    terminal.print_table(out, *standing.grid(standing.standings(race, over)))
    out.print(
        f"{over} takes {standing.per_iteration(race, over):.3g} iterations of a plain Python loop "
        "for each connection and sample"
    )


@main.command()
@click.option(
    "--race", type=click.Path(path_type=Path), help="Take this record of a race into the gallery first."
)
@click.option("--headline", type=click.Path(path_type=Path), help="And this one of a headline.")
def gallery(race: Path | None, headline: Path | None) -> None:
    """Redraw the pictures of docs/gallery, and the figures of docs/lesson.md, from the records there."""
    taken = [(name, load(path)) for name, path in (("race.json", race), ("headline.json", headline)) if path]
    from benchmarks.record.documents import RecordError
    from reports import gallery as drawing

    prepare(drawing.DOCS / "gallery")
    for name, record in taken:
        click.echo(drawing.adopt(record, name))
    try:
        for path in drawing.redraw():
            click.echo(path)
    except (RecordError, drawing.UnknownFigure) as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"expected the gallery's records in docs/gallery, got: {error}") from error


def distinct(paths: tuple[Path, ...]) -> list[str]:
    """Names for files: the shortest ends of their paths that tell them apart; a number where none do."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(names, 1)]
