"""`python -m reports`: what a record says, as pictures, tables and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reports.gate import gate
from reports.history.commands import history

if TYPE_CHECKING:
    from benchmarks.results import Record

# Only click is imported up here: --help must answer at once, and pandas and matplotlib take a second.

OUT = Path(__file__).parent / "out"


class Failure(click.ClickException):
    """A user's mistake: its message, and exit code 2."""

    exit_code = 2


def load(path: Path) -> Record:
    """The record at `path`, or a Failure that says what is wrong with it."""
    from benchmarks import results

    try:
        return results.read(path)
    except results.RecordError as error:
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Draw what a record of a race says; everything comes from the record alone."""


main.add_command(gate)
main.add_command(history)

record_argument = click.argument("record", type=click.Path(path_type=Path))
out_option = click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, help="Folder to write to.  [default: reports/out]"
)
baseline_option = click.option("--baseline", help="Racer that speedups are over.  [default: loops]")


@main.command()
@record_argument
@out_option
@baseline_option
@click.option("--workload", help="Workload to draw.  [default: the record's first]")
@click.option("--phase", help="Phase to draw.  [default: gradients]")
@click.option("--dtype", help="Dtype to draw.  [default: float64]")
@click.option("--threads", type=int, help="Threads to draw.  [default: the fewest]")
def render(
    record: Path,
    out: Path,
    baseline: str | None,
    workload: str | None,
    phase: str | None,
    dtype: str | None,
    threads: int | None,
) -> None:
    """Draw RECORD's charts as SVG and PNG, and write summary.md."""
    race = load(record)
    prepare(out)
    from reports import tables, terminal
    from reports.render import render as draw

    try:
        panel = tables.choose(race, workload=workload, phase=phase, dtype=dtype, threads=threads)
        over = tables.choose_baseline(race, baseline)
    except tables.UnknownChoice as error:
        raise Failure(f"{record}: {error}") from error
    written = draw(race, panel, over, out)
    terminal.show(race, panel, over)
    for path in written:
        click.echo(path)


if __name__ == "__main__":
    main(prog_name="python -m reports")
