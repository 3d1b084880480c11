"""Which job another is a further run of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("jobs", sa.Column("origin", sa.String(length=32), nullable=False, server_default=""))
