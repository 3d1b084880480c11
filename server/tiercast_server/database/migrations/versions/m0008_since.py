"""Since when a target is in its state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("targets", sa.Column("since", sa.BigInteger(), nullable=False, server_default="0"))
