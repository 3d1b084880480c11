"""Counting a job's targets by state reads an index, not the rows with their receipts."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_index("ix_targets_job_state", "targets", ["job", "state"], unique=False)
