"""Why a job does not go on below a gateway, as that gateway says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("hops", sa.Column("why", sa.Text(), nullable=False, server_default=""))
