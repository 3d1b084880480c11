"""Where every node is, where else it may go, and which gateway was told of whom."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "admissions",
        sa.Column("gateway", sa.String(length=255), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("guest", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "node", name=op.f("pk_admissions")),
    )
    op.create_index(op.f("ix_admissions_node"), "admissions", ["node"], unique=False)
    op.create_table(
        "placings",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("parent", sa.String(length=255), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("called", sa.BigInteger(), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.Column("retiring", sa.Boolean(), nullable=False),
        sa.Column("told", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_placings")),
    )
    op.create_index(op.f("ix_placings_parent"), "placings", ["parent"], unique=False)
