"""The first tables: those of `schema`, as long as no version changes them.

A version that does writes out here what was made so far, and then its own changes.
"""

from __future__ import annotations

from alembic import op

from reports.history.schema import metadata

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Make machines, series, documents, runs and measurements."""
    metadata.create_all(op.get_bind(), checkfirst=False)
