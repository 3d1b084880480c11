"""The windows of groups, and what of them each machine was told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "group_windows",
        sa.Column("group_name", sa.String(length=255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_name"],
            ["node_groups.name"],
            name=op.f("fk_group_windows_group_name_node_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_name", name=op.f("pk_group_windows")),
    )
    op.create_table(
        "windows_told",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.name"], name=op.f("fk_windows_told_node_nodes"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_windows_told")),
    )
