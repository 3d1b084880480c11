"""Plans: steps for each machine by itself, and plans that are suspended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("plans", sa.Column("suspended", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("plan_steps", sa.Column("per_target", sa.Boolean(), server_default=sa.false(), nullable=False))
