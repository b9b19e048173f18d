"""Where Alembic begins: it runs in the connection, and within the transaction, of whoever calls it."""

from __future__ import annotations

from alembic import context

from reports.history.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
