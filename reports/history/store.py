"""The database of past runs: an SQLite file, or PostgreSQL for a team.

Writers go one at a time (SQLite: an immediate transaction; PostgreSQL: an advisory lock), and a file's runs
are one transaction: all of them are in, once, or none is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from reports.history import schema
from reports.history.runs import HistoryError, Run, machine_facts, machine_key
from reports.history.schema import documents, machines, measurements, runs, series

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The seconds between the tries of `add`, in which a database that restarts is back."""

BUSY_SECONDS = 60.0
"""The seconds that a writer of SQLite waits for the lock."""

ANSWER_SECONDS = 10
"""The seconds that PostgreSQL may take to accept a connection, and to acknowledge data."""

LOCK = 0x67726164
"""The advisory lock of PostgreSQL that writers take; any number that others do not use ("grad")."""

SHOWN_OPTIONS = ("host", "port", "dbname")
"""The options in a URL that are printed; the others may be secrets."""


class Added(NamedTuple):
    """A run that was added: its number, its commit, and whether it is new."""

    run_id: int
    commit: str
    new: bool


class Store:
    """An open history. `place` is its name for messages, without credentials."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self.engine = engine
        self.place = place

    def check(self) -> None:
        """Raise HistoryError if the database has no tables of this version, which `prepare` creates."""
        with self.reading() as connection:
            version = _version(connection)
        if version is None:
            raise HistoryError(
                f"{self.place}: expected a history, got a database without one; make one: "
                "gradrace history add RECORD"
            )
        if version != schema.HEAD:
            raise self._other_version(version)

    def prepare(self) -> None:
        """Create the tables, or migrate those of an older version; raises HistoryError."""
        with self.writing() as connection:
            self._prepare(connection)

    def _prepare(self, connection: sa.Connection) -> None:
        if _version(connection) == schema.HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config(attributes={"connection": connection})
        folder = str(Path(__file__).parent / "migrations")
        config.set_main_option("script_location", folder.replace("%", "%%"))  # % interpolates there
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise self._other_version(_version(connection)) from error

    def _other_version(self, version: str | None) -> HistoryError:
        return HistoryError(
            f"{self.place}: expected tables of version {schema.HEAD}, got version {version!r}; "
            "update gradrace to read it"
        )

    def add(self, given: Sequence[Run], say: Callable[[str], None] = lambda _: None) -> list[Added]:
        """Add the runs `given`, all of one file; runs that are in the database already are unchanged.

        If the database is unavailable, `say` logs it and the call is repeated; after that HistoryError is
        raised, and the database has all of the runs or none.
        """
        for pause in (*PAUSES, None):
            try:
                with self.writing() as connection:
                    self._prepare(connection)
                    return [_insert(connection, run) for run in given]
            except sa.exc.DBAPIError as error:
                if not _passes(error):
                    raise HistoryError(f"{self.place}: {_cause(error)}") from None
                if pause is None:
                    raise HistoryError(
                        f"{self.place}: expected a database that answers, got: {_cause(error)}; nothing of "
                        "this file was added and the file is as it was: run the same command again once the "
                        "database is back"
                    ) from None
                say(f"{self.place}: {_cause(error)}; trying again in {pause:g} s")
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reading, which sees the database at one moment."""
        with self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer shares."""
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            yield connection

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """A block in which any exception of the database becomes a HistoryError with the driver's message."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise HistoryError(
                f"{self.place}: expected a history that answers, got: {_cause(error)}"
            ) from None


def open_store(db: str, access: Literal["read", "write", "create"] = "read") -> Store:
    """The history at `db`, the path of an SQLite file or a URL. "create" makes a file that is absent.

    Raises HistoryError for a URL of another kind, and for a file that is absent.
    """
    url = _url(db)
    if url.get_backend_name() == "postgresql":
        place = url.set(query={k: v for k, v in url.query.items() if k in SHOWN_OPTIONS}).render_as_string()
        arguments = {
            "client_encoding": "utf8",
            "connect_timeout": ANSWER_SECONDS,
            "tcp_user_timeout": 1000 * ANSWER_SECONDS,
        }
        return Store(sa.create_engine(url, poolclass=NullPool, connect_args=arguments), place)
    path = Path(url.database or "")
    if path.exists() and not path.is_file():
        raise HistoryError(f"--db {path}: expected an SQLite file, got a folder, a device or a pipe")
    if access == "create":
        _make_folder(path)
    elif not path.exists():
        raise HistoryError(
            f"{path}: expected a history, got no such file; make one: gradrace history add RECORD"
        )
    # Immediate: two writers that both began by reading could not both continue.
    connect, begin = (_to_read, "BEGIN") if access == "read" else (_to_write, "BEGIN IMMEDIATE")
    engine = sa.create_engine("sqlite://", poolclass=NullPool, creator=lambda: connect(path))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return Store(engine, str(path))


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(
            f"--db {path}: expected a file in a folder that can be made, got: {error.strerror or error}"
        ) from error


def _url(db: str) -> sa.URL:
    if "://" not in db:
        return sa.URL.create("sqlite", database=db)
    kind = db.partition("://")[0]
    try:
        url = sa.make_url(db)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        # Quote nothing of the URL: it may contain a password.
        raise HistoryError(
            f"--db: expected postgresql://USER@HOST/DATABASE, got something after {kind}:// that is no URL; "
            "an @ in a password is written %40"
        )
    if kind in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise HistoryError(
        f"--db: expected the path of an SQLite file, or postgresql://USER@HOST/DATABASE, got {kind}://..."
    )


def _to_write(path: Path) -> sqlite3.Connection:
    # Without an isolation level sqlite3 leaves it to us when a transaction begins.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    # Readers continue while a writer writes. The setting stays with the file.
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _to_read(path: Path) -> sqlite3.Connection:
    """A connection that needs no permission to write, neither to the file nor to its folder."""
    address = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("SELECT name FROM sqlite_master LIMIT 1")
    except sqlite3.OperationalError as error:
        connection.close()
        refused = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not refused or Path(f"{path}-wal").exists():
            raise
        # Readers of a file in WAL mode create a file beside it, which is not allowed here; it has no writer.
        address += "&immutable=1"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    return connection


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    version = sa.table(schema.VERSION_TABLE, sa.column("version_num", sa.String))
    return connection.scalar(sa.select(version.c.version_num))


def _passes(error: sa.exc.DBAPIError) -> bool:
    """Whether `error` may pass, as the database is unavailable or too busy."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    # Classes of the standard: connection, rollback, resources, operator. A lost connection has none.
    state = getattr(cause, "sqlstate", None)
    return isinstance(error, sa.exc.OperationalError) and (
        state is None or state[:2] in ("08", "40", "53", "57")
    )


def _cause(error: sa.exc.DBAPIError) -> str:
    """The driver's message on one line, without the statement and its values."""
    return " ".join(str(error.orig).split())


def _insert(connection: sa.Connection, run: Run) -> Added:
    known = connection.execute(
        sa.select(runs.c.id, runs.c.commit).where(runs.c.digest == run.digest, runs.c.side == run.side)
    ).first()
    if known is not None:
        return Added(known.id, known.commit, new=False)
    if connection.scalar(sa.select(documents.c.digest).where(documents.c.digest == run.digest)) is None:
        connection.execute(documents.insert().values(digest=run.digest, content=run.document))
    key = machine_key(run.machine)
    machine_id = _known(connection, machines).get(key)
    if machine_id is None:
        machine_id = _new(connection, machines, key=key, facts=machine_facts(run.machine))
    run_id = _new(
        connection,
        runs,
        digest=run.digest,
        side=run.side,
        created=run.created,
        added=datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
        commit=run.commit.sha,
        branch=run.commit.branch,
        dated=run.commit.dated,
        subject=run.commit.subject,
        command=run.command,
        machine_id=machine_id,
        versions=dict(run.versions),
    )
    ids = _known(connection, series)
    for one in sorted({sample.series for sample in run.samples}):
        if one.key not in ids:
            ids[one.key] = _new(connection, series, key=one.key, **dataclasses.asdict(one))
    rows = []
    for sample in run.samples:
        values = vars(sample).copy()
        rows.append({"run_id": run_id, "series_id": ids[values.pop("series").key], **values})
    connection.execute(measurements.insert(), rows)
    return Added(run_id, run.commit.sha, new=True)


def _known(connection: sa.Connection, table: sa.Table) -> dict[str, int]:
    """The numbers of a table's rows, by their keys."""
    return {row.key: row.id for row in connection.execute(sa.select(table.c.key, table.c.id))}


def _new(connection: sa.Connection, table: sa.Table, **values: Any) -> int:
    """Insert a row; returns its number."""
    number: int = connection.scalar(table.insert().values(values).returning(table.c.id))
    return number
