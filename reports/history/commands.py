"""`python -m reports history`: keep past runs, list them, see what changed in them, drop what is old."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reports.history.store import Store

# Only click is imported up here: --help must answer at once, and without the extra.

DEFAULT = Path(".gradrace") / "history.sqlite"
NEEDS = ("sqlalchemy", "alembic", "psycopg", "ruptures")


class Failure(click.ClickException):
    """A user's mistake, or a database that is away: its message, and exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """A group whose commands need the extra, and whose known errors are messages."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; HistoryError becomes its message."""
        lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
        if lacking:
            raise Failure(
                f"the history needs {', '.join(lacking)}; install its extra: pip install -e '.[history]'"
            )
        from reports.history.runs import HistoryError

        try:
            return super().invoke(ctx)
        except HistoryError as error:
            raise Failure(str(error)) from error


@click.group(cls=Commands)
def history() -> None:
    """Keep past runs, and see what changed in them and since which commit."""


db_option = click.option(
    "--db",
    envvar="GRADRACE_HISTORY",
    default=str(DEFAULT),
    help=(
        "SQLite file, or postgresql://USER@HOST/DATABASE; also $GRADRACE_HISTORY, which other users of the "
        f"machine do not see.  [default: {DEFAULT}]"
    ),
)


def _open(db: str, create: bool = False) -> Store:
    from reports.history.store import open_store

    return open_store(db, create=create)


@history.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--commit", help="Commit that was measured.  [default: the record's own]")
@click.option("--branch", help="Branch that it was measured for.  [default: the record's own]")
@db_option
def add(files: Sequence[Path], commit: str | None, branch: str | None, db: str) -> None:
    """Keep the runs of FILES, records of races; what is kept already stays as it is."""
    from reports.history import sources

    store = _open(db, create=True)
    for path in files:
        runs = sources.load(path, commit, branch)
        for run, (run_id, sha, new) in zip(
            runs, store.add(runs, lambda words: click.echo(words, err=True)), strict=True
        ):
            if new:
                words = f"{len(run.samples)} measurements of {sha[:10]} on {run.commit.branch}"
            else:
                words = f"nothing added, it is here already, as a run of {sha[:10]}"
            click.echo(f"{path}: run {run_id}: {words}")
