"""What machines say of themselves, groups by expression and by their own wish, and jobs that follow their groups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "inventory",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("wishes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.name"], name=op.f("fk_inventory_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_inventory")),
    )
    op.add_column("node_groups", sa.Column("expression", sa.Text(), nullable=False, server_default=""))
    op.add_column("node_groups", sa.Column("self_join", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("group_members", sa.Column("by_itself", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("target", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("follows", sa.Boolean(), nullable=False, server_default=sa.false()))
