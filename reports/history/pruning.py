"""Drops runs, and rows that no run refers to any more."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence

import sqlalchemy as sa

from reports.history.runs import HistoryError
from reports.history.schema import documents, machines, measurements, runs, series
from reports.history.store import Store


def choice(
    before: datetime.datetime | None = None, branch: str | None = None, run_ids: Sequence[int] = ()
) -> sa.ColumnElement[bool]:
    """The runs that match all arguments: made before a date (in UTC), of a branch, of these numbers."""
    return sa.and_(
        sa.true(),
        *([runs.c.created < before] if before else []),
        *([runs.c.branch == branch] if branch is not None else []),
        *([runs.c.id.in_(run_ids)] if run_ids else []),
    )


def check(store: Store, run_ids: Sequence[int]) -> None:
    """Raise HistoryError for numbers that no run has."""
    with store.reading() as connection:
        known = set(connection.scalars(sa.select(runs.c.id).where(runs.c.id.in_(run_ids))))
    if unknown := sorted(set(run_ids) - known):
        raise HistoryError(
            f"{store.place}: --run: expected numbers of runs, as `gradrace history show` lists them, "
            f"got {', '.join(map(str, unknown))}; nothing was dropped"
        )


def count(store: Store, chosen: sa.ColumnElement[bool]) -> int:
    """The number of runs that `prune` would drop."""
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(runs).where(chosen)) or 0


def prune(store: Store, chosen: sa.ColumnElement[bool]) -> int:
    """Drop the chosen runs and the rows that no other run refers to; returns the number of runs dropped."""
    with store.writing() as connection:
        going = sa.select(runs.c.id).where(chosen).scalar_subquery()
        connection.execute(measurements.delete().where(measurements.c.run_id.in_(going)))
        dropped = connection.execute(runs.delete().where(chosen)).rowcount
        for table, column, user in (
            (documents, documents.c.digest, runs.c.digest),
            (machines, machines.c.id, runs.c.machine_id),
            (series, series.c.id, measurements.c.series_id),
        ):
            used = sa.exists().where(user == column)
            connection.execute(table.delete().where(~used))
    shrink(store)
    return dropped


def shrink(store: Store) -> None:
    """Free the space of dropped rows, which SQLite's file keeps otherwise. PostgreSQL does so by itself.

    Raises HistoryError if that cannot be done now.
    """
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            try:
                driver.execute("VACUUM")
            except sqlite3.Error as error:
                raise HistoryError(
                    f"{store.place}: the chosen runs are dropped, but the file keeps its size: {error}; "
                    "the next prune tries again"
                ) from error
