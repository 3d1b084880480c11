"""What the owner of a target chose of its job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("targets", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    chosen = sa.text("owner <> ''")
    op.create_index(op.f("ix_targets_owner"), "targets", ["job", "node"], sqlite_where=chosen, postgresql_where=chosen)
