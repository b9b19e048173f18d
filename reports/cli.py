"""The commands of reports: a record as pictures, tables and pages; the verdict on a change; the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.record import files
from reports.gate.commands import gate
from reports.history.commands import history

if TYPE_CHECKING:
    from reports.analysis import Analysis
    from reports.text import Story

# Only click is imported up here: --help must answer at once, and pandas and matplotlib take a second.


def read(path: Path) -> Analysis:
    """The analysis of the record at `path`; raises click.BadParameter for any other file."""
    from benchmarks.record import race_file
    from benchmarks.record.documents import RecordError
    from reports.analysis import Analysis

    try:
        return Analysis(race_file.read(path))
    except RecordError as error:
        raise click.BadParameter(str(error)) from error
    except OSError as error:
        raise click.BadParameter(
            f"{path}: expected the record of a race, got: {error.strerror or error}"
        ) from error


def _analysis(ctx: click.Context, param: click.Parameter, path: Path | None) -> Analysis | None:  # noqa: ARG001
    return None if path is None else read(path)


def _writable(ctx: click.Context, param: click.Parameter, folder: Path) -> Path:  # noqa: ARG001
    """The folder, created and tested before any work is done."""
    try:
        files.ready(folder)
    except OSError as error:
        raise click.BadParameter(
            f"{folder}: expected a folder that can be written, got: {error.strerror or error}; choose another"
        ) from error
    return folder


FILE = click.Path(path_type=Path)

record_argument = click.argument("analysis", metavar="RECORD", type=FILE, is_eager=True, callback=_analysis)
records_argument = click.argument(
    "analyses",
    metavar="RECORDS...",
    type=FILE,
    nargs=-1,
    required=True,
    is_eager=True,
    callback=lambda _, __, paths: dict(zip(distinct(paths), map(read, paths), strict=True)),
)
out_option = click.option(
    "--out", type=FILE, default=files.OUT, show_default=True, callback=_writable, help="Folder to write to."
)
baseline_option = click.option(
    "--baseline", metavar="NAME", show_default="the race's", help="Implementation to compare with."
)


def panel_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose the panel of a record that is shown."""
    for option in (
        click.option("--ranks", type=int, show_default="the fewest", help="Ranks to show."),
        click.option("--threads", type=int, show_default="the fewest", help="Threads to show."),
        click.option("--dtype", show_default="float64", help="Dtype to show."),
        click.option("--phase", show_default="gradients", help="Phase to show."),
        click.option("--workload", show_default="the record's first", help="Workload to show."),
    ):
        command = option(command)
    return command


def show(analysis: Analysis, stories: Sequence[Story]) -> None:
    """Print the sentence, the table and the remarks of each story, and the record's warnings."""
    from reports import terminal, text

    out = terminal.console()
    for story in stories:
        out.print(story.answer)
        terminal.print_table(out, story.head, story.rows)
        for words in story.remarks:
            out.print(words)
    for words in text.warnings(analysis.record):
        out.print(f"warning: {words}", style="yellow")


@click.group()
def main() -> None:
    """Report on records, judge a change, keep the history of runs."""


main.add_command(gate)
main.add_command(history)


@main.command()
@record_argument
@out_option
@baseline_option
@panel_options
def render(analysis: Analysis, out: Path, baseline: str | None, **wanted: str | int | None) -> None:
    """Draw RECORD's charts as SVG and PNG, and write summary.md."""
    from reports.render import render as draw
    from reports.tables import trainings

    panel, over = analysis.panel(**wanted), analysis.baseline(baseline)
    written = draw(analysis, panel, over, out)
    show(analysis, [trainings.story(analysis, panel, over)])
    for path in written:
        click.echo(path)


@main.command()
@records_argument
@out_option
@baseline_option
@panel_options
def page(analyses: dict[str, Analysis], out: Path, baseline: str | None, **wanted: str | int | None) -> None:
    """Write RECORDS as one self-contained HTML page.

    With several RECORDS, the page shows the first one, and compares the machines of all.
    """
    analysis = next(iter(analyses.values()))
    panel, over = analysis.panel(**wanted), analysis.baseline(baseline)
    try:
        from reports.page.build import build
    except ImportError as error:
        raise ImportError(f"page: expected {error.name}, got none; pip install -e '.[page]'") from error
    from reports.tables.compare import side_by_side

    machines = side_by_side(analyses, panel, over) if len(analyses) > 1 else ()
    click.echo(files.write(out / "index.html", build(analysis, panel, over, *machines)))


@main.command()
@record_argument
@out_option
@baseline_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", "action", "all"]),
    default="all",
    help="csv and parquet: the tidy table of docs/tidy.md; action: for github-action-benchmark.",
)
def export(analysis: Analysis, out: Path, baseline: str | None, kind: str) -> None:
    """Write RECORD's cells as tables for other tools."""
    from reports.tables import exports

    table = exports.tidy(analysis, analysis.baseline(baseline))
    writers = {
        "csv": ("cells.csv", exports.csv),
        "parquet": ("cells.parquet", exports.parquet),
        "action": ("action.json", exports.action),
    }
    chosen = writers.values() if kind == "all" else [writers[kind]]
    try:
        made = {name: write(table) for name, write in chosen}
    except ImportError as error:
        raise ImportError(
            "cells.parquet: expected pyarrow to write Parquet with, got none; "
            "pip install -e '.[page]', or choose --format csv or --format action"
        ) from error
    for name, content in made.items():
        click.echo(files.write(out / name, content))


@main.command()
@records_argument
@out_option
@panel_options
def compare(analyses: dict[str, Analysis], out: Path, **wanted: str | int | None) -> None:
    """Compare RECORDS side by side.

    Prints each machine's ranking, where rankings differ, and how many times as fast each implementation is
    on every other record as on the first.
    """
    if len(analyses) < 2:
        raise ValueError(f"expected two records or more, got {len(analyses)}")
    from reports import terminal
    from reports.charts.canvas import picture
    from reports.tables import compare as comparing

    first = next(iter(analyses.values()))
    panel, over = first.panel(**wanted), first.baseline()
    sections, remarks = comparing.side_by_side(analyses, panel, over)
    pictures = []
    for section in sections:
        if section.figure is not None:
            pictures += picture(section.figure, out / section.name)
    written = files.write(out / "compare.md", comparing.markdown(sections, remarks).encode())
    console = terminal.console()
    for section in sections:
        console.print(section.title)
        terminal.print_table(console, section.head, section.rows)
    for words in remarks:
        console.print(words)
    for path in [*pictures, written]:
        click.echo(path)


@main.command()
@record_argument
@baseline_option
def standings(analysis: Analysis, baseline: str | None) -> None:
    """Print the fastest of the ladder beside the fastest peer.

    For both it prints the share of the rate of a large matrix product, and of the memory bandwidth.
    """
    from reports import terminal
    from reports.tables import standings as standing

    over = analysis.baseline(baseline)
    out = terminal.console()
    terminal.print_table(out, *standing.grid(standing.standings(analysis, over)))
    iterations = standing.per_iteration(analysis, over)
    if iterations is not None:
        out.print(
            f"{over} takes {iterations:.3g} iterations of a plain Python loop for each connection and sample"
        )


@main.command("trainings")
@record_argument
@baseline_option
@panel_options
def trainings_(analysis: Analysis, baseline: str | None, **wanted: str | int | None) -> None:
    """Print the trainings of RECORD side by side.

    Prints the cost of a step beyond its gradients and over a plain step, and its speedup; for a record of
    `train`, the steps and the time to read held-out digits.
    """
    from reports import terminal
    from reports.tables import trainings

    panel, over = analysis.panel(**wanted), analysis.baseline(baseline)
    if panel.phase == "train":
        show(analysis, [trainings.story(analysis, panel, over)])
        return
    found = trainings.steps(analysis, panel)
    if not found:
        raise ValueError("expected a record with steps in it, got none; race with --phases gradients,step")
    out = terminal.console()
    terminal.print_table(out, *trainings.steps_grid(analysis, found))
    out.print(f"A step as many times as fast as that of {over}:")
    terminal.print_table(out, *trainings.factors_grid(analysis, panel, over))


@main.command()
@record_argument
def ranking(analysis: Analysis) -> None:
    """Print which implementation is fastest at each batch size.

    Also prints which implementations tie with it, how far behind the others are, and what each costs.
    """
    from reports import advice

    stories = advice.stories(analysis)
    if not stories:
        raise ValueError("expected a record with a time in it, got one without")
    show(analysis, stories)


@main.command()
@click.option(
    "--race", type=FILE, callback=_analysis, help="Take this record of a race into the gallery first."
)
@click.option(
    "--headline", type=FILE, callback=_analysis, help="Take this record of a headline into the gallery first."
)
@click.option(
    "--trainings", type=FILE, callback=_analysis, help="Take this record of trainings into the gallery first."
)
@click.option(
    "--accuracy", type=FILE, callback=_analysis, help="Take this record of `train` into the gallery first."
)
@click.option("--lesson", type=FILE, help="Take this file of `nox -s lesson` into the gallery first.")
def gallery(lesson: Path | None, **given: Analysis | None) -> None:
    """Redraw the charts of the documents, and update their figures.

    Charts and figures come from the records in docs/gallery.
    """
    from benchmarks.record import lesson_file
    from reports import gallery as drawing
    from reports.render import figures

    for name, analysis in given.items():
        if analysis is not None:
            click.echo(drawing.adopt(analysis.record, f"{name}.json"))
    if lesson is not None:
        click.echo(lesson_file.write(lesson_file.read(lesson), drawing.DOCS / "gallery" / drawing.LESSON))
    for path in drawing.redraw(figures):
        click.echo(path)


def distinct(paths: tuple[Path, ...]) -> list[str]:
    """Names for files: the shortest ends of their paths that differ; numbered where none do."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(names, 1)]
