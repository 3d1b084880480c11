"""What gateways decided by themselves: their breakers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("rollouts", sa.Column("again", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "rollout_sites",
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("shut", sa.Boolean(), nullable=False),
        sa.Column("bad", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("limit_text", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout"], ["rollouts.id"], name=op.f("fk_rollout_sites_rollout_rollouts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rollout", "node", name=op.f("pk_rollout_sites")),
    )
