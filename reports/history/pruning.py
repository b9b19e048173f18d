"""Dropping runs, and what nothing refers to any more."""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3

import sqlalchemy as sa

from reports.history.runs import HistoryError
from reports.history.schema import documents, machines, measurements, runs, series
from reports.history.store import Store


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which runs to drop: those that fit every field that is given."""

    before: datetime.datetime | None = None
    """Made before this date, in UTC."""
    branch: str | None = None
    run_ids: tuple[int, ...] = ()

    def condition(self) -> sa.ColumnElement[bool]:
        """The choice in SQL."""
        given = [
            *([runs.c.created < self.before] if self.before else []),
            *([runs.c.branch == self.branch] if self.branch is not None else []),
            *([runs.c.id.in_(self.run_ids)] if self.run_ids else []),
        ]
        return sa.and_(sa.true(), *given)


def chosen(store: Store, choice: Choice) -> int:
    """How many runs `choice` would drop."""
    with store.reading() as connection:
        return int(
            connection.scalar(sa.select(sa.func.count()).select_from(runs).where(choice.condition())) or 0
        )


def prune(store: Store, choice: Choice) -> int:
    """Drop the runs of `choice`, and what is left without a run; how many runs that were."""
    with store.writing() as connection:
        going = sa.select(runs.c.id).where(choice.condition()).scalar_subquery()
        connection.execute(measurements.delete().where(measurements.c.run_id.in_(going)))
        dropped = connection.execute(runs.delete().where(choice.condition())).rowcount
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
    """Give the room of dropped rows back: SQLite's file keeps it otherwise. PostgreSQL does so by itself.

    Raises HistoryError where that cannot be done now.
    """
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            try:
                driver.execute("VACUUM")
            except sqlite3.Error as error:
                raise HistoryError(
                    f"{store.place}: what was chosen is dropped, but the file keeps its size: {error}; "
                    "the next prune tries again"
                ) from error
