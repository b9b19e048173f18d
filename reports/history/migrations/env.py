"""The entry point of Alembic, which runs in the connection and the transaction of its caller."""

from __future__ import annotations

from alembic import context

from reports.history.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
