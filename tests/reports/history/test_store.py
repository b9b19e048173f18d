"""The database: every run is in it once and whole, with other writers and after any failure."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.record import race_file
from reports.history.runs import HistoryError
from reports.history.sources import runs_of
from tests.reports.history.made import opened, race, run
from tests.reports.history.postgres import ESCAPED, PASSWORD, Server

if TYPE_CHECKING:
    from reports.history.store import Store


def rows(db: str, sql: str) -> list[Any]:
    import sqlalchemy as sa

    with opened(db).engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


COUNT_RUNS = "SELECT count(*) FROM gradrace_run"
COUNT_MEASUREMENTS = "SELECT count(*) FROM gradrace_measurement"


def test_a_run_comes_back_as_it_went_in(db: str) -> None:
    given = run()
    (added,) = opened(db).add([given])
    assert added.new
    got = rows(
        db,
        "SELECT process, minimum, quartile, median, rounds, batch_size, implementation "
        "FROM gradrace_measurement JOIN gradrace_series ON series_id = id",
    )
    assert sorted(got) == sorted(
        (s.process, s.minimum, s.quartile, s.median, s.rounds, s.series.batch_size, s.series.implementation)
        for s in given.samples
    )
    ((content,),) = rows(db, "SELECT content FROM gradrace_document")
    document = json.loads(zlib.decompress(content))
    assert document["format"] == race_file.FORMAT
    assert len(document["measurements"]) == len(given.samples)


def test_adding_a_run_twice_adds_nothing(db: str) -> None:
    store = opened(db)
    (first,) = store.add([run()])
    (second,) = store.add([run()])
    assert (first.new, second.new) == (True, False)
    assert first.run_id == second.run_id
    assert rows(db, COUNT_RUNS) == [(1,)]
    assert rows(db, COUNT_MEASUREMENTS) == [(8,)]


def test_like_machines_are_one_and_others_are_apart(db: str) -> None:
    machine = {"cpu": "one", "cores": 2, "system": "Linux 6.1", "memory_bytes": 1}
    patched = {**machine, "system": "Linux 6.2", "memory_bytes": 2}
    other = {**machine, "cpu": "two"}
    store = opened(db)
    for k, facts in enumerate((machine, patched, other)):
        store.add([run(k, machine=facts)])
    assert rows(db, "SELECT machine_id FROM gradrace_run ORDER BY id") == [(1,), (1,), (2,)]


def test_fifty_writers_at_once_lose_and_double_nothing(db: str) -> None:
    """Each writes a run of its own and one that all of them have; the tables are not there yet."""
    writers, failures = 50, []
    given = [run(k) for k in range(writers + 1)]
    start = threading.Barrier(writers)

    def write(k: int) -> None:
        try:
            store = opened(db)
            start.wait()
            store.add([given[k]])
            store.add([given[writers]])
        except Exception as error:  # noqa: BLE001 - the test shows any exception
            failures.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(db, COUNT_RUNS) == [(writers + 1,)]
    assert rows(db, 'SELECT count(DISTINCT "commit") FROM gradrace_run') == [(writers + 1,)]
    assert rows(db, COUNT_MEASUREMENTS) == [(8 * (writers + 1),)]
    assert rows(db, "SELECT count(*) FROM gradrace_series") == [(4,)]
    assert rows(db, "SELECT count(*) FROM gradrace_machine") == [(1,)]


def test_a_failure_in_the_middle_leaves_nothing(db: str) -> None:
    import sqlalchemy as sa

    store = opened(db)
    store.add([run()])

    def fail(*arguments: Any) -> None:
        if "INSERT INTO gradrace_measurement" in arguments[2]:
            raise KeyboardInterrupt

    sa.event.listen(store.engine, "before_cursor_execute", fail)
    with pytest.raises(KeyboardInterrupt):
        store.add([run(1)])
    assert rows(db, COUNT_RUNS) == [(1,)]
    assert rows(db, "SELECT count(*) FROM gradrace_document") == [(1,)]
    assert opened(db).add([run(1)])[0].new


def crash(store: Store, server: Server) -> None:
    """Stop the server at the first row of the next run, once."""
    import sqlalchemy as sa

    def stop(*arguments: Any) -> None:
        if "INSERT INTO gradrace_measurement" in arguments[2]:
            sa.event.remove(store.engine, "before_cursor_execute", stop)
            server.stop()

    sa.event.listen(store.engine, "before_cursor_execute", stop)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_server_that_comes_back_gets_the_run_once(db: str, server: Server) -> None:
    store = opened(db)
    store.add([run()])
    crash(store, server)
    said: list[str] = []

    def restart(words: str) -> None:
        said.append(words)
        server.start()

    (added,) = store.add([run(1)], restart)
    assert added.new
    assert len(said) == 1
    assert "trying again" in said[0]
    assert rows(db, COUNT_MEASUREMENTS) == [(16,)]


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_server_that_stays_away_is_a_clear_error(
    db: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.history.store.PAUSES", (0.01, 0.02))
    store = opened(db)
    store.add([run()])
    crash(store, server)
    said: list[str] = []
    try:
        with pytest.raises(HistoryError, match="run the same command again") as caught:
            store.add([run(1)], said.append)
    finally:
        server.start()
    assert len(said) == 2
    for words in (str(caught.value), *said):
        assert PASSWORD not in words
        assert ESCAPED not in words
    assert rows(db, COUNT_RUNS) == [(1,)]
    assert store.add([run(1)])[0].new


def test_a_schema_from_the_future_is_refused(db: str) -> None:
    import sqlalchemy as sa

    store = opened(db)
    store.add([run()])
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE gradrace_version SET version_num = 'v999'"))
    with pytest.raises(HistoryError, match=r"got version 'v999'; update gradrace"):
        opened(db).add([run(1)])


def test_the_newest_migration_is_the_one_the_tables_need() -> None:
    from alembic.script import ScriptDirectory

    from reports.history import schema

    folder = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == schema.HEAD


def test_the_migrations_build_the_tables_that_are_used(db: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from reports.history import schema

    store = opened(db)
    store.prepare()
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []


@pytest.mark.parametrize(
    "url",
    [
        "mysql://a:secret@h/d",
        "postgresql://a:secret@h:port/d",
        "postgresql+asyncpg://a:secret@h/d",
        "postgresql://a:not@secret@h/d",  # an @ that is not written as %40
    ],
)
def test_another_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(HistoryError, match="expected") as caught:
        opened(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(HistoryError, match="not a database"):
        opened(str(path)).add([run()])


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """A block that runs as a user without permission to write, as root may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("journal", [False, True], ids=["alone", "beside a writer"])
def test_reading_a_file_needs_no_right_to_write(journal: bool) -> None:
    from reports.history import reading
    from reports.history.store import open_store

    with tempfile.TemporaryDirectory(prefix="gradrace-") as name:  # others must be able to enter it
        folder = Path(name)
        db = folder / "history#1.sqlite"
        opened(str(db)).add([run()])
        with contextlib.ExitStack() as writer:
            if journal:
                writer.enter_context(contextlib.closing(sqlite3.connect(db))).execute(
                    "SELECT * FROM gradrace_run"
                )
            before = sorted(path.name for path in folder.iterdir())
            db.chmod(0o444)
            folder.chmod(0o555)
            with nobody():
                store = open_store(str(db))
                store.check()
                assert [one.measurements for one in reading.listed(store)] == [8]
            assert sorted(path.name for path in folder.iterdir()) == before
        folder.chmod(0o755)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_reading_a_server_is_reading_only(db: str) -> None:
    import sqlalchemy as sa

    from reports.history.schema import runs
    from reports.history.store import open_store

    opened(db).add([run()])
    with open_store(db).reading() as connection, pytest.raises(sa.exc.DBAPIError, match="read-only"):
        connection.execute(runs.delete())


def test_what_cannot_be_written_is_not_made_ready(db: str) -> None:
    from reports.history.store import open_store

    store = opened(db)
    with store.engine.connect() as connection:  # makes an empty file
        connection.exec_driver_sql("SELECT 1")
    with pytest.raises(HistoryError, match="expected a history, got a database without one"):
        open_store(db).check()


def test_a_training_is_a_series_of_its_own() -> None:
    plain = race()
    digits = dataclasses.replace(plain.workloads["digits"], training=race_file.RecordedTraining("adam"))
    trained = dataclasses.replace(plain, workloads={"digits": digits})
    of_plain, of_adam = (
        {sample.series for sample in runs_of(each, {}, None, None)[0].samples} for each in (plain, trained)
    )
    assert not of_plain & of_adam
    # The series of records from before there were trainings go on.
    assert {s.shape for s in of_plain} == {"64-32-10 sigmoid,sigmoid mean_squared_error digits"}
