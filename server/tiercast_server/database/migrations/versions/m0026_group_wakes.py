"""Groups whose machines are woken for every job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "group_wakes",
        sa.Column("group_name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_name"],
            ["node_groups.name"],
            name=op.f("fk_group_wakes_group_name_node_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_name", name=op.f("pk_group_wakes")),
    )
