"""Databases to test on: an SQLite file, and PostgreSQL where its server can be started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reports.history.postgres import Server


@pytest.fixture(scope="session", autouse=True)
def _extra() -> None:
    for package in ("sqlalchemy", "alembic", "psycopg", "ruptures"):
        pytest.importorskip(package, reason="the extra `history` is not installed")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server, or a skip with the reason."""
    try:
        made = Server()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no PostgreSQL server here: {error}")
    yield made
    made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind, as `--db` takes it."""
    if request.param == "sqlite":
        yield str(tmp_path / "history.sqlite")
        return
    import psycopg

    running: Server = request.getfixturevalue("server")
    yield running.url
    with psycopg.connect(running.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
