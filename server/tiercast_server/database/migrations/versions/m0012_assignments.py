"""The desired state: windows, assignments, what was tried for them, and who changed what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "desired_windows",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("open", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_desired_windows")),
    )
    op.create_table(
        "assignments",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("package", sa.String(length=255), nullable=False),
        sa.Column("wants", sa.Text(), nullable=False),
        sa.Column("lacks", sa.Boolean(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("definition", sa.LargeBinary(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("rollout", sa.String(length=32), nullable=False),
        sa.Column("rolled", sa.String(length=255), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_assignments")),
    )
    op.create_index(op.f("ix_assignments_package"), "assignments", ["package"], unique=False)
    op.create_table(
        "assignment_tries",
        sa.Column("assignment", sa.String(length=255), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("again", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment"],
            ["assignments.name"],
            name=op.f("fk_assignment_tries_assignment_assignments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("assignment", "node", name=op.f("pk_assignment_tries")),
    )
    op.create_table(
        "desired_changes",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("how", sa.String(length=255), nullable=False),
        sa.Column("changes", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_desired_changes")),
    )
