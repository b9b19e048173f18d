"""The tables, as this version reads and writes them; `migrations` builds them."""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "v1"
"""The migration that these tables need."""

VERSION_TABLE = "gradrace_version"

metadata = sa.MetaData()

# Names of our own, so that a team's database may hold other things too.
machines = sa.Table(
    "gradrace_machine",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("facts", sa.JSON, nullable=False),
)

series = sa.Table(
    "gradrace_series",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("workload", sa.Text, nullable=False),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("implementation", sa.Text, nullable=False),
    sa.Column("batch_size", sa.BigInteger, nullable=False),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("threads", sa.Integer, nullable=False),
)

documents = sa.Table(
    "gradrace_document",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

runs = sa.Table(
    "gradrace_run",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.ForeignKey("gradrace_document.digest"), nullable=False),
    sa.Column("side", sa.String(16), nullable=False),
    sa.Column("created", sa.DateTime, nullable=False),
    sa.Column("added", sa.DateTime, nullable=False),
    sa.Column("commit", sa.String(64), nullable=False, index=True),
    sa.Column("branch", sa.Text, nullable=False),
    sa.Column("dated", sa.DateTime, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("machine_id", sa.ForeignKey("gradrace_machine.id"), nullable=False, index=True),
    sa.Column("versions", sa.JSON, nullable=False),
    sa.UniqueConstraint("digest", "side"),
)

# The key begins with the series and, in SQLite, the rows lie in its order: a trend reads one stretch of them.
measurements = sa.Table(
    "gradrace_measurement",
    metadata,
    sa.Column("series_id", sa.ForeignKey("gradrace_series.id"), primary_key=True),
    sa.Column("run_id", sa.ForeignKey("gradrace_run.id"), primary_key=True, index=True),
    sa.Column("process", sa.Integer, primary_key=True),
    sa.Column("minimum", sa.Double, nullable=False),
    sa.Column("quartile", sa.Double, nullable=False),
    sa.Column("median", sa.Double, nullable=False),
    sa.Column("rounds", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
