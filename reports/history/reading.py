"""The content of the database as plain values: runs, and the series of a branch from commit to commit."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from reports.history.runs import HistoryError, Series
from reports.history.schema import documents, machines, measurements, runs, series
from reports.history.store import Store
from reports.history.trends import Timeline, TimelineCommit, Track

ROWS_AT_ONCE = 100_000


def timelines(store: Store) -> list[Timeline]:
    """Every timeline, the one with the most commits first."""
    query = (
        sa.select(
            machines.c.id,
            machines.c.key,
            machines.c.facts,
            runs.c.branch,
            sa.func.count(runs.c.commit.distinct()),
            sa.func.max(runs.c.created),
        )
        .join_from(runs, machines)
        .group_by(machines.c.id, machines.c.key, runs.c.branch)
    )
    with store.reading() as connection:
        # A column of JSON cannot be grouped by in PostgreSQL: the facts come from the key of their table.
        found = [Timeline(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda timeline: (timeline.commits, timeline.newest), reverse=True)


def choose(store: Store, machine: str | None, branch: str | None) -> Timeline:
    """The timeline with the most commits, of those on `machine` (the start of its key) and `branch`."""
    every = timelines(store)
    for timeline in every:
        if timeline.machine_key.startswith(machine or "") and branch in (None, timeline.branch):
            return timeline
    if not every:
        raise HistoryError(
            f"{store.place}: expected runs, got an empty history; add one: gradrace history add RECORD"
        )
    raise HistoryError(
        f"{store.place}: expected one of {'; '.join(str(timeline) for timeline in every)}; got "
        f"machine {machine or 'any'}, branch {branch or 'any'}"
    )


def kinds(store: Store, branch: str | None) -> list[Timeline]:
    """The timelines of every kind of machine on `branch`, or on that with the most commits."""
    first = choose(store, None, branch)
    return [timeline for timeline in timelines(store) if timeline.branch == first.branch]


def tracks(
    store: Store, timeline: Timeline, wanted: Mapping[str, Any]
) -> tuple[list[TimelineCommit], list[Track]]:
    """The commits of `timeline`, oldest first, and along them every series whose fields are as `wanted`."""
    in_timeline = sa.and_(runs.c.machine_id == timeline.machine_id, runs.c.branch == timeline.branch)
    of_runs = sa.select(runs.c.id, runs.c.commit, runs.c.subject, runs.c.dated, runs.c.versions).where(
        in_timeline
    )
    columns = [series.c[field.name] for field in dataclasses.fields(Series)]
    of_series = sa.select(series.c.id, *columns).where(*(series.c[k] == value for k, value in wanted.items()))
    with store.reading() as connection:
        points, place = _points(connection.execute(of_runs).all())
        known = {number: Series(*values) for number, *values in connection.execute(of_series)}
        of_values = sa.select(measurements.c.series_id, measurements.c.run_id, measurements.c.quartile)
        of_values = of_values.join(runs).where(in_timeline)
        if wanted:
            of_values = of_values.where(measurements.c.series_id.in_(list(known)))
        rows = connection.execute(of_values.execution_options(yield_per=ROWS_AT_ONCE))
        # Value by value: a row is an object of its own, which NumPy would take apart slowly.
        values = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.float64)
    table = values.reshape(-1, 3)
    if not len(table):
        return points, []
    numbers, run_ids = table[:, :2].astype(np.intp).T
    return points, _medians(known, numbers, place[run_ids], table[:, 2])


def _points(rows: Sequence[Any]) -> tuple[list[TimelineCommit], NDArray[np.intp]]:
    """The commits in the order of their dates, and the index of a run's commit by the number of the run."""
    first: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: (row.dated, row.id)):
        first.setdefault(row.commit, row)
    points = [TimelineCommit(row.commit, row.subject, row.dated, row.versions) for row in first.values()]
    order = {sha: k for k, sha in enumerate(first)}
    place = np.zeros(max((row.id for row in rows), default=0) + 1, dtype=np.intp)
    for row in rows:
        place[row.id] = order[row.commit]
    return points, place


def _medians(
    known: Mapping[int, Series], of: NDArray[np.intp], at: NDArray[np.intp], seconds: NDArray[np.float64]
) -> list[Track]:
    """A track a series from rows in any order: its number, the place of its commit, seconds."""
    order = np.lexsort((seconds, at, of))
    of, at, logs = of[order], at[order], np.log(seconds[order])
    starts = np.flatnonzero(np.r_[True, (of[1:] != of[:-1]) | (at[1:] != at[:-1])])
    counts = np.diff(np.r_[starts, len(of)])
    # Within a stretch the values are sorted: its median is in the middle.
    medians = (logs[starts + (counts - 1) // 2] + logs[starts + counts // 2]) / 2
    borders = np.flatnonzero(of[starts][1:] != of[starts][:-1]) + 1
    parts = (np.split(array, borders) for array in (of[starts], at[starts], medians, counts))
    found = [Track(known[int(ids[0])], *rest) for ids, *rest in zip(*parts, strict=True)]
    return sorted(found, key=lambda track: track.series)


@dataclasses.dataclass(frozen=True)
class Listed:
    """A run in a listing."""

    run_id: int
    commit: str
    branch: str
    subject: str
    created: datetime.datetime
    side: str
    machine_key: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    measurements: int


def listed(store: Store, limit: int | None = None, run_id: int | None = None) -> list[Listed]:
    """Runs, those added last first: `limit` of them, or the one numbered `run_id`."""
    chosen = sa.select(runs.c.id).order_by(runs.c.id.desc()).limit(limit)
    if run_id is not None:
        chosen = chosen.where(runs.c.id == run_id)
    query = (
        sa.select(
            runs.c.id,
            runs.c.commit,
            runs.c.branch,
            runs.c.subject,
            runs.c.created,
            runs.c.side,
            machines.c.key,
            machines.c.facts,
            runs.c.versions,
            runs.c.command,
            sa.select(sa.func.count()).where(measurements.c.run_id == runs.c.id).scalar_subquery(),
        )
        .join_from(runs, machines)
        .where(runs.c.id.in_(chosen))
        .order_by(runs.c.id.desc())
    )
    with store.reading() as connection:
        return [Listed(*row) for row in connection.execute(query)]


def one(store: Store, run_id: int) -> Listed:
    """The run numbered `run_id`; raises HistoryError if there is none."""
    found = listed(store, run_id=run_id)
    if not found:
        raise _no_run(store, run_id)
    return found[0]


def document(store: Store, run_id: int) -> bytes:
    """The content of a run's file, as JSON."""
    query = sa.select(documents.c.content).join_from(runs, documents).where(runs.c.id == run_id)
    with store.reading() as connection:
        content = connection.scalar(query)
    if content is None:
        raise _no_run(store, run_id)
    return zlib.decompress(content)


def _no_run(store: Store, run_id: int) -> HistoryError:
    return HistoryError(
        f"{store.place}: expected the number of a run, as `gradrace history show` lists them, got {run_id}"
    )
