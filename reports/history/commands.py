"""`gradrace history`: store past runs, list them, show their changes, drop old ones."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.history.runs import HistoryError

if TYPE_CHECKING:
    from reports.history.kinds import KindOfMachine
    from reports.history.store import Store
    from reports.history.trends import Timeline

# Only click is imported up here: --help must answer at once, and without the extra.

DEFAULT = Path(".gradrace") / "history.sqlite"
COUNT = click.IntRange(min=1, max=2**31 - 1)
"""A positive integer that every database can store."""

EVERY = "all"
"""The value of --machine for every kind of machine; no key begins with it."""

NEEDS = ("sqlalchemy", "alembic", "psycopg", "ruptures")


class HistoryCommand(click.Command):
    """A command that needs the extra, except for its help."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises HistoryError if a package of the extra is not installed."""
        lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
        if lacking:
            raise HistoryError(
                f"the history needs {', '.join(lacking)}; install its extra: pip install -e '.[history]'"
            )
        return super().invoke(ctx)


class HistoryCommands(click.Group):
    """A group of such commands."""

    command_class = HistoryCommand


@click.group(cls=HistoryCommands)
def history() -> None:
    """Store past runs, and find what changed their level."""


db_option = click.option(
    "--db",
    envvar="GRADRACE_HISTORY",
    default=str(DEFAULT),
    help=(
        "SQLite file, or postgresql://USER@HOST/DATABASE; also $GRADRACE_HISTORY, which hides it from other "
        "users of the machine."
    ),
)


@contextlib.contextmanager
def _open(db: str, write: bool = False) -> Iterator[Store]:
    """An existing history; reading needs no permission to write, and writing updates its tables first."""
    from reports.history.store import open_store

    store = open_store(db, "write" if write else "read")
    with store.explained():
        if write:
            store.prepare()
        else:
            store.check()
        yield store


@history.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--commit", help="Commit that was measured.  [default: the record's own]")
@click.option("--branch", help="Branch that it was measured for.  [default: the record's own]")
@db_option
def add(files: Sequence[Path], commit: str | None, branch: str | None, db: str) -> None:
    """Store the runs of FILES, records of races or pairs.

    A file that is already stored is not added again.
    """
    from reports.history import sources
    from reports.history.store import open_store

    store = open_store(db, "create")
    for path in files:
        runs = sources.load(path, commit, branch)
        added = store.add(runs, lambda words: click.echo(words, err=True))
        for run, (run_id, sha, new) in zip(runs, added, strict=True):
            if new:
                words = f"{len(run.samples)} measurements of {sha[:10]} on {run.commit.branch}"
            else:
                words = f"nothing added: it is already stored, as a run of {sha[:10]}"
            click.echo(f"{path}: run {run_id}: {words}")


@history.command()
@click.argument("run", type=COUNT, required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print the file that RUN came from.")
@db_option
def show(run: int | None, limit: int, as_json: bool, db: str) -> None:
    """List the runs that were added last, or show RUN."""
    if as_json and run is None:
        raise HistoryError(
            "--json: expected the number of a run, got none; `gradrace history show` lists them"
        )
    from reports.history import reading, terminal

    with _open(db) as store:
        if run is not None and as_json:
            click.echo(reading.document(store, run).decode())
        elif run is not None:
            terminal.one(reading.one(store, run))
        else:
            terminal.listing(reading.listed(store, limit))


@history.command()
@click.option("--workload", help="Show only this workload.")
@click.option("--phase", help="Show only this phase.")
@click.option("--implementation", "--impl", help="Show only this implementation.")
@click.option("--batch-size", type=COUNT, help="Show only this batch size.")
@click.option("--dtype", help="Show only this dtype.")
@click.option("--threads", type=COUNT, help="Show only this number of threads.")
@click.option("--how", type=click.Choice(["race", "pairs"]), help="Show only runs from this kind of file.")
@click.option("--branch", help="Branch to follow.  [default: the one with the most commits]")
@click.option(
    "--machine",
    help=(
        "Machine to follow, by the start of its key; all: follow every kind of machine, and show what each "
        "commit changed on each kind.  [default: the one with the most commits]"
    ),
)
@click.option("--changed", is_flag=True, help="Show only series that changed their level.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--page", type=click.Path(path_type=Path), help="HTML file to write, with charts.")
@db_option
def trend(
    branch: str | None,
    machine: str | None,
    changed: bool,
    as_json: bool,
    page: Path | None,
    db: str,
    **wanted: Any,
) -> None:
    """Show where series changed their level, and at which commit.

    A change of level is not an error: the exit status is 0.
    """
    from reports.history import reading, terminal

    every = machine == EVERY
    if every and page is not None:
        raise HistoryError(
            f"--page: expected one machine, got --machine {EVERY}; name one by the start of its key"
        )
    chosen = {name: value for name, value in wanted.items() if value is not None}
    with _open(db) as store:
        timelines = reading.kinds(store, branch) if every else [reading.choose(store, machine, branch)]
        kinds = [kind for timeline in timelines if (kind := _trends(store, timeline, chosen, changed)).trends]
    if not kinds:
        raise HistoryError(
            f"{'; '.join(map(str, timelines))}: expected series with {chosen}, got none; "
            "`gradrace history show` lists them"
        )
    if as_json:
        terminal.as_json(kinds, every)
    else:
        terminal.trends(kinds)
    if page is not None:
        from benchmarks.record import files
        from reports.history import page as trend_page

        try:
            written = files.write(page, trend_page.page(kinds[0], store.place).encode())
            click.echo(written, err=as_json)
        except OSError as error:
            raise HistoryError(
                f"--page {page}: expected a file that can be written, got: {error.strerror or error}"
            ) from error


def _trends(store: Store, timeline: Timeline, chosen: dict[str, Any], changed: bool) -> KindOfMachine:
    """The trends of one kind of machine; with `changed`, only those of series that changed."""
    from reports.history import reading, trends
    from reports.history.kinds import KindOfMachine

    points, tracks = reading.tracks(store, timeline, chosen)
    found = [trends.trend(track) for track in tracks]
    return KindOfMachine(timeline, points, found, trends.by_commit(found), changed)


@history.command()
@click.option("--before", help="Drop runs made before this date, like 2025-01-02.")
@click.option("--branch", help="Drop runs of this branch.")
@click.option("--run", "run_ids", type=COUNT, multiple=True, help="Drop this run; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print how many runs would be dropped, and drop none.")
@db_option
def prune(before: str | None, branch: str | None, run_ids: tuple[int, ...], dry_run: bool, db: str) -> None:
    """Drop the runs that match all options, with data only they use."""
    if before is None and branch is None and not run_ids:
        raise HistoryError("expected --before, --branch or --run, got none: that would drop everything")
    from reports.history import pruning
    from reports.history.runs import moment

    chosen = pruning.choice(moment(before) if before else None, branch, run_ids)
    with _open(db, write=not dry_run) as store:
        pruning.check(store, run_ids)
        dropped = pruning.count(store, chosen) if dry_run else pruning.prune(store, chosen)
    click.echo(f"{'would drop' if dry_run else 'dropped'} {dropped} run{'' if dropped == 1 else 's'}")
